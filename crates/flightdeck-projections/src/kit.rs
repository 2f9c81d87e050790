//! The test kit for projections: these events happen, and then these rows are there.
//!
//! ```
//! use flightdeck_core::Json;
//! use flightdeck_projections::kit::Kit;
//! # use flightdeck_projections::{Projection, Reads};
//! # use flightdeck_store::Recorded;
//! # use flightdeck_store::view::{FoldError, Key, Kind, Rows, Table};
//! # struct Doors;
//! # impl Projection for Doors {
//! #     fn name(&self) -> &'static str { "doors" }
//! #     fn reads(&self) -> Reads { Reads::types(["DoorOpened"]) }
//! #     fn tables(&self) -> Vec<Table> {
//! #         vec![Table::named("doors").key("id", Kind::Text).column("opened", Kind::Integer)]
//! #     }
//! #     fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> { Ok(vec![Key::of("doors", event.stream.as_str())]) }
//! #     fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
//! #         let id = event.stream.as_str();
//! #         let before = rows.get("doors", id).and_then(|row| row.integer("opened")).unwrap_or(0);
//! #         rows.put("doors", [id.into(), (before + 1).into()])
//! #     }
//! # }
//!
//! let mut kit = Kit::of(Doors);
//! kit.emit_json("door-1", "DoorOpened", "{}").emit_json("door-1", "DoorOpened", "{}");
//! assert_eq!(kit.row("doors", "door-1").unwrap().integer("opened"), Some(2));
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use flightdeck_core::limits::EVENT_DATA_BYTES_MAX;
use flightdeck_core::{
    EventId, EventType, Json, Metadata, Position, SchemaNumber, StoredEvents, StreamId, Tags, Timestamp,
    Version,
};
use flightdeck_store::chain::{Hash, sha256};
use flightdeck_store::view::{Halt, Row, Value};
use flightdeck_store::{Data, Recorded};

use crate::live::Live;
use crate::projection::{Defined, Projection};

/// A projection to which something happens.
pub struct Kit {
    live: Live,
    versions: HashMap<StreamId, Version>,
    events: Vec<Recorded>,
}

impl Kit {
    /// A projection to which nothing has happened yet.
    ///
    /// # Panics
    /// When it can't be run.
    #[track_caller]
    #[must_use]
    pub fn of(projection: impl Projection) -> Self {
        match Defined::new(Arc::new(projection)) {
            Ok(defined) => Self { live: Live::new(defined), versions: HashMap::new(), events: Vec::new() },
            Err(error) => panic!("the projection can't be run: {error}"),
        }
    }

    /// An event happens, as its aggregate stores it.
    ///
    /// # Panics
    /// When it can't be stored, or not be folded.
    #[track_caller]
    pub fn emit<E: StoredEvents>(&mut self, stream: &str, event: &E) -> &mut Self {
        match event.to_stored() {
            Ok(written) => self.happens(stream, written.name, written.schema, written.data),
            Err(error) => panic!("the event can't be stored: {error}"),
        }
    }

    /// An event of the first shape happens, with that JSON as its data.
    ///
    /// # Panics
    /// When it can't be stored, or not be folded.
    #[track_caller]
    pub fn emit_json(&mut self, stream: &str, event_type: &str, data: &str) -> &mut Self {
        self.emit_schema(stream, event_type, 1, data)
    }

    /// An event of that shape happens, with that JSON as its data.
    ///
    /// # Panics
    /// When it can't be stored, or not be folded.
    #[track_caller]
    pub fn emit_schema(&mut self, stream: &str, event_type: &str, schema: u32, data: &str) -> &mut Self {
        let (event_type, schema, data) = read(event_type, schema, data);
        self.happens(stream, event_type, schema, data)
    }

    /// An event of that shape happens whose data is gone by the time it is folded: erased, or archived.
    ///
    /// # Panics
    /// When it can't be folded.
    #[track_caller]
    pub fn emit_gone(&mut self, stream: &str, event_type: &str, schema: u32) -> &mut Self {
        let (event_type, schema, data) = read(event_type, schema, "{}");
        let mut event = self.event(stream, event_type, schema, data);
        event.data = Data::Tombstone(sha256(b"{}"));
        self.folds(&event)
    }

    #[track_caller]
    fn happens(
        &mut self,
        stream: &str,
        event_type: EventType,
        schema: SchemaNumber,
        data: Json,
    ) -> &mut Self {
        let event = self.event(stream, event_type, schema, data);
        self.folds(&event)
    }

    #[track_caller]
    fn folds(&mut self, event: &Recorded) -> &mut Self {
        if let Err(halt) = self.live.fold(event) {
            panic!("the event is not folded: {halt}");
        }
        self
    }

    /// An event happens that can't be folded, and why.
    ///
    /// # Panics
    /// When it is folded.
    #[track_caller]
    pub fn refuses(&mut self, stream: &str, event_type: &str, schema: u32, data: &str) -> Halt {
        let (event_type, schema, data) = read(event_type, schema, data);
        let event = self.event(stream, event_type, schema, data);
        match self.live.fold(&event) {
            Ok(()) => panic!("the event is folded"),
            Err(halt) => halt,
        }
    }

    #[track_caller]
    fn event(&mut self, stream: &str, event_type: EventType, schema: SchemaNumber, data: Json) -> Recorded {
        let stream = StreamId::new(stream).unwrap_or_else(|error| panic!("{error}"));
        let version = Version::after(self.versions.get(&stream).copied());
        self.versions.insert(stream.clone(), version);
        let position = self.events.last().map_or(Position::START, |last| last.position).next();
        let number = position.get();
        let event = Recorded {
            position,
            stream,
            version,
            id: id(number),
            event_type,
            schema,
            data: Data::Json(data),
            metadata: Metadata::default(),
            tags: Tags::NONE,
            recorded_at: moment(number),
            append_end: position,
            key: None,
            hash: Hash::from_bytes(sha256(&number.to_be_bytes())),
        };
        self.events.push(event.clone());
        event
    }

    /// All rows of a table, by their keys.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Row> {
        self.live.rows(table)
    }

    /// The row whose key begins with that value.
    #[must_use]
    pub fn row(&self, table: &str, key: impl Into<Value>) -> Option<Row> {
        let key = key.into();
        self.rows(table).into_iter().find(|row| row.key().first() == Some(&key))
    }

    /// The view, to be asked as a store is.
    #[must_use]
    pub const fn live(&self) -> &Live {
        &self.live
    }

    /// When the event at that place was recorded, from 1 on.
    #[must_use]
    pub fn recorded(&self, place: usize) -> Timestamp {
        moment(i64::try_from(place).unwrap_or(i64::MAX))
    }
}

#[track_caller]
fn read(event_type: &str, schema: u32, data: &str) -> (EventType, SchemaNumber, Json) {
    let event_type = EventType::new(event_type).unwrap_or_else(|error| panic!("{error}"));
    let schema = SchemaNumber::new(schema).unwrap_or_else(|error| panic!("{error}"));
    let data = Json::new(data.to_owned(), EVENT_DATA_BYTES_MAX);
    (event_type, schema, data.unwrap_or_else(|error| panic!("the data {error}")))
}

/// Events of a kit come a second apart, so that a test can tell them apart.
fn moment(number: i64) -> Timestamp {
    Timestamp::from_micros(1_000_000 * number).unwrap_or_else(|error| panic!("{error}"))
}

fn id(number: i64) -> EventId {
    let text = format!("00000000-0000-7000-8000-{number:012x}");
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}
