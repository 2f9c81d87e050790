//! How much of anything the server takes: one table, of which each row is a setting, stands in the README, and is counted when it is met.
//!
//! What an event is belongs to the log, whichever server writes it: there a server can be told to take less than the log would, and not more.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flightdeck_analytics::visitor::{BATCH_FACTS_MAX, FACT_BYTES_MAX};
use flightdeck_core::limits::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, EVENT_DATA_BYTES_MAX, EVENT_TYPE_BYTES_MAX, JSON_DEPTH_MAX,
    PAGE_BYTES_MAX, PAGE_EVENTS_MAX, STREAM_NAME_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX,
};
use thiserror::Error;

/// The limits: what each is called, what it is when nobody says, between what it may be, and what it is about. Names never change.
macro_rules! caps {
    ($($name:ident $text:literal = $default:expr, $least:expr, $most:expr, $about:literal;)*) => {
        /// A limit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Cap { $(#[doc = $about] $name,)* }

        impl Cap {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it is called, in settings and in the metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it is about.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }

            /// What it is when nobody says.
            #[must_use]
            pub const fn default(self) -> usize {
                match self { $(Self::$name => $default,)* }
            }

            /// Between what it may be.
            #[must_use]
            pub const fn range(self) -> (usize, usize) {
                match self { $(Self::$name => ($least, $most),)* }
            }
        }
    };
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const HOUR: usize = 3_600;
/// More than any machine has of anything that is counted.
const MANY: usize = 10_000_000;

caps! {
    EventDataBytes "event_data_bytes" = EVENT_DATA_BYTES_MAX, KIB, EVENT_DATA_BYTES_MAX, "the data of an event of an append, in bytes of JSON";
    JsonDepth "json_depth" = JSON_DEPTH_MAX, 8, JSON_DEPTH_MAX, "how deep JSON may nest";
    StreamNameBytes "stream_name_bytes" = STREAM_NAME_BYTES_MAX, 64, STREAM_NAME_BYTES_MAX, "the name of a stream that is appended to";
    EventTypeBytes "event_type_bytes" = EVENT_TYPE_BYTES_MAX, 32, EVENT_TYPE_BYTES_MAX, "the type of an event of an append";
    TagBytes "tag_bytes" = TAG_BYTES_MAX, 64, TAG_BYTES_MAX, "a tag of such an event";
    Tags "tags" = TAGS_MAX, 1, TAGS_MAX, "tags of such an event";
    AppendEvents "append_events" = APPEND_EVENTS_MAX, 1, APPEND_EVENTS_MAX, "events an append";
    AppendBytes "append_bytes" = APPEND_BYTES_MAX, KIB, APPEND_BYTES_MAX, "data, metadata and tags of an append, in bytes";
    AppendBodyBytes "append_body_bytes" = 5 * MIB, KIB, 16 * MIB, "the body of an append";
    BodyBytes "body_bytes" = MIB, KIB, 16 * MIB, "the body of any other request";
    FactBytes "fact_bytes" = FACT_BYTES_MAX, 256, FACT_BYTES_MAX, "what a visitor did once, in bytes of JSON";
    Facts "facts" = BATCH_FACTS_MAX, 1, BATCH_FACTS_MAX, "what a visitor did, in one request";
    PageEvents "page_events" = PAGE_EVENTS_MAX, 1, PAGE_EVENTS_MAX, "events or items a page (`limit`)";
    PageBytes "page_bytes" = PAGE_BYTES_MAX, KIB, PAGE_BYTES_MAX, "a page in bytes, about: beyond that it ends sooner, and goes on behind its `next`";
    RingBytes "ring_bytes" = 64 * MIB, 64 * KIB, 4096 * MIB, "the newest part of the log that is held for those who follow it, about";
    CallerFollowers "caller_followers" = 256, 1, MANY, "those of one caller who follow the log at once, by whichever transport. Not counted while `auth` is `open`";
    SocketMessageBytes "socket_message_bytes" = 64 * KIB, KIB, MIB, "a message to a WebSocket, whole";
    Subscriptions "subscriptions" = 128, 1, KIB, "subscriptions of a WebSocket at once";
    SubscriptionPatterns "subscription_patterns" = 512, 64, 64 * KIB, "streams, types and tags that all subscriptions of a WebSocket name together";
    SocketControls "socket_controls" = 20, 1, MANY, "pings and pongs to a WebSocket, a second";
    HeadSeconds "head_seconds" = 5, 1, HOUR, "how long the head of a request may take to come";
    BodySeconds "body_seconds" = 10, 1, HOUR, "how long its body may take to come";
    BodyBytesPerSecond "body_bytes_per_second" = KIB, 1, MIB, "and a second longer for each of so many bytes that have come";
    KeepAliveSeconds "keep_alive_seconds" = 15, 1, HOUR, "how long a connection stays open with nothing on it; with what is no request, as long as a head may take more";
    StalledSeconds "stalled_seconds" = 30, 1, HOUR, "how long nothing of what was sent may be taken before a connection is given up";
    WaitSeconds "wait_seconds" = 60, 0, 60, "how long a page waits for something to come (`wait`)";
    PositionWaitSeconds "position_wait_seconds" = 2, 0, HOUR, "how long a read waits for `FlightDeck-Min-Position`";
    DrainSeconds "drain_seconds" = 8, 0, 9, "how long requests that run may take when the server is told to stop";
    Connections "connections" = 16_384, 1, MANY, "connections at once, shared out among the threads; whoever comes then waits for one to end. Each is two files: never more than half the files that the process may open, less 256";
    CallerConnections "caller_connections" = 256, 1, MANY, "connections of one caller at once; whoever has more hears so, and beyond twice as many they are cut off. Not counted while `auth` is `open`";
    CallerRequestsPerSecond "caller_requests_per_second" = 1_000, 1, MANY, "requests of one caller a second, and twice as many at once; not counted while `auth` is `open`";
}

