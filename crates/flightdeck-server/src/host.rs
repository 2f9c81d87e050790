//! What every route works with: the store, its views, the desk, and who may what.

use std::sync::Arc;
use std::time::Instant;

use flightdeck_analytics::visitor::Policy;
use flightdeck_core::{Clock, Ids, Registry};
use flightdeck_projections::{Admin, AsOf, Defined, Watcher};
use flightdeck_store::view::ViewStore;
use flightdeck_store::{EventStore, Groups, StoreError};
use futures_util::future::BoxFuture;
pub use ipnet::IpNet;
use tokio::sync::watch;

use crate::audit::Audit;
use crate::authorise::Identify;
use crate::caller::Rates;
use crate::caps::{Caps, Met};
use crate::connections::Connections;
use crate::desk::Desk;
use crate::measure::Measured;
use crate::push::Push;

/// How a server goes about it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads that take requests.
    pub workers: usize,
    /// How much of anything it takes.
    pub caps: Caps,
    /// Whether visitors are asked before they are recorded.
    pub consent: Policy,
    /// Whether cookies are only sent over TLS.
    pub secure_cookies: bool,
    /// The sites, beside its own, whose pages may ask: `https://shop.example`, exactly.
    pub origins: Vec<String>,
    /// Whether it is served under any name where everyone may everything; else only under addresses, `localhost`, and the names of `origins`.
    pub any_host: bool,
    /// Whether spans are made of requests, for the tracer provider that the program has set.
    pub traces: bool,
    /// The proxies that are believed when they say who calls.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            caps: Caps::default(),
            consent: Policy::UnlessDeclined,
            secure_cookies: false,
            origins: Vec::new(),
            any_host: false,
            traces: false,
            trusted_proxies: Vec::new(),
        }
    }
}

/// What is known of a store beside its log, by whoever opened it: this crate knows no database.
#[derive(Debug, Clone, Default)]
pub struct StoreFacts {
    /// What kind of store it is.
    pub kind: Option<String>,
    /// How many bytes it takes on the disk, without its write-ahead log.
    pub size_bytes: Option<u64>,
    /// How many bytes its write-ahead log takes, where it has one of its own.
    pub wal_bytes: Option<u64>,
    /// What an answered append survives, in the words of the store.
    pub durability: Option<String>,
    /// How its writer commits.
    pub groups: Option<Arc<Groups>>,
}

/// Says what is known of a store.
pub(crate) type AskStore = Arc<dyn Fn() -> BoxFuture<'static, Result<StoreFacts, StoreError>> + Send + Sync>;

/// What every route works with.
pub struct Host {
    /// The log.
    pub store: Arc<dyn EventStore>,
    /// The views.
    pub views: Arc<dyn ViewStore>,
    /// Where commands to our aggregates are handled.
    pub desk: Desk,
    /// Which events are known, and who owns what.
    pub registry: Registry,
    /// How far every view is.
    pub watcher: Watcher,
    /// Views as of a moment.
    pub as_of: AsOf,
    /// What an administrator does to views.
    pub admin: Admin,
    /// The projections that are run here.
    pub projections: Vec<Defined>,
    /// Who asks.
    pub identify: Arc<dyn Identify>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// How it goes about it.
    pub options: Options,
    /// How often each limit was met.
    pub met: Arc<Met>,
    /// The connections that are open.
    pub connections: Connections,
    /// What was measured.
    pub measured: Measured,
    /// Since when it runs.
    pub begun: Instant,
    /// What those who follow the log pull from.
    pub(crate) push: Arc<Push>,
    /// How often each caller may ask.
    pub(crate) rates: Rates,
    /// Who was refused, and who was let in.
    pub(crate) audit: Audit,
    /// What is known of the store beside its log.
    pub(crate) store_facts: Option<AskStore>,
    /// The OpenAPI document.
    pub(crate) document: bytes::Bytes,
    /// Whether it is stopping: whoever waits or streams ends then.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Host {
    /// The projection of that view, if it is run here.
    #[must_use]
    pub fn projection(&self, view: &str) -> Option<&Defined> {
        self.projections.iter().find(|defined| defined.plan().view().as_str() == view)
    }

    /// Whether the server is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("options", &self.options).finish_non_exhaustive()
    }
}
