//! What a view must be: the fold of the log up to its checkpoint, found out from the log itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use flightdeck_core::Position;
use flightdeck_projections::live::Live;
use flightdeck_projections::{Defined, Projection};
use flightdeck_store::view::{Checkpoint, Generation, Row, ViewError, ViewName, ViewQuery, ViewStore};
use flightdeck_store::{EventStore, LogQuery, Recorded};
use flightdeck_views::ContentView;

use crate::contents::is_of_a_content;

/// A projection, looked at.
#[must_use]
pub fn defined(projection: impl Projection) -> Defined {
    Defined::new(Arc::new(projection)).unwrap()
}

/// The name of a view.
#[must_use]
pub fn name(view: &str) -> ViewName {
    ViewName::new(view).unwrap()
}

/// All rows of a view's one table, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The rows, by their keys.
    pub rows: Vec<Row>,
    /// How far they are folded.
    pub checkpoint: Checkpoint,
    /// Which generation answered.
    pub of: Generation,
}

/// All rows of a view whose one table has its name; nothing while it can't be asked.
pub async fn whole(views: &dyn ViewStore, view: &str, number: u32) -> Option<Whole> {
    'again: for _ in 0..200 {
        let mut query = Some(ViewQuery::of(name(view), number, view));
        let mut whole: Option<Whole> = None;
        while let Some(asked) = query {
            let page = match views.ask(&asked).await {
                Ok(page) => page,
                Err(ViewError::NotReady(_) | ViewError::Unknown(_)) => return None,
                Err(error) => panic!("the view {view} can't be asked: {error}"),
            };
            query = asked.next(&page);
            let first = Whole { rows: Vec::new(), checkpoint: page.checkpoint, of: page.of.clone() };
            let whole = whole.get_or_insert(first);
            if whole.checkpoint != page.checkpoint || whole.of != page.of {
                // It went on between two pages.
                continue 'again;
            }
            whole.rows.extend(page.rows);
        }
        return whole;
    }
    panic!("the view {view} never stands still");
}

/// The same rows, told by the first that differs and not by all of them.
///
/// # Panics
/// When they are not the same.
#[track_caller]
pub fn assert_same(way: &str, found: &[Row], expected: &[Row]) {
    let differs = found.iter().zip(expected).find(|(found, expected)| found != expected);
    if let Some((found, expected)) = differs {
        panic!("{way}: a row is {:?}\nand should be {:?}", found.values(), expected.values());
    }
    assert_eq!(found.len(), expected.len(), "{way}: how many rows there are");
}

/// The log as it is, and what views of it must be: folded along with them, for they never go back.
pub struct Truth {
    log: Vec<Recorded>,
    content: Live,
    tally: BTreeMap<String, i64>,
    tallied: usize,
}

impl Default for Truth {
    fn default() -> Self {
        let content = Live::new(defined(ContentView));
        Self { log: Vec::new(), content, tally: BTreeMap::new(), tallied: 0 }
    }
}

impl Truth {
    /// Reads what has come to the log.
    pub async fn read_on(&mut self, store: &dyn EventStore) {
        let mut query = Some(LogQuery::after(self.head()));
        while let Some(asked) = query {
            let page = store.read_log(&asked).await.expect("the log can be read");
            query = asked.next(&page);
            self.log.extend(page.events);
        }
        let last = self.log.len();
        assert_eq!(self.head().get(), i64::try_from(last).unwrap(), "the log has no gaps");
    }

    /// The end of the log.
    #[must_use]
    pub fn head(&self) -> Position {
        self.log.last().map_or(Position::START, |last| last.position)
    }

    /// Holds both views of a victim's against the log: never ahead of it, nothing twice, nothing left out. How far each is.
    pub async fn check(&mut self, store: &dyn EventStore, views: &dyn ViewStore) -> [Option<Checkpoint>; 2] {
        let all = views.generations().await.expect("the views can be listed");
        let content = whole(views, "content", 1).await;
        let tally = whole(views, "tally", 1).await;
        self.read_on(store).await;
        for state in all {
            assert!(state.checkpoint.position <= self.head(), "{} is ahead of the log", state.of);
            assert_eq!(state.halt, None, "{} has come to a halt", state.of);
            if let Some((at, hash)) = state.checkpoint.folded {
                let event = &self.log[usize::try_from(at.get()).unwrap() - 1];
                assert_eq!(event.hash, hash, "{} is of this log", state.of);
            }
        }
        if let Some(content) = &content {
            self.check_content(content);
        }
        if let Some(tally) = &tally {
            self.check_tally(tally);
        }
        [content, tally].map(|whole| whole.map(|whole| whole.checkpoint))
    }

    fn check_content(&mut self, found: &Whole) {
        let from = usize::try_from(self.content.checkpoint().position.get()).unwrap();
        let to = usize::try_from(found.checkpoint.position.get()).unwrap();
        assert!(from <= to, "content was at {from} before, and is at {to}");
        for event in &self.log[from..to] {
            self.content.fold(event).expect("every event can be folded");
        }
        assert_eq!(self.content.checkpoint(), found.checkpoint, "of {}", found.of);
        assert_same(&found.of.to_string(), &found.rows, &self.content.rows("content"));
    }

    fn check_tally(&mut self, found: &Whole) {
        let to = usize::try_from(found.checkpoint.position.get()).unwrap();
        assert!(self.tallied <= to, "tally was at {} before, and is at {to}", self.tallied);
        for event in self.log[self.tallied..to].iter().filter(|event| is_of_a_content(event)) {
            *self.tally.entry(event.stream.to_string()).or_default() += 1;
        }
        self.tallied = to;
        let counted = |row: &Row| (row.text("stream").unwrap().to_owned(), row.integer("count").unwrap());
        let counts: BTreeMap<String, i64> = found.rows.iter().map(counted).collect();
        let wrong = self.tally.iter().find(|(stream, count)| counts.get(*stream) != Some(*count));
        assert_eq!(
            wrong,
            None,
            "{} at {to}, where it says {:?}",
            found.of,
            wrong.and_then(|wrong| counts.get(wrong.0))
        );
        assert_eq!(counts.len(), self.tally.len(), "{} at {to}", found.of);
    }
}