impl Cap {
    /// Whether it is counted how often it was met. What is beyond the ring is in the log; a peer that takes nothing is given up by the machine, and what is still running at the end is
    /// cut off with the program that counts.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        !matches!(self, Self::RingBytes | Self::StalledSeconds | Self::DrainSeconds)
    }
}

/// Why something is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CapError {
    /// There is none of that name.
    #[error("there is no limit {0:?}; `flightdeck config` lists them all")]
    Unknown(String),
    /// It may not be that.
    #[error("{name} is {value:?}, and may be {least} to {most}", name = .cap.as_str())]
    OutOfRange {
        /// Which.
        cap: Cap,
        /// What it shall be.
        value: String,
        /// What it is at the least.
        least: usize,
        /// What it is at the most.
        most: usize,
    },
}

/// What every limit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps([usize; Cap::ALL.len()]);

impl Default for Caps {
    fn default() -> Self {
        let mut all = [0; Cap::ALL.len()];
        for cap in Cap::ALL {
            all[*cap as usize] = cap.default();
        }
        Self(all)
    }
}

impl Caps {
    /// What they are when nobody says.
    #[must_use]
    pub fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<Caps> = LazyLock::new(Caps::default);
        &BUILT_IN
    }

    /// What a limit is.
    #[must_use]
    pub const fn get(&self, cap: Cap) -> usize {
        self.0[cap as usize]
    }

    /// What a limit is that is told in seconds.
    #[must_use]
    pub const fn time(&self, cap: Cap) -> Duration {
        Duration::from_secs(self.get(cap) as u64)
    }

    /// The same, with another limit.
    ///
    /// # Errors
    /// When it may not be that.
    pub fn with(mut self, cap: Cap, value: usize) -> Result<Self, CapError> {
        let (least, most) = cap.range();
        if !(least..=most).contains(&value) {
            return Err(CapError::OutOfRange { cap, value: value.to_string(), least, most });
        }
        self.0[cap as usize] = value;
        Ok(self)
    }

    /// Reads a limit by its name.
    ///
    /// # Errors
    /// When there is none of that name, or it may not be that.
    pub fn read(name: &str, value: &str) -> Result<(Cap, usize), CapError> {
        let known = Cap::ALL.iter().find(|cap| cap.as_str() == name);
        let cap = *known.ok_or_else(|| CapError::Unknown(name.to_owned()))?;
        let (least, most) = cap.range();
        let read = value.parse().ok().filter(|value| (least..=most).contains(value));
        let wrong = || CapError::OutOfRange { cap, value: value.to_owned(), least, most };
        read.map(|read| (cap, read)).ok_or_else(wrong)
    }
}

