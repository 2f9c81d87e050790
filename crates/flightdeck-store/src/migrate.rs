//! What bringing a store's tables up comes to, and why it may be refused: the same on every store.

use flightdeck_core::Timestamp;
use thiserror::Error;

use crate::append::Source;
use crate::whole::Standing;

/// The format of store that this program reads and writes. A store says which one a program must know at least.
pub const FORMAT: i64 = 1;

/// A migration, and whether the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// When it was applied; `None` when it is still to come.
    pub applied: Option<Timestamp>,
}

/// What a program is about to do with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only look what it is, whatever it is.
    Look,
    /// Only read.
    Read,
    /// Read and write.
    Write,
    /// Carry a log into it.
    Fill,
}

impl Access {
    /// The names under which a store keeps the formats that this asks a program to know.
    #[must_use]
    pub const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Look | Self::Read => &["min_reader"],
            Self::Write | Self::Fill => &["min_reader", "min_writer"],
        }
    }

    /// Refuses a store that stands so that this is not to be done with it.
    ///
    /// # Errors
    /// [`MigrateError::Unfinished`] and [`MigrateError::Moved`].
    pub fn check(self, standing: Standing) -> Result<(), MigrateError> {
        match (self, standing) {
            (Self::Read | Self::Write, Standing::Filling) => Err(MigrateError::Unfinished),
            (Self::Write | Self::Fill, Standing::Moved { to }) => Err(MigrateError::Moved { to }),
            _ => Ok(()),
        }
    }
}

/// Why a store can't be brought up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// A newer program made this store, and this one may not touch it.
    #[error("the store is of format {needed}, and this program knows format {FORMAT}: use a newer one")]
    TooNew {
        /// The format that a program must know.
        needed: i64,
    },
    /// The database is someone else's.
    #[error("this is a database, but not a FlightDeck store")]
    Foreign,
    /// A step that the store has is not the one that this program has.
    #[error("migration {number} is not the one that this store was built with")]
    Edited {
        /// The step.
        number: i64,
    },
    /// A log was being carried into this store, and not to its end.
    #[error("a log was being carried into this store, and is not all there")]
    Unfinished,
    /// The log is elsewhere now.
    #[error("the log was moved to {to}; it can be read here, and not appended to")]
    Moved {
        /// Where to.
        to: String,
    },
    /// The database could not do it.
    #[error("migration failed")]
    Storage(#[source] Source),
}
