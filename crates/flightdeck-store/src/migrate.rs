//! What bringing a store's tables up comes to, and why it may be refused: the same on every store.

use flightdeck_core::Timestamp;
use thiserror::Error;

use crate::append::Source;

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
    /// Only read.
    Read,
    /// Read and write.
    Write,
}

impl Access {
    /// The names under which a store keeps the formats that this asks a program to know.
    #[must_use]
    pub const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Read => &["min_reader"],
            Self::Write => &["min_reader", "min_writer"],
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
    /// The database could not do it.
    #[error("migration failed")]
    Storage(#[source] Source),
}
