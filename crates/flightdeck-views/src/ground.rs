//! What the tests stand on: visitors that do things at moments of our choosing, a view that is folded from it, and chance that repeats.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{
    EventType, Json, Metadata, Position, SchemaNumber, StreamId, Tags, Timestamp, Version,
};
use flightdeck_projections::live::Live;
use flightdeck_projections::{Defined, Projection};
use flightdeck_store::chain::{Hash, sha256};
use flightdeck_store::view::{
    Changes, Checkpoint, Halt, Holder, MemoryViews, Row, TableChanges, Value, ViewStore, Work,
};
use flightdeck_store::{Data, Recorded};

/// A view, and what has happened to it.
pub(crate) struct Ground {
    defined: Defined,
    live: Live,
    pub(crate) events: Vec<Recorded>,
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

impl Ground {
    pub(crate) fn of(projection: impl Projection) -> Self {
        let defined = Defined::new(Arc::new(projection)).unwrap();
        Self { live: Live::new(defined.clone()), defined, events: Vec::new() }
    }

    /// An event is recorded at that moment.
    pub(crate) fn recorded(
        &mut self,
        stream: &str,
        event_type: &str,
        data: &str,
        recorded_at: Timestamp,
    ) -> Recorded {
        let position = Position::new(i64::try_from(self.events.len()).unwrap() + 1).unwrap();
        let stream = StreamId::new(stream).unwrap();
        let before = self.events.iter().rev().find(|event| event.stream == stream);
        let event = Recorded {
            position,
            version: Version::after(before.map(|event| event.version)),
            stream,
            id: format!("00000000-0000-7000-8000-{:012x}", position.get()).parse().unwrap(),
            event_type: EventType::new(event_type).unwrap(),
            schema: SchemaNumber::FIRST,
            data: Data::Json(Json::new(data.to_owned(), 1 << 18).unwrap()),
            metadata: Metadata::default(),
            tags: Tags::NONE,
            recorded_at,
            append_end: position,
            key: None,
            hash: Hash::from_bytes(sha256(&position.get().to_be_bytes())),
        };
        self.events.push(event.clone());
        event
    }

    #[track_caller]
    pub(crate) fn happens(&mut self, stream: &str, event_type: &str, data: &str, recorded_at: Timestamp) {
        let event = self.recorded(stream, event_type, data, recorded_at);
        if let Err(halt) = self.fold(&event) {
            panic!("the event is not folded: {halt}");
        }
    }

    pub(crate) fn fold(&mut self, event: &Recorded) -> Result<(), Halt> {
        self.live.fold(event)
    }

    /// A visitor does something. It is recorded long after, so that a view that looks at that moment is found out.
    #[track_caller]
    pub(crate) fn does(&mut self, visitor: &str, what: What, page: Option<&str>, at: Timestamp) {
        self.does_more(visitor, what, page, at, "");
    }

    /// A visitor does something of which more is known.
    #[track_caller]
    pub(crate) fn does_more(
        &mut self,
        visitor: &str,
        what: What,
        page: Option<&str>,
        at: Timestamp,
        more: &str,
    ) {
        let (event_type, own) = match what {
            What::View => ("PageViewed", ""),
            What::Click => ("ButtonClicked", r#","buttonId":"buy""#),
            What::Form => ("FormSubmitted", r#","formId":"contact""#),
            What::Interact => ("ElementInteraction", r#","elementId":"film","interaction":"hover""#),
            What::System => ("SystemEvent", r#","name":"error""#),
        };
        let page = page.map_or_else(String::new, |page| format!(r#","pageId":"{page}""#));
        let data = format!(r#"{{"visitorId":"{visitor}","timestamp":"{at}"{own}{page}{more}}}"#);
        let stream = format!("visitor-{visitor}");
        self.happens(&stream, event_type, &data, self::at("2031-07-01T12:00:00Z"));
    }

    /// Answers about consent, which are no facts.
    pub(crate) fn consents(&mut self, visitor: &str, at: Timestamp) {
        let data = format!(r#"{{"visitorId":"{visitor}","timestamp":"{at}"}}"#);
        for answer in ["ConsentAccepted", "ConsentDeclined", "ConsentReset"] {
            self.happens(&format!("visitor-{visitor}"), answer, &data, at);
        }
    }

    pub(crate) fn rows(&self, table: &str) -> Vec<Row> {
        self.live.rows(table)
    }

    #[track_caller]
    pub(crate) fn row(&self, table: &str, key: &[Value]) -> Row {
        let found = self.rows(table).into_iter().find(|row| row.key() == key);
        found.unwrap_or_else(|| panic!("there is no row {key:?}"))
    }

    /// The view as it is now, in a store that can be asked.
    pub(crate) async fn views(&self) -> MemoryViews {
        let (views, plan) = (MemoryViews::new(), self.defined.plan());
        let of = views.prepare(plan).await.unwrap().of;
        let holder = Holder::from_stored("a test");
        let lease = views.lease(&of, &holder, Duration::from_secs(60)).await.unwrap().unwrap();
        let table = |table: &Arc<flightdeck_store::view::Table>| TableChanges {
            table: Arc::clone(table),
            put: self.live.rows(table.name()),
            gone: Vec::new(),
        };
        let changes: Changes = plan.tables().iter().map(table).collect();
        let work =
            Work { lease: lease.clone(), from: Checkpoint::START, to: self.live.checkpoint(), changes };
        views.apply(work).await.unwrap();
        views.take_over(&lease).await.unwrap();
        views
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    View,
    Click,
    Form,
    Interact,
    System,
}

impl What {
    pub(crate) const EACH: [Self; 5] = [Self::View, Self::Click, Self::Form, Self::Interact, Self::System];
}

/// Numbers that look like chance and are the same each time (SplitMix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// A caller who may read the stream of one visitor.
pub(crate) fn only(visitor: &str) -> Option<Vec<flightdeck_store::StreamPattern>> {
    let stream = StreamId::new(format!("visitor-{visitor}")).unwrap();
    Some(vec![flightdeck_store::StreamPattern::Exact(stream)])
}

/// A caller who may read everything.
pub(crate) fn everything() -> Option<Vec<flightdeck_store::StreamPattern>> {
    Some(vec![flightdeck_store::StreamPattern::Prefix("".into())])
}
