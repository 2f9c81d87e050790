//! A decider with `handle`: a hall that can't be overbooked, also when many book at once.

use std::sync::Arc;

use flightdeck_core::{Decider, StoredEvents, StoredType, StreamId};
use flightdeck_store::{Context, HandleError, Handler};
use flightdeck_store_sqlite::{Options, SqliteStore};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data")]
enum Event {
    SeatsBooked { seats: u32 },
}
impl StoredEvents for Event {
    const TYPES: &'static [StoredType] = &[StoredType::new("SeatsBooked")];
}

struct Hall;
impl Decider for Hall {
    const CATEGORY: &'static str = "hall";
    type Command = u32;
    type Event = Event;
    type State = u32;
    type Error = String;

    fn initial() -> u32 {
        100
    }
    fn evolve(free: u32, event: &Event) -> u32 {
        match event {
            Event::SeatsBooked { seats } => free - seats,
        }
    }
    fn decide(free: &u32, seats: u32) -> Result<Vec<Event>, String> {
        match seats {
            0 => Ok(vec![]),
            seats if seats > *free => Err(format!("only {free} seats are free")),
            seats => Ok(vec![Event::SeatsBooked { seats }]),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("halls.db"), Options::default())?;
    let (halls, hall) = (Handler::<Hall>::new(Arc::new(store)), StreamId::new("hall-1")?);
    // Three want 40 seats each, at once; one of them comes too late. Whoever loses a race is decided again.
    let book = || async { halls.handle(&hall, 40, &Context::default()).await };
    for booking in <[_; 3]>::from(tokio::join!(book(), book(), book())) {
        match booking {
            Ok(done) => println!("booked; {} seats are free", done.state),
            Err(HandleError::Refused(why)) => println!("refused: {why}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
