//! `flightdeck backup` and `flightdeck restore`: saving a store, and getting it back.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use flightdeck_store::archive::{self, Contents};
use flightdeck_store::part::Part;
use flightdeck_store::transfer::{Judge, as_it_is};
use flightdeck_store::{EventStore as _, Fill, Head, Secret, Whole, transfer};
use flightdeck_store_sqlite::{BackupError, SqliteStore};
use serde_json::json;

use crate::exit::{CONFIGURATION, Failure, REFUSED};
use crate::eyes::{Bar, Eyes, number};
use crate::settings::Settings;
use crate::stores::{self, Filling, sqlite_options, was_filled};
use crate::target::Target;
use crate::verify;

#[derive(Args)]
pub(crate) struct BackupArguments {
    /// The file to write, which must not be there; or a folder, then the name is made from the log's position
    file: PathBuf,
    /// The longest that it may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    time_max: u64,
}

#[derive(Args)]
pub(crate) struct RestoreArguments {
    /// A file that backup or export has made
    file: PathBuf,
}

/// Where a backup goes: a file as it is named, or one in a folder that is called after the position it was taken at.
async fn place(arguments: &BackupArguments, store: &dyn Whole, ending: &str) -> Result<PathBuf, Failure> {
    if !arguments.file.is_dir() {
        return Ok(arguments.file.clone());
    }
    let position = store.head().await?.cursor.position();
    Ok(arguments.file.join(format!("flightdeck-{position:012}.{ending}")))
}

pub(crate) async fn backup(
    arguments: BackupArguments,
    settings: &Settings,
    eyes: &Eyes,
) -> Result<(), Failure> {
    let bar = Bar::new();
    let (path, hash, events) = match &settings.store.value {
        Target::Sqlite(path) => {
            let store = SqliteStore::open_read_only(path, sqlite_options(settings))?;
            let to = place(&arguments, &store, "db").await?;
            let (head, verified) = store.backup(&to, Duration::from_secs(arguments.time_max), &bar).await?;
            (to, head.hash, verified.events)
        }
        Target::Postgres(_) => {
            let store = stores::read(settings).await?;
            let to = place(&arguments, &*store, "ndjson").await?;
            let contents = export_checked(&*store, &to, &bar).await?;
            (to, contents.hash, contents.events)
        }
    };
    drop(bar);
    let mut out = eyes.out();
    match eyes.json {
        true => {
            let line =
                json!({ "file": path.display().to_string(), "events": events, "hash": hash.to_string() });
            writeln!(out, "{line}")?;
        }
        false => writeln!(out, "{} holds {} events, checked", path.display(), number(events))?,
    }
    Ok(out.flush()?)
}

/// Writes an export, reads it back, and only then gives it its name.
pub(crate) async fn export_checked(store: &dyn Whole, to: &Path, bar: &Bar) -> Result<Contents, Failure> {
    let part = part(to)?;
    let mut out = BufWriter::with_capacity(256 * 1024, part.file());
    let written = archive::export(store, &mut out, bar).await?;
    drop(out);
    let mut back = part.file();
    let bytes = back.seek(SeekFrom::End(0))?;
    back.rewind()?;
    let found = archive::check(BufReader::with_capacity(256 * 1024, back), bytes, &as_it_is, bar)?;
    if found != written {
        return Err(Failure::new(
            REFUSED,
            "what was written is not what can be read back",
            "try another disk",
        ));
    }
    part.name().map_err(|error| taken(error, to))?;
    Ok(written)
}

/// A file that gets its name last.
pub(crate) fn part(to: &Path) -> Result<Part, Failure> {
    Part::create(to).map_err(|error| taken(error, to))
}

pub(crate) fn taken(error: std::io::Error, to: &Path) -> Failure {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()).into(),
        _ => error.into(),
    }
}

/// Whether a file is a SQLite database, as far as its beginning tells.
fn is_sqlite(path: &Path) -> Result<bool, Failure> {
    let mut begins = [0; 6];
    let read = File::open(path).and_then(|mut file| file.read(&mut begins)).map_err(|error| {
        Failure::new(REFUSED, format!("{}: {error}", path.display()), "nothing was changed")
    })?;
    Ok(read == 6 && &begins == b"SQLite")
}

