//! What is known of streams that were asked for: their folded state, until the log has something new of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flightdeck_core::{Category, Cursor, Decider, StoredEvents, StreamId};
use flightdeck_domain::token::Token;
use flightdeck_domain::user::User;
use flightdeck_store::{EventStore, Filter, Handler, LogPage, LogQuery, StoreError, StreamPattern, Tail};

use tokio::sync::Semaphore;

use crate::problem::Problem;

/// Streams that are kept in mind at the most.
const KNOWN_MAX: usize = 10_000;
/// How often the log is looked at although nothing told of it.
const POLL: Duration = Duration::from_millis(250);
/// When the log was not looked at for so long, nothing that is known counts.
const FRESH: Duration = Duration::from_secs(1);

/// Streams that are read at once: whoever shows what nobody knows waits for others who do, and for nobody else.
const LOOKUPS_MAX: usize = 2;

/// The folded states of some streams.
pub(super) struct Known<D: Decider> {
    handler: Handler<D>,
    lookups: Semaphore,
    states: Mutex<States<D::State>>,
}

struct States<S> {
    by_stream: HashMap<StreamId, Arc<S>>,
    /// How often something was forgotten: what was read before that may be older.
    forgotten: u64,
    /// When the log was last looked at.
    looked: Option<Instant>,
}

impl<D> Known<D>
where
    D: Decider<Event: StoredEvents, Command: Clone, State: PartialEq>,
{
    pub(super) fn of(store: Arc<dyn EventStore>) -> Arc<Self> {
        let states = States { by_stream: HashMap::new(), forgotten: 0, looked: None };
        let lookups = Semaphore::new(LOOKUPS_MAX);
        Arc::new(Self { handler: Handler::new(store), lookups, states: Mutex::new(states) })
    }

    fn lock(&self) -> MutexGuard<'_, States<D::State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a stream: as it is, or was a moment ago.
    pub(super) async fn state(&self, stream: &StreamId) -> Result<Arc<D::State>, Problem>
    where
        Problem: From<flightdeck_store::HandleError<D::Error>>,
    {
        let forgotten = {
            let states = self.lock();
            let is_fresh = states.looked.is_some_and(|looked| looked.elapsed() < FRESH);
            if let Some(state) = states.by_stream.get(stream).filter(|_| is_fresh) {
                return Ok(Arc::clone(state));
            }
            states.forgotten
        };
        // It is never closed.
        let turn = self.lookups.acquire().await;
        let state = Arc::new(self.handler.load(stream).await?.state);
        drop(turn);
        let mut states = self.lock();
        // Whoever thinks up credentials drives nobody's out.
        let is_worth_it = *state != D::initial() && states.looked.is_some();
        if states.forgotten == forgotten && is_worth_it {
            if states.by_stream.len() >= KNOWN_MAX
                && let Some(any) = states.by_stream.keys().next().cloned()
            {
                states.by_stream.remove(&any);
            }
            states.by_stream.insert(stream.clone(), Arc::clone(&state));
        }
        Ok(state)
    }

    fn forget(&self, stream: &StreamId) {
        let mut states = self.lock();
        states.forgotten += 1;
        states.by_stream.remove(stream);
    }

    /// What the log had then is looked at.
    fn looked(&self, at: Instant) {
        self.lock().looked = Some(at);
    }

    fn forget_all(&self) {
        let mut states = self.lock();
        states.forgotten += 1;
        states.looked = None;
        states.by_stream.clear();
    }
}

/// Forgets what the log has something new of, for as long as it runs.
pub(super) async fn follow(
    store: Arc<dyn EventStore>,
    log: Tail,
    tokens: Arc<Known<Token>>,
    users: Arc<Known<User>>,
) {
    let mut changes = log.watch();
    let mut at = None;
    loop {
        changes.mark_unchanged();
        match next(&*store, &log, at.take(), &tokens, &users).await {
            Ok(read_to) => at = Some(read_to),
            Err(error) => {
                tracing::warn!(%error, "what is known of credentials can't be kept up to date, and does not count");
                tokens.forget_all();
                users.forget_all();
            }
        }
        if let Ok(Err(_closed)) = tokio::time::timeout(POLL, changes.changed()).await {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Looks at what the log has behind that, and says how far that was.
async fn next(
    store: &dyn EventStore,
    log: &Tail,
    at: Option<Cursor>,
    tokens: &Known<Token>,
    users: &Known<User>,
) -> Result<Cursor, StoreError> {
    let Some(at) = at else {
        let begun = Instant::now();
        let head = store.head().await?.cursor;
        tokens.forget_all();
        users.forget_all();
        tokens.looked(begun);
        users.looked(begun);
        return Ok(head);
    };
    let begun = Instant::now();
    // The tail may be behind, and not know it: how far the log is says the store.
    let head = store.head().await?.cursor;
    let streams = [Token::CATEGORY, User::CATEGORY].into_iter().filter_map(|name| Category::new(name).ok());
    let streams = streams.map(StreamPattern::Category).collect();
    let mut query = LogQuery::after(at).matching(Filter { streams, ..Filter::ALL });
    loop {
        let whole = |page: &LogPage| {
            page.head.epoch() == head.epoch() && (!page.end || page.scanned_to >= head.position())
        };
        let page = match log.page(&query).filter(whole) {
            Some(page) => page,
            None => store.read_log(&query).await?,
        };
        for event in &page.events {
            tokens.forget(&event.stream);
            users.forget(&event.stream);
        }
        match query.next(&page) {
            Some(next) if !page.end => query = next,
            _ => {
                tokens.looked(begun);
                users.looked(begun);
                return Ok(Cursor::new(page.head.epoch().clone(), page.scanned_to));
            }
        }
    }
}
