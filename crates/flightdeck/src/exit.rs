//! How a command ends: its exit code, and a text that says what to do next.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use flightdeck_store::MigrateError;
use {flightdeck_store_postgres as postgres, flightdeck_store_sqlite as sqlite};

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
    next: &'static str,
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}", self.text, self.next)
    }
}

impl Failure {
    /// The machine itself could not do it.
    pub(crate) fn machine(error: &std::io::Error) -> Self {
        Self::of(UNREACHABLE, error, "look whether the machine has memory and threads left")
    }

    /// An error with all that lies beneath it.
    fn of(code: u8, error: &dyn Error, next: &'static str) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(beneath) = source {
            text.push_str(": ");
            text.push_str(&beneath.to_string());
            source = beneath.source();
        }
        Self { code, text, next }
    }
}

/// What a refused migration means on any store; `elsewhere` says how to name another one.
fn migration(error: &MigrateError, elsewhere: &'static str) -> (u8, &'static str) {
    match error {
        MigrateError::TooNew { .. } => (CONFIGURATION, "install the newer flightdeck that made it"),
        MigrateError::Foreign => (CONFIGURATION, elsewhere),
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
