//! The byte layout, pinned: a store that was written once is checked by these bytes for ever.

use flightdeck_core::{
    EventId, EventType, Further, Json, Metadata, Position, Reference, StreamId, Tag, Tags, Timestamp, Version,
};
use uuid::Uuid;

use super::{BrokenChain, Hash, Place, Sealed, Walk, checksum, sha256};
use crate::event::{Data, NewEvent, Recorded};

fn event(number: u128) -> Sealed {
    let metadata = Metadata {
        actor: Some(Reference::new("ada").unwrap()),
        correlation: Some(Reference::new("c-1").unwrap()),
        causation: None,
        occurred: Some(Timestamp::from_micros(1_000_000).unwrap()),
        further: Some(Further::new("{\"ip\": \"::1\"}").unwrap()),
    };
    let stream = StreamId::new("order-7").unwrap();
    let data = Json::new("{\"cents\":  5}", 100).unwrap();
    let event = NewEvent::new(stream, EventType::new("Paid").unwrap(), data)
        .with_metadata(metadata)
        .with_tags(Tags::new([Tag::new("b:2").unwrap(), Tag::new("a:1").unwrap()]).unwrap());
    Sealed::new(event, EventId::new(Uuid::from_u128(number)).unwrap())
}

fn place(position: i64, append_end: i64) -> Place {
    Place {
        position: Position::new(position).unwrap(),
        version: Version::new(position).unwrap(),
        recorded_at: Timestamp::from_micros(1_700_000_000_000_000 + position).unwrap(),
        append_end: Position::new(append_end).unwrap(),
    }
}

fn history() -> Vec<Recorded> {
    let mut previous = Hash::GENESIS;
    [(1_i64, 1), (2, 3), (3, 3)]
        .into_iter()
        .map(|(position, end)| {
            let sealed = event(position.unsigned_abs().into());
            let (hash, _) = sealed.link(&previous, &place(position, end), &mut Vec::new());
            previous = hash;
            sealed.recorded(&place(position, end), hash)
        })
        .collect()
}

fn walk(events: &[Recorded]) -> Result<Walk, BrokenChain> {
    let mut walk = Walk::from_start();
    events.iter().try_for_each(|event| walk.step(event))?;
    Ok(walk)
}

/// The layout written out by hand, with nothing of the module but SHA-256.
#[test]
fn the_layout_is_the_documented_one() {
    let mut bytes = vec![1];
    for number in [1_i64, 1, 1_700_000_000_000_001, 1] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(1_u128.to_be_bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes.push(0);
    bytes.extend(b"\x00\x04Paid\x00\x07order-7\x00\x02\x00\x03a:1\x00\x03b:2");
    let mut metadata = vec![0b11011];
    metadata.extend(b"\x00\x03ada\x00\x03c-1");
    metadata.extend(1_000_000_i64.to_be_bytes());
    metadata.extend(b"\x00\x00\x00\x0d{\"ip\": \"::1\"}");
    let data = b"{\"cents\":  5}";
    let digest = sha256(&[&bytes[..], &sha256(data), &sha256(&metadata)].concat());
    let hash = sha256(&[[0; 32], digest].concat());
    let row = xxhash_rust::xxh3::xxh3_64(&[&bytes[..], &metadata, data, &hash].concat());

    let made = event(1).link(&Hash::GENESIS, &place(1, 1), &mut Vec::new());
    assert_eq!(made, (Hash::from_bytes(hash), row));
    assert_eq!(made.0.to_string(), "7a42a43975f1f63a8bfc23cb47dcb006accb0b6cbeb7a731c8c4dcb0e14ba41d",);
}

#[test]
fn a_row_read_back_has_the_checksum_it_was_written_with() {
    let sealed = event(1);
    let (hash, written) = sealed.link(&Hash::GENESIS, &place(1, 1), &mut vec![7; 9]);
    assert_eq!(checksum(&sealed.recorded(&place(1, 1), hash), &mut Vec::new()), written);
}

#[test]
fn any_changed_field_changes_the_checksum_and_breaks_the_chain() {
    let good = history();
    let sum = |event: &Recorded| checksum(event, &mut Vec::new());
    let changes: [fn(&mut Recorded); 11] = [
        |e| e.version = e.version.next(),
        |e| e.stream = StreamId::new("order-8").unwrap(),
        |e| e.event_type = EventType::new("Paie").unwrap(),
        |e| e.id = EventId::new(Uuid::from_u128(99)).unwrap(),
        |e| e.recorded_at = Timestamp::from_micros(1).unwrap(),
        |e| e.append_end = e.append_end.next(),
        |e| e.data = Data::Json(Json::new("{\"cents\": 5}", 100).unwrap()),
        |e| e.metadata.actor = None,
        |e| e.metadata.further = None,
        |e| e.tags = Tags::NONE,
        |e| e.hash = Hash::GENESIS,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad[1]);
        assert_ne!(sum(&bad[1]), sum(&good[1]), "change {number}");
        assert!(walk(&bad).is_err(), "change {number}");
    }
}

#[test]
fn the_chain_survives_a_tombstone_and_nothing_else() {
    let mut events = history();
    let bytes = events[1].data_bytes().to_vec();
    events[1].data = Data::Tombstone(sha256(&bytes));
    assert_eq!(walk(&events).unwrap().position().get(), 3);
    events[1].data = Data::Tombstone([0; 32]);
    assert_eq!(walk(&events).unwrap_err(), BrokenChain::Hash { position: events[1].position });
}

#[test]
fn a_walk_finds_holes_swaps_and_torn_appends() {
    let good = history();
    let between = walk(&good).unwrap().is_between_appends();
    assert!(between && !walk(&good[..2]).unwrap().is_between_appends());
    assert!(matches!(walk(&[good[0].clone(), good[2].clone()]), Err(BrokenChain::Hole { .. })));
    assert!(matches!(walk(&good[1..]), Err(BrokenChain::Hole { .. })));
    assert!(walk(&[good[1].clone(), good[0].clone()]).is_err());
}
