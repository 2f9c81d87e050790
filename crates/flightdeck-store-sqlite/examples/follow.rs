//! Following the log: from history to live without a gap, and on again from a cursor.

use std::sync::Arc;

use flightdeck_core::{EventType, Json, Position, StreamId};
use flightdeck_store::{
    Append, EventStore, Filter, FollowOptions, Followed, NewEvent, StreamPattern, follow,
};
use flightdeck_store_sqlite::{Options, SqliteStore};
use futures_util::{StreamExt as _, pin_mut};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store: Arc<dyn EventStore> =
        Arc::new(SqliteStore::open(folder.path().join("log.db"), Options::default())?);
    let note = |number: u32| -> Result<Append, Box<dyn std::error::Error>> {
        let stream = StreamId::new(format!("note-{}", number % 3))?;
        let data = Json::new(format!("{{\"number\":{number}}}"), 1024)?;
        Ok(Append::of([NewEvent::new(stream, EventType::new("Noted")?, data)]))
    };
    for number in 1..=5 {
        store.append(note(number)?).await?;
    }

    let notes = Filter { streams: vec![StreamPattern::parse("note-*")?], ..Filter::ALL };
    let followed = follow(Arc::clone(&store), Position::START, notes.clone(), FollowOptions::default());
    pin_mut!(followed);
    let (mut keep, mut number) = (None, 5);
    while let Some(item) = followed.next().await {
        match item? {
            Followed::Event(event, cursor) => {
                println!("{cursor} {} {}", event.stream, String::from_utf8_lossy(event.data_bytes()));
                keep = Some(cursor);
            }
            Followed::CaughtUp(cursor) => println!("caught up at {cursor}; from here on it is live"),
            Followed::Checkpoint(cursor) => keep = Some(cursor),
            Followed::Reset(reason, head) => {
                return Err(format!("reset: {reason:?}, the head is {head}").into());
            }
        }
        if keep.as_ref().is_some_and(|cursor| cursor.position().get() >= 5) {
            number += 1;
            if number > 8 {
                break;
            }
            store.append(note(number)?).await?;
        }
    }

    // Whoever was away goes on from the last cursor it kept.
    let last = keep.ok_or("nothing was kept")?;
    let rest = follow(store, last.clone(), notes, FollowOptions::default());
    pin_mut!(rest);
    if let Some(Followed::Event(event, _)) = rest.next().await.transpose()? {
        println!("after {last} comes position {}", event.position);
    }
    Ok(())
}
