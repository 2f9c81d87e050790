//! Pages of the log for those who are not on the ring: read once for all who want the same, a few at a time, and kept for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flightdeck_core::{Cursor, Position};
use flightdeck_store::{EventStore, Filter, Limit, LogQuery, StoreError};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use super::Counted;
use super::ring::{AGE, Segment, encode};

/// Events a page.
const PAGE: i64 = 512;
/// Reads of the log at once: whoever catches up leaves room for all others.
const READS: usize = 3;
/// What is kept, in bytes, about.
const KEPT_BYTES: usize = 32 << 20;
/// What each word of its filter takes.
const WORD_BYTES: usize = 256;
/// What a page takes before anything is on it.
const EMPTY_BYTES: usize = 512;

/// A page of what passes a filter.
#[derive(Debug)]
pub(crate) struct Page {
    /// What passes, in segments.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Everything up to here was looked at.
    pub(crate) scanned_to: Position,
    /// Whether it came to the end of the log.
    pub(crate) end: bool,
}

type Key = (Arc<Filter>, Cursor);
type Read = Arc<OnceCell<Arc<Page>>>;

/// Reads pages, and keeps them.
pub(crate) struct Pager {
    store: Arc<dyn EventStore>,
    turns: Semaphore,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    pages: HashMap<Key, One>,
    /// In the order in which they were asked for, by their numbers.
    order: VecDeque<(Key, u64)>,
    bytes: usize,
    next: u64,
}

/// A page that is kept, or on its way.
struct One {
    number: u64,
    since: Instant,
    read: Read,
    /// What is on it.
    bytes: usize,
}

