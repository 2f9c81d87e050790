//! What can be set about a store on PostgreSQL. Every default is safe.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{Clock, Ids};
use flightdeck_store::Groups;
use flightdeck_store::system::SystemIds;

use crate::open::OpenError;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The schema that everything lies in.
    pub schema: Schema,
    /// How this node hears of what other nodes append.
    pub listen: Listen,
    /// Says what time it is. `None`: the database does, which is right for several nodes.
    pub clock: Option<Arc<dyn Clock>>,
    /// Makes ids for events that come without.
    pub ids: Arc<dyn Ids>,
    /// How many reads run at once, each on a connection of its own, and how many questions to views beside them.
    pub readers: usize,
    /// How long a connection may take to be made.
    pub connect_wait: Duration,
    /// How long the database may take for one answer. An append that takes longer is *busy* as long as it waits for its
    /// turn, and *unknown* once it may have been committed.
    pub answer_wait: Duration,
    /// How long a peer may leave what we sent unacknowledged before the connection counts as dead.
    pub dead_peer_wait: Duration,
    /// How often this node looks at the head although nothing told it to.
    pub poll: Duration,
    /// How many appends may wait for the writer; who comes then waits to wait.
    pub queue_appends_max: usize,
    /// How many bytes may wait for the writer.
    pub queue_bytes_max: usize,
    /// Whether a database is good enough that acknowledges what a power cut can take back.
    pub allow_unsafe_durability: bool,
    /// Where it is counted how the writer of this node commits.
    pub groups: Arc<Groups>,
}

/// How a node hears of what others append.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Listen {
    /// By notifications, on a connection like the others.
    #[default]
    Same,
    /// By notifications, on a connection to this URL: needed where the others go through a pool that hands
    /// connections out by the transaction.
    Url(String),
    /// By looking every [`Options::poll`], and not at all otherwise.
    Never,
}

/// The name of a schema: 1 to 40 lower-case letters, digits and `_`, not beginning with a digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schema(String);

impl Schema {
    /// Takes a name that is legal. It goes into SQL as it is, so nothing else is let in.
    ///
    /// # Errors
    /// When it is not legal.
    pub fn new(name: impl Into<String>) -> Result<Self, OpenError> {
        let name = name.into();
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
        match begins && name.len() <= 40 && name.bytes().all(legal) && !name.starts_with("pg_") {
            true => Ok(Self(name)),
            false => Err(OpenError::Url(format!(
                "the schema {name:?} is not 1 to 40 lower-case letters, digits and _ that begin with no digit and no pg_"
            ))),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The channel that its notifications come on.
    pub(crate) fn channel(&self) -> String {
        format!("fd_{}", self.0)
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self("flightdeck".to_owned())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: Schema::default(),
            listen: Listen::default(),
            clock: None,
            ids: Arc::new(SystemIds::default()),
            readers: 4,
            connect_wait: Duration::from_secs(5),
            answer_wait: Duration::from_secs(10),
            dead_peer_wait: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            queue_appends_max: 4_096,
            queue_bytes_max: 64 * 1024 * 1024,
            allow_unsafe_durability: false,
            groups: Arc::default(),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("schema", &self.schema)
            .field("readers", &self.readers)
            .field("answer_wait", &self.answer_wait)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Schema;

    #[test]
    fn a_schema_is_a_plain_name() {
        for good in ["flightdeck", "_a1", &"x".repeat(40)] {
            assert!(Schema::new(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "A", "a-b", "a\"b", "a b", "pg_x", "é", &"x".repeat(41)] {
            assert!(Schema::new(bad).is_err(), "{bad:?} was taken");
        }
    }
}