/// How often each limit was met.
#[derive(Debug, Default)]
pub struct Met([AtomicU64; Cap::ALL.len()]);

impl Met {
    /// A limit was met.
    pub fn note(&self, cap: Cap) {
        self.0[cap as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often a limit was met.
    #[must_use]
    pub fn count(&self, cap: Cap) -> u64 {
        self.0[cap as usize].load(Ordering::Relaxed)
    }
}

/// How deep JSON nests; of what is none, how deep it looks.
pub(crate) fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json {
        match (in_text, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::{Cap, CapError, Caps, depth};

    #[test]
    fn a_limit_is_what_was_said_and_else_what_is_built_in() {
        let caps = Caps::default().with(Cap::Tags, 3).unwrap();
        assert_eq!((caps.get(Cap::Tags), caps.get(Cap::HeadSeconds)), (3, 5));
        assert_eq!(Caps::read("tags", "3"), Ok((Cap::Tags, 3)));
        for bad in ["0", "17", "-1", "", "3.0", "99999999999999999999"] {
            assert!(matches!(Caps::read("tags", bad), Err(CapError::OutOfRange { .. })), "{bad}");
        }
        assert!(Caps::default().with(Cap::Tags, 17).is_err());
        assert!(matches!(Caps::read("tag", "3"), Err(CapError::Unknown(_))));
        for cap in Cap::ALL {
            let (least, most) = cap.range();
            assert!((least..=most).contains(&cap.default()), "{cap:?}");
        }
    }

    #[test]
    fn depth_is_counted_outside_of_texts() {
        for (json, deep) in [
            ("1", 0),
            ("[]", 1),
            ("{\"a\":[1,{}],\"b\":[]}", 3),
            ("\"[[\\\"[[\"", 0),
            ("[\"\\\\\",[]]", 2),
            ("[[", 2),
            ("]]", 0),
        ] {
            assert_eq!(depth(json.as_bytes()), deep, "{json}");
        }
    }

    #[test]
    fn codegen_limits_of_http() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
        // Whoever has this crate without the repository has nothing to hold it against.
        let Ok(readme) = std::fs::read_to_string(path) else { return };
        let (begin, end) = ("<!-- limits: made by `cargo xtask codegen` -->\n", "<!-- end of limits -->\n");
        let (head, rest) = readme.split_once(begin).expect("the README says where the table begins");
        let (_, tail) = rest.split_once(end).expect("the README says where the table ends");
        let mut table =
            String::from("| limit | default | may be | what it is |\n| --- | --- | --- | --- |\n");
        for cap in Cap::ALL {
            let (least, most) = cap.range();
            let (name, default, about) = (cap.as_str(), cap.default(), cap.about());
            table.push_str(&format!("| `{name}` | {default} | {least} to {most} | {about} |\n"));
        }
        let text = format!("{head}{begin}{table}{end}{tail}");
        if std::env::var_os("FLIGHTDECK_CODEGEN").is_some_and(|what| what == "write") {
            std::fs::write(path, &text).unwrap();
        } else {
            assert!(readme == text, "the table of limits is behind its code: run `cargo xtask codegen`");
        }
    }
}
