//! How a command ends: its exit code, and a text that says what to do next.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use flightdeck_store::archive::ArchiveError;
use flightdeck_store::transfer::TransferError;
use flightdeck_store::{AppendError, Corruption, MigrateError, NotFilled, Outcome, Reason, StoreError};
use {flightdeck_store_postgres as postgres, flightdeck_store_sqlite as sqlite};

/// Nobody reads standard output any more. Never an exit code.
const NOBODY_THERE: u8 = 0;
/// Refused, or damage found.
pub(crate) const REFUSED: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 64;
/// The store can't be reached.
pub(crate) const UNREACHABLE: u8 = 69;
/// Another process has the store.
pub(crate) const LOCKED: u8 = 75;
/// The configuration is wrong, or the store is newer than this program.
pub(crate) const CONFIGURATION: u8 = 78;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
    next: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A terminal must not be told what to do by what stands in a file.
        let text: String =
            self.text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
        match self.next.is_empty() {
            true => f.write_str(&text),
            false => write!(f, "{text}\n  {}", self.next),
        }
    }
}

impl Failure {
    /// The machine itself could not do it.
    pub(crate) fn machine(error: &std::io::Error) -> Self {
        Self::of(UNREACHABLE, error, "look whether the machine has memory and threads left")
    }

    /// Something is as it should not be.
    pub(crate) fn new(code: u8, text: impl Into<String>, next: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into(), next: next.into() }
    }

    /// A setting, or an argument, makes no sense.
    pub(crate) fn setting(text: String) -> Self {
        Self::new(CONFIGURATION, text, "see flightdeck config, and flightdeck help for what can be set")
    }

    /// An argument makes no sense.
    pub(crate) fn usage(text: String) -> Self {
        Self::new(USAGE, text, "see flightdeck help")
    }

    /// The one who reads what we write has gone: nothing is wrong, and nobody is there to be told.
    pub(crate) fn is_nobody_there(&self) -> bool {
        self.code == NOBODY_THERE
    }

    /// What is wrong.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The same failure, told otherwise.
    pub(crate) fn instead(self, text: String, next: String) -> Self {
        Self { text, next: next.into(), ..self }
    }

    /// An error with all that lies beneath it.
    pub(crate) fn of(code: u8, error: &dyn Error, next: &'static str) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(beneath) = source {
            text.push_str(": ");
            text.push_str(&beneath.to_string());
            source = beneath.source();
        }
        Self::new(code, text, next)
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        let (code, next) = migration(&error, "name another store");
        Self::of(code, &error, next)
    }
}

/// What a refused migration means on any store; `elsewhere` says how to name another one.
fn migration(error: &MigrateError, elsewhere: &'static str) -> (u8, &'static str) {
    match error {
        MigrateError::TooNew { .. } => (CONFIGURATION, "install the newer flightdeck that made it"),
        MigrateError::Foreign => (CONFIGURATION, elsewhere),
        MigrateError::Unfinished => (
            REFUSED,
            "run the same copy, import or restore again: it goes on where it stands; or begin anew once file or schema are removed",
        ),
        MigrateError::Moved { .. } => (
            REFUSED,
            "name the store that it was moved to; or take the seal off with flightdeck copy --reopen",
        ),
        MigrateError::Edited { .. } => (
            CONFIGURATION,
            "run the flightdeck that the store was made with; a released migration never changes",
        ),
        _ => (UNREACHABLE, "look whether the store is there, and whether this user may change its tables"),
    }
}

impl From<sqlite::OpenError> for Failure {
    fn from(error: sqlite::OpenError) -> Self {
        use sqlite::OpenError;
        let (code, next) = match &error {
            OpenError::Locked { .. } => {
                (LOCKED, "stop that process, or wait until it is done, and try again")
            }
            OpenError::ReadOnly { .. } => {
                (REFUSED, "run it as the user that owns the store, or mend the rights of file and folder")
            }
            OpenError::NotMigrated { .. } => (REFUSED, "make it with flightdeck migrate"),
            OpenError::NetworkFileSystem { .. } => {
                (CONFIGURATION, "name a path on a local disk with --store sqlite:PATH")
            }
            OpenError::Migrate(error) => migration(error, "name another file with --store sqlite:PATH"),
            OpenError::Damaged(_) => {
                (REFUSED, "restore a backup, or open the store for reading only and save what is good")
            }
            OpenError::Setting { .. } | OpenError::OldSqlite { .. } => {
                (CONFIGURATION, "use a flightdeck as it is released")
            }
            _ => (UNREACHABLE, "look whether the disk and the folder are there, and who may use them"),
        };
        Self::of(code, &error, next)
    }
}

