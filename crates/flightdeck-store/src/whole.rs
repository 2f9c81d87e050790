//! A store as a whole: what it takes to carry a log to another store, with its positions, times and hashes as they are.
//!
//! [`Whole`] hands out what lies beside the log, [`Fill`] takes all of it in. A store that is being filled is not in use: until
//! [`finish`](Fill::finish) it can't be opened for anything else, so that nobody takes half a log for a whole one; and
//! whoever was interrupted goes on where it stands.

use std::fmt;

use async_trait::async_trait;
use flightdeck_core::{Epoch, StreamId};
use thiserror::Error;

use crate::admit::Done;
use crate::append::Source;
use crate::chain::BrokenChain;
use crate::event::Recorded;
use crate::port::EventStore;
use crate::read::{Head, Limit, Snapshot, StoreError};
use crate::secret::Secret;
use crate::verify::{Verified, Watcher};

/// What a store remembers of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRequest {
    /// Whose key it is.
    pub caller: String,
    /// The key.
    pub key: String,
    /// What was asked for under it.
    pub fingerprint: [u8; 32],
    /// What was done.
    pub done: Done,
}

/// A snapshot, with the stream that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSnapshot {
    /// The stream.
    pub stream: StreamId,
    /// Its folded state.
    pub snapshot: Snapshot,
}

/// What a store is, as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    /// In use, or free to be.
    #[default]
    Live,
    /// A backup: the first that opens it for writing begins a new epoch.
    Backup,
    /// A log is being carried into it, and is not all there.
    Filling,
    /// The log has moved to another store: it can be read here, and not appended to.
    Moved {
        /// Where to.
        to: String,
    },
}

impl Standing {
    /// As a store keeps it.
    #[must_use]
    pub fn to_stored(&self) -> Option<String> {
        match self {
            Self::Live => None,
            Self::Backup => Some("backup".to_owned()),
            Self::Filling => Some("filling".to_owned()),
            Self::Moved { to } => Some(format!("moved {to}")),
        }
    }

    /// What a store kept. Whatever is not known is not for this program to use.
    #[must_use]
    pub fn from_stored(stored: Option<&str>) -> Self {
        match stored {
            None => Self::Live,
            Some("backup") => Self::Backup,
            Some(other) => match other.strip_prefix("moved ") {
                // It is shown to people, and may stand in a file of anybody's.
                Some(to) => Self::Moved { to: to.chars().filter(|c| !c.is_control()).collect() },
                None => Self::Filling,
            },
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("live"),
            Self::Backup => f.write_str("a backup"),
            Self::Filling => f.write_str("not filled to its end"),
            Self::Moved { to } => write!(f, "moved to {to}"),
        }
    }
}

/// A store that can be carried elsewhere.
#[async_trait]
pub trait Whole: EventStore {
    /// What is remembered of requests, by caller and key in the order of bytes, behind `after`.
    ///
    /// # Errors
    /// See [`StoreError`]; one that is damaged is [`StoreError::Corrupt`].
    async fn requests(
        &self,
        after: Option<(String, String)>,
        limit: Limit,
    ) -> Result<Vec<KeptRequest>, StoreError>;

    /// The snapshots, by the names of their streams in the order of bytes, behind `after`: some at a time, and none only when there are no
    /// more. One that is damaged is left out, for it is only a head start.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn snapshots(&self, after: Option<StreamId>) -> Result<Vec<KeptSnapshot>, StoreError>;

    /// Checks the whole store, and says how far it is.
    ///
    /// # Errors
    /// When the store can't be read at all.
    async fn verify_watched(&self, watcher: &dyn Watcher) -> Result<Verified, StoreError>;
}

/// Why a store takes nothing more in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FillError {
    /// What comes next does not follow what is there.
    #[error("what comes next does not follow what is there: {0}")]
    Broken(#[from] BrokenChain),
    /// An event says another version than its stream comes to.
    #[error("position {position} says version {says} of stream {stream}, which comes to {comes_to}")]
    Version {
        /// The event.
        position: i64,
        /// Its stream.
        stream: StreamId,
        /// The version it says.
        says: i64,
        /// The version it would have.
        comes_to: i64,
    },
    /// An event has an id that another one has.
    #[error("the id of position {position} is known already")]
    IdKnown {
        /// The event.
        position: i64,
    },
    /// A request speaks of events that are not there.
    #[error("request {key} of {caller} speaks of events that are not there")]
    Request {
        /// Whose key it is.
        caller: String,
        /// The key.
        key: String,
    },
    /// The store is not one to be filled.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database could not do it.
    #[error("the store could not take it in")]
    Storage(#[source] Source),
}

/// Why a store is not opened to be filled; `E` is why the store can't be opened at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotFilled<E: std::error::Error + 'static> {
    /// There are events in it that were not carried there.
    #[error("the store has {0} events already")]
    InUse(i64),
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] E),
}

/// A store that is being filled: with a log that is carried there, from its beginning.
#[async_trait]
pub trait Fill: Send + Sync {
    /// How far it has come.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn head(&self) -> Result<Head, StoreError>;

    /// Takes in the next events, all or none, as they are: each must follow the one before by position, version and hash, and
    /// the last must be the last of its append.
    ///
    /// # Errors
    /// See [`FillError`].
    async fn add_events(&self, events: Vec<Recorded>) -> Result<(), FillError>;

    /// Takes in what is remembered of requests; what is there already is left as it is.
    ///
    /// # Errors
    /// See [`FillError`].
    async fn add_requests(&self, requests: Vec<KeptRequest>) -> Result<(), FillError>;

    /// Takes in snapshots, in place of those that are there. One that is ahead of its stream is left out.
    ///
    /// # Errors
    /// See [`FillError`].
    async fn add_snapshots(&self, snapshots: Vec<KeptSnapshot>) -> Result<(), FillError>;

    /// Checks all that was taken in.
    ///
    /// # Errors
    /// When the store can't be read at all.
    async fn verify(&self, watcher: &dyn Watcher) -> Result<Verified, StoreError>;

    /// Ends it: the store is free to be used from here on, with the secret of the log, in this epoch, or in a new one.
    ///
    /// # Errors
    /// See [`FillError`].
    async fn finish(&self, epoch: Option<Epoch>, secret: Secret) -> Result<Head, FillError>;
}
