//! Marks: what a decider wants its events found by, so that its rules can reach across streams.
//!
//! A rule such as "no two contents have the same slug" is about more than one stream. The decider has its events
//! carry a mark (`slug:hello`), both when they take and when they give up what the mark stands for; the last event
//! with the mark then says who owns it. Whoever handles a command asks for these events, puts them into the command, and
//! appends on the condition that nothing newer carries the mark.

use crate::stream::StreamId;
use crate::tag::Tag;
use crate::words::WordError;

/// What an event is to be found by. It is stored as a [`Tag`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// A tag that everyone may read.
    Open(Tag),
    /// A tag whose value nobody may read: it is hidden by the secret of the log before it is stored.
    Hidden {
        /// The tag's key.
        key: &'static str,
        /// What is to be hidden.
        value: String,
    },
}

impl Mark {
    /// A mark that everyone may read.
    ///
    /// # Errors
    /// When `key:value` is no tag.
    pub fn open(key: &'static str, value: impl std::fmt::Display) -> Result<Self, WordError> {
        Tag::new(format!("{key}:{value}")).map(Self::Open)
    }

    /// A mark whose value is hidden.
    #[must_use]
    pub fn hidden(key: &'static str, value: impl Into<String>) -> Self {
        Self::Hidden { key, value: value.into() }
    }
}

/// What a decision rests on beside its own stream: events with a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The last event with the mark: who owns what it stands for.
    Last(Mark),
    /// Every event with the mark, the oldest first. For marks that few events carry.
    Every(Mark),
}

impl Question {
    /// The mark that is asked for.
    #[must_use]
    pub const fn mark(&self) -> &Mark {
        match self {
            Self::Last(mark) | Self::Every(mark) => mark,
        }
    }
}

/// The answer to a [`Question`]: the events with their streams, the oldest first.
pub type Answer<E> = Vec<(StreamId, E)>;
