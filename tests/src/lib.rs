//! What the victim appends and what the tests expect of it: the same numbers tell both.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that fails panics"
)]

pub mod contents;
pub mod gated;
pub mod held;
pub mod set_clock;
pub mod site;
pub mod viewing;
pub mod views;
pub mod visits;

use std::collections::{BTreeMap, BTreeSet};

use flightdeck_core::{EventId, EventType, Json, Position, StreamId, Tag, Tags};
use flightdeck_store::chain::Walk;
use flightdeck_store::{Append, EventStore, LogQuery, NewEvent, Recorded, RequestKey};
use futures_util::StreamExt as _;
use uuid::Uuid;

/// The `number`th append of the story: one to three events, over streams that others append to as well.
#[must_use]
pub fn append(number: u64) -> Append {
    let events = (0..=number % 3).map(|part| event(number, part));
    let request =
        RequestKey::new("victim", &number.to_string(), [u8::try_from(number % 251).unwrap(); 32]).unwrap();
    Append::of(events.collect::<Vec<_>>()).with_request(request)
}

/// One event of it.
#[must_use]
pub fn event(number: u64, part: u64) -> NewEvent {
    let stream = StreamId::new(format!("story-{}", (number + part) % 17)).unwrap();
    let kind = ["Begun", "Told", "Ended"][usize::try_from(number % 3).unwrap()];
    let data = Json::new(format!("{{\"number\":{number},\"part\":{part}}}"), 1_000).unwrap();
    let tags =
        Tags::new([Tag::new(format!("number:{number}")).unwrap(), Tag::new("of:story").unwrap()]).unwrap();
    NewEvent::new(stream, EventType::new(kind).unwrap(), data).with_id(id(number, part)).with_tags(tags)
}

fn id(number: u64, part: u64) -> EventId {
    EventId::new(Uuid::from_u128(
        0x0192_0000_0000_7000_8000_0000_0000_0000 + (u128::from(number) << 8) + u128::from(part),
    ))
    .unwrap()
}

/// The whole log, with its chain, its positions and its versions checked.
pub async fn whole_log(store: &dyn EventStore) -> Vec<Recorded> {
    let (mut walk, mut versions, mut all) = (Walk::from_start(), BTreeMap::new(), Vec::new());
    let mut query = Some(LogQuery::after(Position::START));
    while let Some(asked) = query {
        let page = store.read_log(&asked).await.expect("the log can be read");
        for event in &page.events {
            walk.step(event).expect("the chain holds");
            let version = versions.entry(event.stream.clone()).or_insert(0);
            *version += 1;
            assert_eq!(event.version.get(), *version, "versions of {} are dense", event.stream);
        }
        query = asked.next(&page);
        all.extend(page.events);
    }
    assert!(all.is_empty() || walk.is_between_appends(), "the last append is whole");
    all
}

/// What a victim said before it ended.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Appends that it began.
    pub tried: BTreeSet<u64>,
    /// Appends that were acknowledged, with the positions of their first and last event, and how long it took.
    pub acked: BTreeMap<u64, (i64, i64, u64)>,
    /// Everything else, line by line.
    pub other: Vec<String>,
}

impl Said {
    /// Takes in a line of the victim's.
    pub fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let numbers: Vec<u64> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
        match (words.first(), numbers.as_slice()) {
            (Some(&"try"), [number]) => drop(self.tried.insert(*number)),
            (Some(&"ack"), [number, first, last, millis]) => {
                let place = (first.cast_signed(), last.cast_signed(), *millis);
                assert_eq!(self.acked.insert(*number, place), None, "append {number} was acknowledged twice");
            }
            _ => self.other.push(line.to_owned()),
        }
    }

    /// How many lines begin so.
    #[must_use]
    pub fn count(&self, beginning: &str) -> usize {
        self.other.iter().filter(|line| line.starts_with(beginning)).count()
    }
}

/// Holds what a victim said against the log that it left: nothing acknowledged is lost, moved or doubled; what was not
/// is there whole or not at all; and whoever asks again with the same keys is told the truth.
pub async fn check(store: &dyn EventStore, said: &Said) {
    let before = places(&whole_log(store).await);
    for (number, (first, last, _)) in &said.acked {
        assert_eq!(before.get(number), Some(&(*first, *last)), "append {number} was acknowledged");
    }
    for number in before.keys() {
        assert!(said.tried.contains(number), "append {number} was never tried");
    }
    let repeat = |number: u64| async move { (number, store.append(append(number)).await) };
    let mut repeated =
        futures_util::stream::iter(said.tried.iter().copied()).map(repeat).buffer_unordered(64);
    while let Some((number, settled)) = repeated.next().await {
        let settled = settled.expect("a repetition settles it");
        assert_eq!(settled.duplicate, before.contains_key(&number), "append {number}: what was done before");
    }
    let after = places(&whole_log(store).await);
    assert_eq!(after.keys().collect::<Vec<_>>(), said.tried.iter().collect::<Vec<_>>(), "each is there once");
    assert!(before.iter().all(|(number, place)| after.get(number) == Some(place)), "nothing has moved");
}

/// Where each append of the story stands in the log, once it is certain that it stands there whole and once.
fn places(log: &[Recorded]) -> BTreeMap<u64, (i64, i64)> {
    let mut places: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
    for event in log {
        let number: u64 =
            event.tags.iter().find(|tag| tag.key() == "number").unwrap().value().parse().unwrap();
        let at = event.position.get();
        let place = places.entry(number).or_insert((at, at - 1));
        let part = u64::try_from(at - place.0).unwrap();
        assert_eq!((place.1 + 1, event.id), (at, id(number, part)), "append {number} stands together, once");
        assert_eq!(event.data_bytes(), self::event(number, part).data.as_bytes());
        place.1 = at;
    }
    for (number, (first, last)) in &places {
        assert_eq!(u64::try_from(last - first).unwrap(), number % 3, "append {number} is whole");
    }
    places
}
