//! The operator's command line, as an operator uses it: the real binary, on both stores, interrupted, and handed bad files.
//! (F26, F32–F41)

mod away;
mod filling;
mod hostile;
mod interrupted;
mod lines;
mod odd;
mod owned;
mod tour;
mod views;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::doors::flightdeck;
use crate::postgres::Place;
use crate::victim::block_on;

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A command that is not yet run.
pub(crate) fn command(arguments: &[&str], store: &str) -> Command {
    let mut command = Command::new(flightdeck());
    command.args(arguments).stdin(Stdio::null());
    if !store.is_empty() {
        command.args(["--store", store]);
    }
    command
}

pub(crate) fn run(arguments: &[&str], store: &str) -> Ran {
    command(arguments, store).output().unwrap().into()
}

/// Runs a command that must succeed, and says what it said.
#[track_caller]
pub(crate) fn done(arguments: &[&str], store: &str) -> String {
    let ran = run(arguments, store);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
    ran.out
}

/// Runs a command that must be refused, and says why it was.
#[track_caller]
pub(crate) fn refused(arguments: &[&str], store: &str, code: i32) -> String {
    let ran = run(arguments, store);
    assert_eq!(ran.code, Some(code), "{arguments:?}: {}{}", ran.out, ran.err);
    assert!(ran.err.starts_with("flightdeck: "), "{}", ran.err);
    ran.err
}

/// Where stores of one kind are put.
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A folder, and stores that have it or a schema to themselves.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    /// The URL of a store that is not there yet.
    pub(crate) fn store(&self, kind: &Kind, name: &str) -> String {
        match kind {
            Kind::Sqlite => format!("sqlite:{}", self.path(name)),
            Kind::Postgres => Place::new().url(),
        }
    }

    /// A file of events to be imported.
    pub(crate) fn events(&self, name: &str, many: u64) -> String {
        use std::io::Write as _;
        let mut file = std::io::BufWriter::new(std::fs::File::create(self.file(name)).unwrap());
        for number in 0..many {
            let stream = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
            writeln!(
                file,
                "{{\"streamId\":\"account-{}\",\"eventType\":\"Deposited\",\"data\":{{\"cents\": {number},\"text\":\"{}\"}},\
                 \"tags\":[\"teller:{}\"],\"metadata\":{{\"userId\":\"me\",\"desk\":{}}}}}",
                stream % 3_000,
                "é".repeat(usize::try_from(number % 60).unwrap()),
                number % 97,
                number % 7,
            )
            .unwrap();
        }
        drop(file);
        self.path(name)
    }

    /// A store with events, with remembered requests and snapshots.
    pub(crate) fn filled(&self, kind: &Kind, many: u64) -> String {
        use flightdeck_core::SchemaNumber;
        use flightdeck_store::{EventStore, Snapshot, StreamsQuery};
        let store = self.store(kind, "filled.db");
        done(&["import", "--as-new", &self.events("filled.ndjson", many)], &store);
        block_on(async {
            let opened: Box<dyn EventStore> = match kind {
                Kind::Sqlite => Box::new(crate::victim::open(&self.file("filled.db"))),
                Kind::Postgres => Box::new(
                    flightdeck_store_postgres::PostgresStore::open(&store, Default::default()).await.unwrap(),
                ),
            };
            let streams = opened.streams(&StreamsQuery::default()).await.unwrap().streams;
            for info in streams.into_iter().take(20) {
                let state = vec![0xff_u8; 300].into();
                let snapshot = Snapshot { version: info.version, schema: SchemaNumber::FIRST, state };
                opened.save_snapshot(&info.stream, snapshot).await.unwrap();
            }
        });
        store
    }

    /// Everything that a store holds, as text.
    pub(crate) fn export(&self, store: &str) -> Vec<u8> {
        let ran = command(&["export", "-"], store).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }
}

/// Whether two exports are the same, without showing them.
#[track_caller]
pub(crate) fn same(one: &[u8], other: &[u8], what: &str) {
    assert!(one == other, "{what}: {} bytes, and {} bytes", one.len(), other.len());
}

/// Whether there is anything of that name.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