pub(crate) async fn restore(
    arguments: RestoreArguments,
    settings: &Settings,
    eyes: &Eyes,
) -> Result<(), Failure> {
    let bar = Bar::new();
    let (head, events) = match is_sqlite(&arguments.file)? {
        true => from_sqlite(&arguments.file, settings, &bar).await?,
        false => from_archive(&arguments.file, settings, &as_it_is, &bar).await?,
    };
    drop(bar);
    said(&head, events, settings, eyes)
}

/// Says what a store holds now.
pub(crate) fn said(head: &Head, events: u64, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let store = settings.store.value.url();
    let mut out = eyes.out();
    match eyes.json {
        true => {
            let line = json!({ "store": store, "events": events, "cursor": head.cursor.to_string(), "hash": head.hash.to_string() });
            writeln!(out, "{line}")?;
        }
        false => writeln!(
            out,
            "{store} holds {} events, checked; its epoch is {}",
            number(events),
            head.cursor.epoch()
        )?,
    }
    Ok(out.flush()?)
}

/// Restores from a backup of SQLite's. A process of its own looks at the file first: whatever the file does to SQLite, it does there.
async fn from_sqlite(path: &Path, settings: &Settings, bar: &Bar) -> Result<(Head, u64), Failure> {
    let child = Command::new(std::env::current_exe()?)
        .args(["check-backup", "--"])
        .arg(path)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    if !child.status.success() {
        let text = String::from_utf8_lossy(&child.stderr);
        let text = text.trim().trim_start_matches("flightdeck: ");
        let text =
            if text.is_empty() { "the file can't be checked: the process that did has died" } else { text };
        // Made by a newer program, or by someone else; whatever else is wrong is wrong with the file.
        let foreign = child.status.code() == Some(i32::from(CONFIGURATION));
        return Err(Failure::new(if foreign { CONFIGURATION } else { REFUSED }, text, ""));
    }
    let from = SqliteStore::open_backup(path, sqlite_options(settings))?;
    let head = from.head().await?;
    let until = head.cursor.position();
    let secret = from.secret().await?;
    let to = match stores::fill(settings, head.hash).await? {
        Filling::Begun(to) => to,
        Filling::Done(done) => return was_filled(settings, &done, Some(head.cursor.epoch()), bar).await,
    };
    transfer::events(&from, &*to, until, &as_it_is, bar).await?;
    transfer::beside(&from, &*to, until, bar).await?;
    finish(&*to, &head, None, secret, bar).await
}

/// Looks at a file from its first byte to its last. (`check-backup`, which `restore` runs as a process of its own.)
pub(crate) async fn check(path: &Path, settings: &Settings) -> Result<(), Failure> {
    let store = SqliteStore::open_backup(path, sqlite_options(settings))?;
    let lacks = |_| {
        Failure::new(
            REFUSED,
            "the backup has no secret, which every log has",
            "use an older backup; nothing was changed",
        )
    };
    store.secret().await.map_err(lacks)?;
    let verified = store.verify().await?;
    match verified.problems.first() {
        None => Ok(()),
        Some(problem) => {
            Err(Failure::new(REFUSED, problem.to_string(), "use an older backup; nothing was changed"))
        }
    }
}

/// Takes in an export as it is, if every event of it passes the judge.
pub(crate) async fn from_archive(
    path: &Path,
    settings: &Settings,
    judge: Judge<'_>,
    bar: &Bar,
) -> Result<(Head, u64), Failure> {
    let sheet = crate::append::Sheet::open(path)?;
    let contents = archive::check(sheet.reader()?, sheet.bytes(), judge, bar)?;
    let to = match stores::fill(settings, contents.hash).await? {
        Filling::Begun(to) => to,
        Filling::Done(done) => return was_filled(settings, &done, None, bar).await,
    };
    archive::fill(sheet.reader()?, &*to, &contents, bar).await?;
    let head = to.head().await?;
    finish(&*to, &head, None, contents.secret, bar).await
}

/// Checks all that was carried over, and lets it be used.
pub(crate) async fn finish(
    to: &dyn Fill,
    head: &Head,
    epoch: Option<flightdeck_core::Epoch>,
    secret: Secret,
    bar: &Bar,
) -> Result<(Head, u64), Failure> {
    let verified = to.verify(bar).await?;
    verify::refuse(&verified)?;
    let came = to.head().await?;
    if came.hash != head.hash || came.cursor.position() != head.cursor.position() {
        let text =
            format!("the copy ends at {}, and the log at {}", came.cursor.position(), head.cursor.position());
        return Err(Failure::new(REFUSED, text, "run the same command again"));
    }
    Ok((to.finish(epoch, secret).await?, verified.events))
}
