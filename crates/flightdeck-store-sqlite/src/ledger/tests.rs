//! What the writer learned in a transaction that is gone must be gone too.

use flightdeck_core::{Epoch, EventId, EventType, Json, Position, StreamId, Tag, Tags, Timestamp};
use flightdeck_store::admit::{Done, Ground as _};
use flightdeck_store::chain::Sealed;
use flightdeck_store::{ConditionItem, NewEvent};
use rusqlite::Connection;
use uuid::Uuid;

use super::{KNOWN_MAX, Ledger};

fn event(number: u128, stream: &str, event_type: &str) -> [Sealed; 1] {
    let (stream, event_type) = (StreamId::new(stream).unwrap(), EventType::new(event_type).unwrap());
    let tags = Tags::new([Tag::new("slug:a").unwrap()]).unwrap();
    let event = NewEvent::new(stream, event_type, Json::new("{}", 10).unwrap()).with_tags(tags);
    [Sealed::new(event, EventId::new(Uuid::from_u128(number)).unwrap())]
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000).unwrap()
}

/// The numbers of a stream and a type that were rolled back go to others: nothing may still know them by the old names.
#[test]
fn names_of_a_lost_transaction_are_forgotten() {
    let conn = Connection::open_in_memory().unwrap();
    for migration in flightdeck_migrations::SQLITE {
        conn.execute_batch(migration.sql).unwrap();
    }
    let mut ledger = Ledger::open(&conn, Epoch::new("e").unwrap()).unwrap();
    let by_tag = [ConditionItem { tags: vec![Tag::new("slug:a").unwrap()], types: vec![] }];

    conn.execute_batch("BEGIN").unwrap();
    ledger.write(&event(1, "lost-1", "Lost"), now()).unwrap();
    assert_eq!(ledger.first_match(Position::START, &by_tag).unwrap(), Position::new(1).ok());
    conn.execute_batch("ROLLBACK").unwrap();
    ledger.forget();
    assert_eq!(ledger.head().position(), Position::START);

    conn.execute_batch("BEGIN").unwrap();
    let (done, appended) = ledger.write(&event(2, "kept-1", "Kept"), now()).unwrap();
    conn.execute_batch("COMMIT").unwrap();
    ledger.keep();
    assert_eq!(done, Done::Events(Position::new(1).unwrap(), Position::new(1).unwrap()));
    assert_eq!(appended.streams[0].version.get(), 1);
    let kept = ledger.event(EventId::new(Uuid::from_u128(2)).unwrap()).unwrap().unwrap();
    assert_eq!((kept.stream.as_str(), kept.event_type.as_str()), ("kept-1", "Kept"));
    assert_eq!(ledger.first_match(Position::START, &by_tag).unwrap(), Position::new(1).ok());
}

/// An append that fills what the writer keeps in mind must not forget its own streams on the way: their rows are written before
/// their events, and whoever looks then sees them disagree.
#[test]
fn an_append_at_the_end_of_memory_is_written_like_any_other() {
    let conn = Connection::open_in_memory().unwrap();
    for migration in flightdeck_migrations::SQLITE {
        conn.execute_batch(migration.sql).unwrap();
    }
    conn.execute_batch("BEGIN").unwrap();
    Ledger::open(&conn, Epoch::new("e").unwrap())
        .unwrap()
        .write(&event(1_000, "two-1", "Told"), now())
        .unwrap();
    conn.execute_batch("COMMIT").unwrap();
    for room in 0..5 {
        let mut ledger = Ledger::open(&conn, Epoch::new("e").unwrap()).unwrap();
        let known = ledger.stream(&StreamId::new("two-1").unwrap()).ok().flatten().unwrap();
        ledger.streams.clear();
        for number in 0..KNOWN_MAX - room {
            ledger.streams.insert(StreamId::new(format!("known-{number}")).unwrap(), known);
        }
        let names = [format!("one-{room}"), "two-1".to_owned(), format!("three-{room}"), "two-1".to_owned()];
        let events = names.iter().zip(10 * room as u128 + 1..);
        let events: Vec<Sealed> = events.flat_map(|(name, number)| event(number, name, "Told")).collect();
        conn.execute_batch("BEGIN").unwrap();
        ledger.write(&events, now()).unwrap();
        conn.execute_batch("COMMIT").unwrap();
        assert!(ledger.streams.len() <= KNOWN_MAX, "what is kept in mind is bounded");
    }
}
