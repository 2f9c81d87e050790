//! Saving a store into one file, and looking at such a file before anything of it is believed.
//!
//! A backup is written in one read snapshot, within a bounded time, for as long as it takes the WAL can't be cut back. It is opened and
//! checked from its first byte to its last, and only then gets the name that was asked for. A file that is handed back
//! may be anybody's: its tables, indexes and triggers must be ours to the letter, nothing in it is ever run, and it
//! is read as a file that does not change.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flightdeck_migrations::SQLITE;
use flightdeck_store::migrate::Access;
use flightdeck_store::part::Part;
use flightdeck_store::{Corruption, EventStore as _, Head, Standing, StoreError, Verified, Watcher};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

use crate::connection::{Reading, harden};
use crate::fault::kill_point;
use crate::open::OpenError;
use crate::options::Options;
use crate::store::SqliteStore;
use crate::tables::{Stage, Tables};
use crate::{generations, migrate};

/// How every SQLite file begins.
const SQLITE_FILE: &[u8; 16] = b"SQLite format 3\0";
/// Instructions of SQLite's between two looks at the clock.
const STEPS: i32 = 10_000;

/// Why there is no backup.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file of that name.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It took too long.
    #[error("the backup was not written within {0:?}")]
    TooSlow(Duration),
    /// What was written is not whole: either the store is not, or the disk that the backup lies on.
    #[error("what was written is damaged: {0}")]
    Damaged(Corruption),
    /// The store or the backup could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backup could not be opened.
    #[error("the backup can't be opened")]
    Open(#[from] OpenError),
    /// SQLite failed.
    #[error("SQLite could not write the backup")]
    Sqlite(#[from] rusqlite::Error),
    /// The file could not be made.
    #[error("the file can't be written")]
    Io(#[from] io::Error),
}

/// Why a file is not one to restore from.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotABackup {
    /// It is no SQLite database.
    #[error("{} is no SQLite database", .0.display())]
    NotSqlite(PathBuf),
    /// It is a store in use, or was copied from one.
    #[error("{} has a write-ahead log beside it: it is a store, and not a backup", .0.display())]
    HasWal(PathBuf),
    /// Something in it is not ours.
    #[error("there is something in it that no FlightDeck has made: {0}")]
    Foreign(String),
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It can't be read.
    #[error("it can't be read")]
    Io(#[from] io::Error),
    /// SQLite can't read it.
    #[error("SQLite can't read it")]
    Sqlite(#[from] rusqlite::Error),
}

impl SqliteStore {
    /// Writes a backup to the file `to`, which must not be there, and checks it. Returns the head that it ends at.
    ///
    /// Beside a writer, the WAL grows for as long as it is written, at the most `time_max`.
    ///
    /// # Errors
    /// See [`BackupError`]; nothing of that name is there then.
    pub async fn backup(
        &self,
        to: &Path,
        time_max: Duration,
        watcher: &dyn Watcher,
    ) -> Result<(Head, Verified), BackupError> {
        let part = Part::create(to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
            _ => error.into(),
        })?;
        let (from, options, path) = (self.path().to_owned(), self.options().clone(), part.path().to_owned());
        let written = tokio::task::spawn_blocking(move || write(&from, &path, time_max, &options)).await;
        written.map_err(io::Error::other)??;
        let checked = self.check_part(part.path(), watcher).await?;
        kill_point!("backup-name");
        part.name().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
            _ => error.into(),
        })?;
        Ok(checked)
    }

    async fn check_part(&self, part: &Path, watcher: &dyn Watcher) -> Result<(Head, Verified), BackupError> {
        let copy = Self::open_reading(part, self.options().clone(), Access::Fill, Reading::Immutable)?;
        let verified = copy.check_all(watcher).await?;
        let head = copy.head().await?;
        match verified.problems.first() {
            Some(problem) => Err(BackupError::Damaged(problem.clone())),
            None => Ok((head, verified)),
        }
    }

    /// Looks at a file that somebody says is a backup, runs nothing that is in it, and opens it for reading when it is one.
    ///
    /// # Errors
    /// See [`NotABackup`].
    pub fn open_backup(path: impl AsRef<Path>, options: Options) -> Result<Self, NotABackup> {
        let path = path.as_ref();
        let mut begins = [0; 16];
        let read = File::open(path)?.take(16).read(&mut begins)?;
        if read < 16 || begins != *SQLITE_FILE {
            return Err(NotABackup::NotSqlite(path.to_owned()));
        }
        if crate::open::has_wal(path) {
            return Err(NotABackup::HasWal(path.to_owned()));
        }
        let store = Self::open_reading(path, options, Access::Read, Reading::Immutable)?;
        store
            .look(|conn, _| Ok(foreign(conn)?))
            .map_err(|damage| match damage {
                crate::row::Damage::Corrupt(corruption) => OpenError::from(corruption).into(),
                crate::row::Damage::Sql(error) => NotABackup::Sqlite(error),
            })?
            .map_or(Ok(store), |what| Err(NotABackup::Foreign(what)))
    }
}

