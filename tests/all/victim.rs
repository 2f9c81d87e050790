//! Running the victim, hearing what it says, and opening what it leaves.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use flightdeck_store_sqlite::{Options, Reserve, SqliteStore};
use flightdeck_tests::Said;

/// A process under test.
pub(crate) struct Victim {
    child: Child,
    lines: Receiver<String>,
    pub(crate) said: Said,
}

/// The victim's command line, to be dressed and started.
pub(crate) fn victim(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flightdeck-victim"));
    command.args(arguments);
    command
}

/// Lets a command loose on a disk that is slow, full or broken.
pub(crate) fn with_shim(mut command: Command) -> Command {
    command.env("LD_PRELOAD", shim());
    command
}

/// The disk that lies, built once.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/shim/disk.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status();
        assert!(built.unwrap().success(), "the shim can't be built: is there a C compiler?");
        library
    })
}

/// A test that fails leaves nobody behind.
impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Victim {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (say, lines) = channel();
        std::thread::spawn(move || {
            // A line that was cut by the kill was never said.
            let mut output = BufReader::new(output);
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|read| read > 0) {
                if let Some(whole) = line.strip_suffix('\n')
                    && say.send(whole.to_owned()).is_err()
                {
                    return;
                }
                line.clear();
            }
        });
        Self { child, lines, said: Said::default() }
    }

    /// Hears what it says until that is as wanted, or it ends, or it takes too long.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&Said) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !wanted(&self.said) {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.hear(&line),
                Err(error) => {
                    panic!("the victim fell silent ({error}); last it said {:?}", self.said.other.last())
                }
            }
        }
    }

    /// Hears it for so long.
    pub(crate) fn hear_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.said.hear(&line);
        }
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(sent.unwrap().success(), "{signal}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) -> Said {
        self.child.kill().unwrap();
        self.end().0
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> (Said, ExitStatus) {
        drop(self.child.stdin.take());
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(60)) {
            self.said.hear(&line);
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    drop(self.child.kill());
                    panic!("the victim does not end");
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        (std::mem::take(&mut self.said), status)
    }
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Opens what a victim left, once it has let go of it.
pub(crate) fn open(path: &Path) -> SqliteStore {
    let options =
        Options { lock_wait: Duration::from_secs(20), reserve: Reserve::Bytes(0), ..Options::default() };
    SqliteStore::open(path, options).unwrap()
}

/// Holds what victims said against the store that they left, closes it, and checks every part of it.
#[track_caller]
pub(crate) fn check(path: &Path, said: &Said) {
    let store = open(path);
    block_on(async {
        flightdeck_tests::check(&store, said).await;
        let verified = store.verify().await.unwrap();
        assert_eq!(verified.problems, [], "{} events", verified.events);
        store.close().await;
    });
}
