//! How a command ends: its exit code, and a text that says what to do next.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use flightdeck_store::MigrateError;
use flightdeck_store_sqlite::OpenError;

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

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
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
            OpenError::Migrate(MigrateError::TooNew { .. }) => {
                (CONFIGURATION, "install the newer flightdeck that made it")
            }
            OpenError::Migrate(MigrateError::Foreign) => {
                (CONFIGURATION, "name another file with --store sqlite:PATH")
            }
            OpenError::Migrate(MigrateError::Edited { .. }) => (
                CONFIGURATION,
                "run the flightdeck that the store was made with; a released migration never changes",
            ),
            OpenError::Damaged(_) => {
                (REFUSED, "restore a backup, or open the store for reading only and save what is good")
            }
            OpenError::Setting { .. } | OpenError::OldSqlite { .. } => {
                (CONFIGURATION, "use a flightdeck as it is released")
            }
            _ => (UNREACHABLE, "look whether the disk and the folder are there, and who may use them"),
        };
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
