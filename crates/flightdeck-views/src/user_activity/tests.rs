//! The view `user_activity`, and the timeline of a visitor.

use std::collections::BTreeMap;

use flightdeck_analytics::VisitorId;
use flightdeck_analytics::visitor::Event;
use flightdeck_core::{EventType, Json, StreamId, Timestamp, Version};
use flightdeck_store::view::Row;
use flightdeck_store::{Append, EventStore, Limit, MemoryStore, NewEvent};

use super::{By, NAME, PAGES, Timeline, UserActivityView, activity_of, most_active, pages_of, timeline};
use crate::Asked;
use crate::ground::{Chance, Ground, What, at, everything, micros, only};

fn visitor(name: &str) -> VisitorId {
    VisitorId::new(name).unwrap()
}

/// Facts, views, clicks, forms, others, and when first and last.
type Counts = ([i64; 5], Option<Timestamp>, Option<Timestamp>);

fn counts(row: &Row) -> Counts {
    let counts = ["facts", "views", "clicks", "forms", "others"].map(|column| row.integer(column).unwrap());
    (counts, row.time("first_active"), row.time("last_active"))
}

fn take_in(counts: &mut Counts, what: What, at: Timestamp) {
    let place = match what {
        What::View => 1,
        What::Click => 2,
        What::Form => 3,
        What::Interact | What::System => 4,
    };
    counts.0[0] += 1;
    counts.0[place] += 1;
    counts.1 = Some(counts.1.map_or(at, |first| first.min(at)));
    counts.2 = Some(counts.2.map_or(at, |last| last.max(at)));
}

#[test]
fn every_visitor_and_each_of_its_pages_is_what_a_count_of_the_raw_events_says() {
    let (mut ground, mut chance) = (Ground::of(UserActivityView), Chance(5));
    let mut visitors: BTreeMap<String, Counts> = BTreeMap::new();
    let mut pages: BTreeMap<(String, String), Counts> = BTreeMap::new();
    for _ in 0..2_000 {
        let name = format!("v{}", chance.below(20));
        let what = chance.one_of(&What::EACH);
        let page = chance.one_of(&[Some("/"), Some("/a"), Some("/b"), None]);
        let page = if what == What::View { Some(page.unwrap_or("/")) } else { page };
        // Not in the order of time.
        let when = micros(i64::try_from(chance.below(1_000_000_000_000)).unwrap());
        ground.does(&name, what, page, when);
        ground.consents(&format!("v{}", chance.below(30)), when);
        take_in(visitors.entry(name.clone()).or_default(), what, when);
        if let Some(page) = page {
            take_in(pages.entry((name, page.to_owned())).or_default(), what, when);
        }
    }
    let text = |row: &Row, column: &str| row.text(column).unwrap().to_owned();
    let found: BTreeMap<_, _> = ground
        .rows(PAGES)
        .iter()
        .map(|row| ((text(row, "visitor"), text(row, "page")), counts(row)))
        .collect();
    assert_eq!(found, pages);
    let found: BTreeMap<_, _> =
        ground.rows(NAME).iter().map(|row| (text(row, "visitor"), counts(row))).collect();
    assert_eq!(found, visitors);
    for row in ground.rows(NAME) {
        let own = pages.keys().filter(|(name, _)| *name == text(&row, "visitor")).count();
        assert_eq!(row.integer("pages"), Some(i64::try_from(own).unwrap()));
    }
}

#[tokio::test]
async fn the_most_active_come_in_order() {
    let mut ground = Ground::of(UserActivityView);
    for (name, views, clicks, minute) in [("a", 1, 9, 10), ("b", 3, 0, 30), ("c", 2, 2, 20)] {
        let when = at(&format!("2026-11-21T08:{minute}:00Z"));
        (0..views).for_each(|_| ground.does(name, What::View, Some("/"), when));
        (0..clicks).for_each(|_| ground.does(name, What::Click, None, when));
    }
    let views = ground.views().await;
    for (by, order) in [(By::Facts, "acb"), (By::Views, "bca"), (By::LastActive, "bca")] {
        let (mut asked, mut found) =
            (Asked { limit: Limit::new(2).unwrap(), ..Asked::default() }, String::new());
        for _ in 0..2 {
            let page = most_active(&views, by, asked.clone()).await.unwrap();
            page.rows.iter().for_each(|row| found.push_str(row.text("visitor").unwrap()));
            asked.after = page.next;
        }
        assert_eq!((found.as_str(), asked.after), (order, None), "{by:?}");
    }
}

