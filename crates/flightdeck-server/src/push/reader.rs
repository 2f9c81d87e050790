//! The task that reads the end of the log and fills the ring: one a node, however many follow.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_store::{EventStore, Limit, LogQuery, StoreError};
use tokio::time::{Instant, sleep_until, timeout};

use super::ring::{Ring, encode};

/// How far two rings of the bell are apart at least, so that what comes together goes out together. The first behind a silence is at once.
const LINGER: Duration = Duration::from_millis(2);
/// How often it looks although nothing told of the log.
const POLL: Duration = Duration::from_millis(500);
/// After so long of reads that fail, those who follow are told.
const FAILED: Duration = Duration::from_secs(10);
/// Events that are read at once.
const PAGE: usize = 512;

/// Fills the ring, for ever.
pub(super) async fn fill(store: Arc<dyn EventStore>, ring: Arc<Ring>) {
    let mut head = store.watch();
    let mut failing: Option<Instant> = None;
    loop {
        ring.wanted().await;
        head.mark_unchanged();
        let next = Instant::now() + LINGER;
        match read(&*store, &ring).await {
            Ok(true) => {
                failing = None;
                continue;
            }
            Ok(false) => failing = None,
            Err(error) => {
                tracing::warn!(%error, "the end of the log can't be read for those who follow it");
                let since = *failing.get_or_insert_with(Instant::now);
                // What is damaged stays so.
                if matches!(error, StoreError::Corrupt(_)) || since.elapsed() >= FAILED {
                    ring.fail();
                }
            }
        }
        if let Ok(Err(_closed)) = timeout(POLL, head.changed()).await {
            sleep_until(Instant::now() + POLL).await;
        }
        sleep_until(next).await;
    }
}

/// Takes in what has come. Whether there may be more.
async fn read(store: &dyn EventStore, ring: &Ring) -> Result<bool, StoreError> {
    let Some(known) = ring.head() else {
        ring.begin(&store.head().await?.cursor);
        return Ok(true);
    };
    let after = known.position();
    let query = LogQuery { limit: Limit::new(PAGE).unwrap_or_default(), ..LogQuery::after(known) };
    // Only what has come: that there is nothing is for the log to say, which knows of another epoch.
    let fresh = store.newest(&query).filter(|page| !page.events.is_empty());
    let page = match fresh {
        Some(page) => page,
        None => match store.read_log(&query).await {
            Ok(page) => page,
            Err(StoreError::EpochChanged { head }) => {
                ring.begin(&head);
                return Ok(true);
            }
            Err(error) => return Err(error),
        },
    };
    if page.head.position() < after {
        // It is another log, or has lost its end.
        ring.begin(&page.head);
        return Ok(true);
    }
    match page.events.is_empty() {
        true => ring.forget_old(),
        false => ring.take_in(encode(&page.events, page.head.epoch(), after)),
    }
    Ok(page.scanned_to < page.head.position())
}
