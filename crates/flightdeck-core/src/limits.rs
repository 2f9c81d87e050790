//! How much of anything is allowed: the limits that belong to the words and the log itself.
//!
//! They are constants, not settings: two stores that disagree about what a legal event is
//! could not copy from one another.

/// The greatest integer that every JSON reader holds exactly (2^53 − 1): positions and versions stay below 2^53.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// A stream name, in bytes.
pub const STREAM_NAME_BYTES_MAX: usize = 200;
/// An event type, in bytes.
pub const EVENT_TYPE_BYTES_MAX: usize = 64;
/// A tag, in bytes.
pub const TAG_BYTES_MAX: usize = 200;
/// Tags an event.
pub const TAGS_MAX: usize = 16;
/// An epoch's name, in bytes.
pub const EPOCH_BYTES_MAX: usize = 12;
/// An actor, a correlation or a causation, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 200;

/// One event's data, in bytes.
pub const EVENT_DATA_BYTES_MAX: usize = 256 * 1024;
/// One event's further metadata (the members that a client adds), in bytes.
pub const EVENT_METADATA_BYTES_MAX: usize = 16 * 1024;
/// How deep JSON may nest.
pub const JSON_DEPTH_MAX: usize = 64;

/// Events in one append.
pub const APPEND_EVENTS_MAX: usize = 1_000;
/// Data, metadata and tags of one append, in bytes.
pub const APPEND_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Streams whose expected state one append may name.
pub const APPEND_EXPECTED_MAX: usize = 1_000;
/// Items of one condition.
pub const CONDITION_ITEMS_MAX: usize = 64;
/// Types in one item of a condition, or in one filter.
pub const TYPES_MAX: usize = 64;
/// Streams and categories in one filter.
pub const FILTER_STREAMS_MAX: usize = 64;
/// How old a decision may be, in events, before its condition is refused as stale.
pub const CONDITION_AGE_EVENTS_MAX: i64 = 100_000;
/// A caller's name or an idempotency key, in bytes.
pub const REQUEST_KEY_BYTES_MAX: usize = 200;

/// Events (or streams) in one page.
pub const PAGE_EVENTS_MAX: usize = 1_000;
/// One page's data and metadata, in bytes; a page always holds at least one event.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Events that one page of a filtered read looks at before it says how far it came.
pub const PAGE_SCAN_EVENTS_MAX: i64 = 10_000;

/// The folded state of one stream, kept as a snapshot, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 4 * 1024 * 1024;