impl From<postgres::OpenError> for Failure {
    fn from(error: postgres::OpenError) -> Self {
        use postgres::OpenError;
        let (code, next) = match &error {
            OpenError::Url(_) => {
                (CONFIGURATION, "write postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME")
            }
            OpenError::Unreachable(_) => (
                UNREACHABLE,
                "look whether the server runs, and whether host, port, user and password are right",
            ),
            OpenError::NotMigrated => (REFUSED, "make it, or bring it up, with flightdeck migrate"),
            OpenError::Encoding { .. } => (CONFIGURATION, "create a database with ENCODING 'UTF8'"),
            OpenError::OldServer { .. } => (CONFIGURATION, "upgrade the server, or name another one"),
            OpenError::Standby => (CONFIGURATION, "name the primary; standbys take no appends"),
            OpenError::UnsafeDurability { .. } => {
                (CONFIGURATION, "turn the setting on and reload the server")
            }
            OpenError::NoNotifications => (
                CONFIGURATION,
                "name a direct connection: a pool that hands connections out by the transaction hears nothing",
            ),
            OpenError::Migrate(error) => migration(error, "name another schema with ?schema=NAME"),
            OpenError::Damaged(_) => (REFUSED, "restore a backup"),
            _ => (UNREACHABLE, "look into the server's log"),
        };
        Self::of(code, &error, next)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(NOBODY_THERE, "", ""),
            _ => Self::of(
                REFUSED,
                &error,
                "look whether the file is there, who may use it, and whether the disk is full",
            ),
        }
    }
}

impl<E: Error + 'static> From<NotFilled<E>> for Failure
where
    Self: From<E>,
{
    fn from(error: NotFilled<E>) -> Self {
        match error {
            NotFilled::Open(error) => error.into(),
            other => Self::of(
                REFUSED,
                &other,
                "name a store that is empty or not there, of PostgreSQL another ?schema=NAME; nothing was changed",
            ),
        }
    }
}

impl From<sqlite::BackupError> for Failure {
    fn from(error: sqlite::BackupError) -> Self {
        use sqlite::BackupError;
        let next = match &error {
            BackupError::Exists(_) => {
                "name another file, or a folder: then the name is made from the position"
            }
            BackupError::TooSlow(_) => "give it longer with --time-max, or a faster disk",
            BackupError::Damaged(_) => "run flightdeck verify on the store; older backups may be good",
            _ => "look whether the disk has room, and who may write there; no backup was made",
        };
        Self::of(REFUSED, &error, next)
    }
}

impl From<sqlite::NotABackup> for Failure {
    fn from(error: sqlite::NotABackup) -> Self {
        use sqlite::NotABackup;
        match error {
            NotABackup::Open(error) => error.into(),
            NotABackup::HasWal(_) => {
                Self::of(REFUSED, &error, "carry it over with flightdeck copy, or make a backup of it")
            }
            _ => Self::of(
                REFUSED,
                &error,
                "name a file that flightdeck backup or flightdeck export has made; nothing was changed",
            ),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (code, next) = match &error {
            StoreError::Corrupt(_) => {
                (REFUSED, "run flightdeck verify to see what else is damaged; restore a backup")
            }
            StoreError::EpochChanged { .. } => {
                (REFUSED, "the cursor is of another life of the log: begin again from a position")
            }
            StoreError::Failed { reason: Reason::Storage, .. } => {
                (UNREACHABLE, "look into the server's log, and whether this user may read all of the store")
            }
            StoreError::Failed { .. } => (UNREACHABLE, "try again; if it stays so, run flightdeck doctor"),
            _ => (USAGE, "see flightdeck help"),
        };
        Self::of(code, &error, next)
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        let (code, next) = match (&error, error.outcome()) {
            (AppendError::Conflict(_), _) => {
                (REFUSED, "read the stream again, and decide anew; nothing was appended")
            }
            (AppendError::Invalid(_), _) => (USAGE, "nothing was appended"),
            (_, Outcome::Unknown) => (
                UNREACHABLE,
                "nobody knows whether it was appended: give the same command again if it had an --id or a --key; else look at the end of the stream first",
            ),
            (AppendError::NotCommitted { reason: Reason::ReadOnly, .. }, _) => {
                (REFUSED, "run it as a user that may append; nothing was appended")
            }
            (AppendError::NotCommitted { .. }, _) => (UNREACHABLE, "try again; nothing was appended"),
            _ => (REFUSED, "nothing was appended"),
        };
        Self::of(code, &error, next)
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        let next = match &error {
            TransferError::Source(_) => {
                "run flightdeck verify on the source; what was carried over stays, and the same command goes on"
            }
            TransferError::Target(_) => {
                "mend what is in the way, and run the same command again: it goes on where it stands"
            }
            _ => "the target holds part of another log: name an empty one",
        };
        Self::of(REFUSED, &error, next)
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Store(error) => error.into(),
            ArchiveError::Io(error) => error.into(),
            ArchiveError::Transfer(error) => error.into(),
            other => Self::of(REFUSED, &other, "mend the file, or name another one; nothing was changed"),
        }
    }
}

impl From<flightdeck_store::FillError> for Failure {
    fn from(error: flightdeck_store::FillError) -> Self {
        TransferError::Target(error).into()
    }
}

impl From<Corruption> for Failure {
    fn from(damage: Corruption) -> Self {
        StoreError::from(damage).into()
    }
}
