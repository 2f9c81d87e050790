//! What can be set about a store on SQLite. Every default is safe.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{Clock, Ids};
use flightdeck_store::Groups;
use flightdeck_store::system::{SystemClock, SystemIds};

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
    /// Makes ids for events that come without.
    pub ids: Arc<dyn Ids>,
    /// How many reads run at once, each on a connection of its own.
    pub readers: u32,
    /// The pages that each of these connections keeps in memory at the most, in KiB. Only what is read is kept.
    pub reader_cache_kib: u32,
    /// How long opening waits for another process to let go of the store.
    pub lock_wait: Duration,
    /// How long a write waits for another program that holds SQLite's lock, before it answers *busy*.
    pub busy_wait: Duration,
    /// Below how much free space appends are refused.
    pub reserve: Reserve,
    /// How many appends may wait for the writer; who comes then waits to wait.
    pub queue_appends_max: usize,
    /// How many bytes may wait for the writer.
    pub queue_bytes_max: usize,
    /// Whether a network file system is good enough. SQLite's locks and shared memory often don't hold there.
    pub allow_network_file_system: bool,
    /// A quota: the file never grows beyond so many pages of 4 KiB.
    pub pages_max: Option<u32>,
    /// Where it is counted how the writer commits.
    pub groups: Arc<Groups>,
}

/// How much free space is kept back for checkpoints, so that a full disk stops appends and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reserve {
    /// 1 % of the disk, at most 256 MB.
    #[default]
    Automatic,
    /// So many bytes.
    Bytes(u64),
}

impl Reserve {
    /// The reserve on a disk of `disk_bytes`.
    #[must_use]
    pub fn bytes(self, disk_bytes: u64) -> u64 {
        match self {
            Self::Automatic => (disk_bytes / 100).min(256_000_000),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds::default()),
            readers: 4,
            reader_cache_kib: 64 * 1024,
            lock_wait: Duration::ZERO,
            busy_wait: Duration::from_secs(5),
            reserve: Reserve::default(),
            queue_appends_max: 4_096,
            queue_bytes_max: 64 * 1024 * 1024,
            allow_network_file_system: false,
            pages_max: None,
            groups: Arc::default(),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("readers", &self.readers)
            .field("lock_wait", &self.lock_wait)
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}