/// Writes the whole store into the empty file `part`, and marks it as a backup.
fn write(from: &Path, part: &Path, time_max: Duration, options: &Options) -> Result<(), BackupError> {
    let conn = Connection::open_with_flags(
        from,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(options.busy_wait)?;
    harden(&conn)?;
    // VACUUM attaches the file that it writes to.
    conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
    let begin = Instant::now();
    conn.progress_handler(STEPS, Some(move || begin.elapsed() > time_max))?;
    let vacuumed = conn.execute("VACUUM INTO ?1", [part.to_str().unwrap_or_default()]);
    kill_point!("backup-written");
    match vacuumed {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            return Err(BackupError::TooSlow(time_max));
        }
        other => other?,
    };
    let copy = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    harden(&copy)?;
    // It is flushed as a whole; a journal would only be left behind.
    copy.pragma_update(None, "journal_mode", "memory")?;
    migrate::set_standing(&copy, &Standing::Backup)?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// The first thing in a file that is not as our migrations make it, nor as its views want it.
fn foreign(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let taken: i64 = conn.query_row("SELECT count(*) FROM fd_migration", [], |row| row.get(0))?;
    let taken = usize::try_from(taken).unwrap_or(usize::MAX).min(SQLITE.len());
    let mut ours = Connection::open_in_memory()?;
    let now = flightdeck_core::Timestamp::from_micros(0).unwrap_or_else(|_| unreachable!("1970 is a time"));
    if migrate::run(&mut ours, &SQLITE[..taken], now).is_err() {
        return Ok(Some("its migrations".to_owned()));
    }
    let expected = schema(&ours)?;
    if let Err(what) = make_views(conn, &ours) {
        return Ok(Some(what));
    }
    let (found, allowed) = (schema(conn)?, schema(&ours)?);
    let strange = found.iter().find(|entry| !allowed.contains(entry));
    let missing = expected.iter().find(|entry| !found.contains(entry));
    Ok(match (strange, missing) {
        (Some((kind, name, _)), _) => Some(format!("the {} {}", kind.escape_debug(), name.escape_debug())),
        (None, Some((kind, name, _))) => Some(format!("the {kind} {name} is not there")),
        (None, None) => None,
    })
}

/// Makes the tables that the views of a file must have, if what it says of them can be believed.
fn make_views(conn: &Connection, ours: &Connection) -> Result<(), String> {
    let text = |error: rusqlite::Error| format!("its views ({error})");
    for (id, plan, serving) in generations::every_one(conn).map_err(text)? {
        let plan = plan.map_err(|error| format!("its views ({error})"))?;
        let mut tables = Tables::of(id, &plan, false);
        tables.create(ours).and_then(|()| tables.rename(ours, serving)).map_err(text)?;
        Stage(&tables).begin(ours).map_err(text)?;
    }
    Ok(())
}

/// What a file declares, to the letter.
fn schema(conn: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let mut statement = conn.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}
