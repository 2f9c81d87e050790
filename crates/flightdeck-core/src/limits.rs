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
/// Members of a body that do not belong there and are told by their names; of the rest it is told how many they are.
pub const LEFT_OVER_MAX: usize = 20;
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

/// Events of the log, whether they pass or not, that one answer to a question looks at.
pub const QUESTION_EVENTS_MAX: i64 = 1_000_000;
/// How long one answer to a question may take, in milliseconds.
pub const QUESTION_TIME_MS_MAX: u64 = 10_000;
/// Rows of a count by day and type.
pub const QUESTION_ROWS_MAX: usize = 10_000;
/// Streams that are compared to find the ones that are alike; of types that they have, there may be a tenth as many.
pub const QUESTION_STREAMS_MAX: usize = 100_000;
/// The path that a question looks at, in bytes.
pub const QUESTION_PATH_BYTES_MAX: usize = 1_000;
/// The value that a question looks for, in bytes.
pub const QUESTION_VALUE_BYTES_MAX: usize = 4_096;

/// The folded state of one stream, kept as a snapshot, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    //! The table of limits in this crate's README, made from the constants above and their sentences.

    /// A constant's sentence, name and value.
    fn table() -> String {
        let values = [
            super::INTEGER_MAX,
            bytes(super::STREAM_NAME_BYTES_MAX),
            bytes(super::EVENT_TYPE_BYTES_MAX),
            bytes(super::TAG_BYTES_MAX),
            bytes(super::TAGS_MAX),
            bytes(super::EPOCH_BYTES_MAX),
            bytes(super::REFERENCE_BYTES_MAX),
            bytes(super::EVENT_DATA_BYTES_MAX),
            bytes(super::EVENT_METADATA_BYTES_MAX),
            bytes(super::JSON_DEPTH_MAX),
            bytes(super::APPEND_EVENTS_MAX),
            bytes(super::APPEND_BYTES_MAX),
            bytes(super::APPEND_EXPECTED_MAX),
            bytes(super::LEFT_OVER_MAX),
            bytes(super::CONDITION_ITEMS_MAX),
            bytes(super::TYPES_MAX),
            bytes(super::FILTER_STREAMS_MAX),
            super::CONDITION_AGE_EVENTS_MAX,
            bytes(super::REQUEST_KEY_BYTES_MAX),
            bytes(super::PAGE_EVENTS_MAX),
            bytes(super::PAGE_BYTES_MAX),
            super::PAGE_SCAN_EVENTS_MAX,
            super::QUESTION_EVENTS_MAX,
            i64::try_from(super::QUESTION_TIME_MS_MAX).unwrap(),
            bytes(super::QUESTION_ROWS_MAX),
            bytes(super::QUESTION_STREAMS_MAX),
            bytes(super::QUESTION_PATH_BYTES_MAX),
            bytes(super::QUESTION_VALUE_BYTES_MAX),
            bytes(super::SNAPSHOT_BYTES_MAX),
        ];
        let mut rows = String::from("| limit | what | at most |\n| --- | --- | --- |\n");
        let (mut sentence, mut values) = (String::new(), values.into_iter());
        for line in include_str!("limits.rs").lines().take_while(|line| !line.starts_with("#[cfg(test)]")) {
            if let Some(text) = line.strip_prefix("/// ") {
                sentence = text.trim_end_matches('.').to_owned();
            } else if let Some((name, _)) =
                line.strip_prefix("pub const ").and_then(|line| line.split_once(':'))
            {
                let value = values.next().expect("every constant has its value above");
                rows.push_str(&format!("| `{name}` | {sentence} | {value} |\n"));
            }
        }
        assert_eq!(values.next(), None, "every value has its constant");
        rows
    }

    fn bytes(number: usize) -> i64 {
        i64::try_from(number).unwrap()
    }

    #[test]
    fn codegen_limits() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (head, _) = readme.split_once("## Limits\n").expect("the README has a section of limits");
        let text =
            format!("{head}## Limits\n\nMade from `src/limits.rs` by `cargo xtask codegen`.\n\n{}", table());
        if std::env::var_os("FLIGHTDECK_CODEGEN").is_some_and(|what| what == "write") {
            std::fs::write(path, &text).unwrap();
        } else {
            assert!(readme == text, "the table of limits is behind its code: run `cargo xtask codegen`");
        }
    }
}
