//! What an administrator sees of a server: its views, its store, its connections.

use flightdeck_core::{Cursor, EventId, Position, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every generation of every projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Projections {
    /// The head of the log.
    pub head: Cursor,
    /// The generations, by name, number and build.
    pub items: Vec<Projection>,
}

/// A generation of a projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Projection {
    /// The name.
    pub name: String,
    /// The number: another one is another projection.
    pub number: u32,
    /// Which build of it, from 1 on.
    pub build: u32,
    /// How it stands, in a word.
    pub state: ProjectionState,
    /// Whether it has caught up once, and can be asked.
    pub ready: bool,
    /// Whether somebody folds it just now.
    pub running: bool,
    /// How far it is.
    pub position: Position,
    /// How many events it is behind the head.
    #[schemars(range(min = 0))]
    pub lag: i64,
    /// Why it does not go on, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// The events that it was told to leave out.
    pub skips: Vec<Position>,
}

/// How a projection stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum ProjectionState {
    /// It answers whoever asks, also with SQL.
    Serving,
    /// It can be asked; SQL knows another.
    Ready,
    /// It is being built.
    Building,
    /// It was told to wait.
    Paused,
    /// It does not go on by itself; `halt` says why.
    Halted,
}

/// Why a projection does not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Halt {
    /// What kind of reason.
    pub kind: HaltKind,
    /// The event that it stands before.
    pub position: Position,
    /// Its id, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// What is wrong.
    pub error: String,
}

/// What kind of reason a projection has not to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum HaltKind {
    /// An event could not be folded, however often it was tried.
    Poison,
    /// An event has a shape that this program does not know yet.
    NeedsUpgrade,
    /// An event is damaged.
    Corrupt,
    /// The log is not the one that the view was folded from.
    Diverged,
    /// The store refuses to keep it as it is.
    Refused,
}

/// What was done to a projection: it is written down, and done soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Acted {
    /// The projection.
    pub projection: String,
    /// What.
    pub act: Act,
    /// The event that is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// What can be done to a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Act {
    /// Build it anew, beside the one in use.
    Rebuild,
    /// Let it wait.
    Pause,
    /// Let it go on.
    Resume,
    /// Leave out, for good, the event that it stands before.
    Skip,
}

/// What is known of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Store {
    /// What kind of store it is: `sqlite`, `postgres`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How many bytes it takes on the disk, without its write-ahead log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub size_bytes: Option<u64>,
    /// How many bytes its write-ahead log takes, where it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub wal_bytes: Option<u64>,
    /// What an answered append survives, in the words of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
    /// The head of the log.
    pub head: Cursor,
    /// The epoch of the log.
    pub epoch: String,
    /// How many events there are.
    pub events: Position,
}

/// The connections that are open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Connections {
    /// How many are open.
    #[schemars(range(min = 0))]
    pub open: u64,
    /// How many there were since the server began.
    #[schemars(range(min = 0))]
    pub accepted: u64,
    /// Those that are open, the oldest first.
    pub items: Vec<Connection>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Connection {
    /// Which one, since the server began.
    #[schemars(range(min = 1))]
    pub number: u64,
    /// How it came in.
    pub kind: ConnectionKind,
    /// The address at the other end; absent for the socket of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Since when it is open.
    pub since: Timestamp,
    /// How somebody follows the log by it; absent when nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follower>,
}

/// Somebody who follows the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Follower {
    /// By what.
    pub by: Transport,
    /// How many subscriptions there are.
    pub subscriptions: u32,
    /// From where it is handed what comes next.
    pub mode: FollowMode,
    /// Up to where everything was handed out; of many subscriptions, the one that is furthest behind.
    pub position: Position,
    /// How many positions that is behind the head.
    #[schemars(range(min = 0))]
    pub lag: i64,
    /// How many bytes were handed out.
    pub bytes: u64,
}

/// By what somebody follows the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Transport {
    /// Server-Sent Events.
    Events,
    /// Lines.
    Lines,
    /// A WebSocket on which every message is an event.
    Messages,
    /// A WebSocket with the protocol `flightdeck.v1`.
    Protocol,
}

/// From where somebody is handed what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum FollowMode {
    /// From the newest part of the log, as it comes.
    Live,
    /// From the log itself.
    CatchUp,
}

/// How a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum ConnectionKind {
    /// Over the network.
    Http,
    /// By the socket beside the store.
    Local,
}