impl Pager {
    pub(crate) fn new(store: Arc<dyn EventStore>) -> Self {
        Self { store, turns: Semaphore::new(READS), kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page of what is behind `after` and passes the filter, and behind where it begins: there where the page began that came before it, or
    /// else a little before `after`, so that those who are near to one another get the same. `head` is how far the log is known to be.
    ///
    /// # Errors
    /// When the log can't be read, or is of another epoch.
    pub(crate) async fn page(
        &self,
        filter: &Arc<Filter>,
        after: &Cursor,
        begin: Option<Position>,
        head: Option<Position>,
        counted: &Counted,
    ) -> Result<(Position, Arc<Page>), StoreError> {
        let wanted = after.position();
        let aligned = Position::new(wanted.get() / PAGE * PAGE).unwrap_or(Position::START);
        let mut begin = begin.filter(|begin| *begin <= wanted).unwrap_or(aligned);
        loop {
            let page = self.read(filter, Cursor::new(after.epoch().clone(), begin), head, counted).await?;
            // (One that comes no further is the log's to explain.)
            if page.scanned_to > wanted || page.end || page.scanned_to <= begin {
                return Ok((begin, page));
            }
            // It ended before where it is wanted from: the next one begins there, for all who come that way.
            begin = page.scanned_to;
        }
    }

    async fn read(
        &self,
        filter: &Arc<Filter>,
        begin: Cursor,
        head: Option<Position>,
        counted: &Counted,
    ) -> Result<Arc<Page>, StoreError> {
        let key = (Arc::clone(filter), begin);
        let read = self.lock().known_or_new(&key, head);
        let page = read.get_or_try_init(async || {
            // It is never closed.
            let _turn = self.turns.acquire().await;
            counted.reads.fetch_add(1, Ordering::Relaxed);
            let limit = usize::try_from(PAGE).ok().and_then(|limit| Limit::new(limit).ok());
            let (limit, filter) = (limit.unwrap_or_default(), (*key.0).clone());
            let query = LogQuery { limit, filter, ..LogQuery::after(key.1.clone()) };
            let page = self.store.read_log(&query).await?;
            let segments = encode(&page.events, page.head.epoch(), key.1.position());
            let (scanned_to, end) = (page.scanned_to, page.end);
            let page = Arc::new(Page { segments, scanned_to, end });
            self.lock().takes(&key, &read, &page);
            Ok(page)
        });
        // After an error, whoever comes then tries again.
        page.await.cloned()
    }
}

impl Kept {
    /// The page with that key, read or to be read. One that came to the end of the log did so then, and is good as long as there is no more.
    fn known_or_new(&mut self, key: &Key, head: Option<Position>) -> Read {
        let is_young = |one: &&One| one.since.elapsed() <= AGE;
        let is_good = |read: &Read| {
            read.get().is_none_or(|page| !page.end || head.is_none_or(|head| page.scanned_to >= head))
        };
        if let Some(one) = self.pages.get(key).filter(is_young).filter(|one| is_good(&one.read)) {
            return Arc::clone(&one.read);
        }
        let (read, number) = (Read::default(), self.next);
        self.next += 1;
        self.order.push_back((key.clone(), number));
        self.bytes += empty(key);
        if let Some(before) = self
            .pages
            .insert(key.clone(), One { number, since: Instant::now(), read: Arc::clone(&read), bytes: 0 })
        {
            self.bytes -= before.bytes;
        }
        self.let_go();
        read
    }

    /// Counts what a page takes that was read.
    fn takes(&mut self, key: &Key, read: &Read, page: &Page) {
        let bytes = page.segments.iter().map(|segment| segment.weight()).sum();
        if let Some(one) = self.pages.get_mut(key).filter(|one| Arc::ptr_eq(&one.read, read)) {
            self.bytes += bytes - std::mem::replace(&mut one.bytes, bytes);
        }
        self.let_go();
    }

    /// Lets go of those that were asked for first.
    fn let_go(&mut self) {
        while self.bytes > KEPT_BYTES
            && let Some((key, number)) = self.order.pop_front()
        {
            self.bytes -= empty(&key);
            // One that was asked for anew since has another number.
            if self.pages.get(&key).is_some_and(|one| one.number == number)
                && let Some(one) = self.pages.remove(&key)
            {
                self.bytes -= one.bytes;
            }
        }
    }
}

/// What a page takes before anything is on it: most of it is the filter.
fn empty((filter, _): &Key) -> usize {
    let Filter { streams, types, tags } = &**filter;
    // As long as each may be.
    EMPTY_BYTES + (streams.len() + types.len() + tags.len()) * WORD_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use flightdeck_core::{Cursor, Position};
    use flightdeck_store::{Append, EventStore, Filter, MemoryStore, NewEvent, StreamPattern};
    use futures_util::future::join_all;

    use super::super::Counted;
    use super::{KEPT_BYTES, Pager};

    async fn store(count: usize) -> (Arc<dyn EventStore>, Cursor) {
        let (events, _) = crate::push::ring::tests::events(count).await;
        let store = MemoryStore::new();
        for event in events {
            let json = event.data.json().unwrap().clone();
            store.append(Append::of([NewEvent::new(event.stream, event.event_type, json)])).await.unwrap();
        }
        let head = store.head().await.unwrap().cursor;
        (Arc::new(store), head)
    }

    /// Whoever takes a page piece by piece, of which few events pass, has it read once.
    #[tokio::test]
    async fn the_rest_of_a_page_is_on_the_page() {
        let (store, head) = store(600).await;
        let streams = vec![StreamPattern::parse("a-1").unwrap()];
        let (pager, filter) = (Pager::new(store), Arc::new(Filter { streams, ..Filter::ALL }));
        let counted = Counted::default();
        let mut begin = None;
        for after in (0..600).step_by(37) {
            let after = Cursor::new(head.epoch().clone(), Position::new(after).unwrap());
            let (own, _) = pager.page(&filter, &after, begin, Some(head.position()), &counted).await.unwrap();
            begin = Some(own);
        }
        assert_eq!(counted.reads.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn those_who_are_near_to_one_another_share_a_read() {
        let (store, head) = store(2_000).await;
        let (pager, counted) = (Pager::new(store), Counted::default());
        let all = Arc::new(Filter::ALL);
        let at = |position: i64| Cursor::new(head.epoch().clone(), Position::new(position).unwrap());
        let asked = (0..500).map(async |number: i64| {
            let after = at(700 + number % 50);
            let page = pager.page(&all, &after, None, Some(head.position()), &counted).await.unwrap().1;
            let frames = page.segments.iter().flat_map(|segment| &segment.frames);
            let behind: Vec<_> =
                frames.map(|frame| frame.position).filter(|position| *position > after.position()).collect();
            assert_eq!((behind[0].get(), behind.last()), (701 + number % 50, Some(&page.scanned_to)));
        });
        join_all(asked).await;
        assert_eq!(counted.reads.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_page_to_the_end_is_read_anew_when_there_is_more() {
        let (store, head) = store(10).await;
        let (pager, counted, all) =
            (Pager::new(Arc::clone(&store)), Counted::default(), Arc::new(Filter::ALL));
        let begin = Cursor::new(head.epoch().clone(), Position::START);
        for _ in 0..3 {
            let page = pager.page(&all, &begin, None, Some(head.position()), &counted).await.unwrap().1;
            assert_eq!((page.scanned_to, page.end), (head.position(), true));
        }
        assert_eq!(counted.reads.load(Ordering::Relaxed), 1);
        let event = NewEvent::new(
            "a-1".parse().unwrap(),
            "A".parse().unwrap(),
            flightdeck_core::Json::new("1", 1).unwrap(),
        );
        let head = store.append(Append::of([event])).await.unwrap().cursor;
        let page = pager.page(&all, &begin, None, Some(head.position()), &counted).await.unwrap().1;
        assert_eq!((page.scanned_to, counted.reads.load(Ordering::Relaxed)), (head.position(), 2));
        // Of another log there is nothing to be had.
        let other = Cursor::new("other".parse().unwrap(), Position::START);
        assert!(pager.page(&all, &other, None, None, &counted).await.is_err());
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_also_by_what_nobody_waited_for() {
        let (store, head) = store(600).await;
        let (pager, counted) = (Pager::new(store), Counted::default());
        for number in 0..100_000_usize {
            let filter = Arc::new(Filter::tagged(format!("k:{number}").parse().unwrap()));
            let begin = Cursor::new(head.epoch().clone(), Position::START);
            drop(pager.lock().known_or_new(&(filter, begin), None));
        }
        let is_right = |pager: &Pager| {
            let kept = pager.lock();
            let pages: usize = kept.pages.values().map(|one| one.bytes).sum();
            let order: usize = kept.order.iter().map(|(key, _)| super::empty(key)).sum();
            assert_eq!(kept.bytes, pages + order);
            assert!(kept.bytes <= KEPT_BYTES && kept.order.len() < 70_000);
        };
        is_right(&pager);
        let begin = Cursor::new(head.epoch().clone(), Position::START);
        pager.page(&Arc::new(Filter::ALL), &begin, None, None, &counted).await.unwrap();
        is_right(&pager);
        // One that is asked for again and again, as the log grows, is there once.
        let before = pager.lock().pages.len();
        for head in 1..200 {
            pager
                .page(&Arc::new(Filter::ALL), &begin, None, Position::new(600 + head).ok(), &counted)
                .await
                .unwrap();
        }
        assert_eq!(pager.lock().pages.len(), before);
        is_right(&pager);
    }
}