#[tokio::test]
async fn a_visitor_sees_only_its_own() {
    let mut ground = Ground::of(UserActivityView);
    for (name, page) in [("ada", "/a"), ("bob", "/b"), ("bob", "/c")] {
        ground.does(name, What::View, Some(page), at("2026-11-21T08:00:00Z"));
    }
    let views = ground.views().await;
    let asked = |streams| Asked { streams, ..Asked::default() };
    for (streams, active, pages, seen) in
        [(only("ada"), 1, 0, false), (only("bob"), 1, 2, true), (everything(), 2, 2, true)]
    {
        let found = most_active(&views, By::Facts, asked(streams.clone())).await.unwrap();
        assert_eq!(found.rows.len(), active);
        let found = pages_of(&views, &visitor("bob"), asked(streams.clone())).await.unwrap();
        assert_eq!(found.rows.len(), pages);
        assert_eq!(activity_of(&views, &visitor("bob"), streams).await.unwrap().is_some(), seen);
    }
}

async fn stored(events: &[(&str, &str)]) -> MemoryStore {
    let store = MemoryStore::new();
    for (event_type, data) in events {
        let data = Json::new((*data).to_owned(), 1 << 16).unwrap();
        let stream = StreamId::new("visitor-ada").unwrap();
        let event = NewEvent::new(stream, EventType::new(event_type).unwrap(), data);
        store.append(Append::of([event])).await.unwrap();
    }
    store
}

const SYSTEM: &str = r#"{"visitorId":"ada","timestamp":"2026-11-21T08:00:00Z","name":"error"}"#;
const ANSWER: &str = r#"{"visitorId":"ada","timestamp":"2026-11-21T08:00:00Z"}"#;

#[tokio::test]
async fn a_timeline_is_the_stream_backwards_in_pages() {
    let store = stored(&[("SystemEvent", SYSTEM); 7]).await;
    let version = |number: i64| Version::new(number).unwrap();
    let read = async |mut asked: Timeline| {
        let mut pages = Vec::new();
        loop {
            let page = timeline(&store, &visitor("ada"), asked).await.unwrap();
            pages.push(page.done.iter().map(|done| done.recorded.version.get()).collect::<Vec<_>>());
            match page.next {
                Some(next) => asked = next,
                None => return pages,
            }
            assert!(pages.len() < 10);
        }
    };
    let limit = Limit::new(3).unwrap();
    let all = Timeline { limit, ..Timeline::default() };
    assert_eq!(read(all).await, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    let within = Timeline { before: Some(version(6)), after: Some(version(2)), limit };
    assert_eq!(read(within).await, [[5, 4, 3]]);
    assert_eq!(read(Timeline { before: Some(version(1)), ..all }).await, [[0; 0]]);
    let nobody = timeline(&store, &visitor("nobody"), all).await.unwrap();
    assert!(nobody.done.is_empty() && nobody.next.is_none());
}

#[tokio::test]
async fn a_timeline_says_what_was_done_and_keeps_what_it_does_not_know() {
    let store = stored(&[("SystemEvent", SYSTEM), ("ConsentAccepted", ANSWER), ("Unheard", "7")]).await;
    let page = timeline(&store, &visitor("ada"), Timeline::default()).await.unwrap();
    let events: Vec<_> = page.done.iter().map(|done| done.event.as_ref()).collect();
    assert!(matches!(events[..], [None, Some(Event::ConsentAccepted(_)), Some(Event::SystemEvent(_))]));
    assert_eq!(page.done[0].recorded.event_type.as_str(), "Unheard");
}
