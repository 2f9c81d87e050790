//! Push: how events reach whoever follows the log.
//!
//! Nothing is sent to anybody: whoever follows is a number, the position up to which everything that it may see was handed to it, and pulls what is
//! behind that whenever its socket takes more. It pulls from the log ([`pager`], in pages that are shared) as long as the
//! newest part of the log does not begin at or before that number, and then from the newest part ([`ring`], which one task of the node fills). Both
//! have the same order, and each is whole in its stretch, so that to go from one to the other is to compare two numbers.
//! A slow reader takes no memory and holds nothing up: it falls off the ring, and is back at the log.
//!
//! - [`ring`]: the newest events, encoded once for everybody;
//! - [`reader`]: the task that reads the log and fills it;
//! - [`pager`]: pages of the log, one read for all who want the same;
//! - [`registry`]: who waits on a thread, and for what, so that an event wakes those it is for;
//! - [`subscriber`]: the number, and what comes next; knows no transport;
//! - [`stay`]: whether somebody may go on, and [`seat`]: who follows, counted and told of;
//! - [`body`]: what is handed out as a body that never ends, in the form of [`sse`] or as lines;
//! - [`socket`]: the same on a WebSocket, of which [`frames`] are the frames and [`protocol`] the messages. None of these knows a store.

pub(crate) mod body;
pub(crate) mod frames;
pub(crate) mod pager;
pub(crate) mod protocol;
pub(crate) mod reader;
pub(crate) mod registry;
pub(crate) mod ring;
pub(crate) mod seat;
pub(crate) mod socket;
pub(crate) mod sse;
pub(crate) mod stay;
pub(crate) mod subscriber;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use flightdeck_store::EventStore;
use tokio::task::AbortHandle;

use self::pager::Pager;
use self::ring::Ring;
use self::seat::Seats;

/// What a node pushes from.
pub(crate) struct Push {
    pub(crate) ring: Arc<Ring>,
    pub(crate) pager: Pager,
    pub(crate) counted: Counted,
    pub(crate) seats: Seats,
    reading: AbortHandle,
}

/// What was counted, for the metrics.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Events that were handed out.
    pub(crate) delivered: AtomicU64,
    /// How often one fell off the ring, and was back at the log.
    pub(crate) fell_behind: AtomicU64,
    /// Reads of the log, for those who are not on the ring.
    pub(crate) reads: AtomicU64,
}

impl Push {
    /// Begins at the head. Needs a tokio runtime.
    pub(crate) fn start(store: &Arc<dyn EventStore>, ring_bytes: usize) -> Arc<Self> {
        let ring = Arc::new(Ring::new(ring_bytes));
        let reading = tokio::spawn(reader::fill(Arc::clone(store), Arc::clone(&ring))).abort_handle();
        Arc::new(Self {
            ring,
            pager: Pager::new(Arc::clone(store)),
            counted: Counted::default(),
            seats: Seats::default(),
            reading,
        })
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
