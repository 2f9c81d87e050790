//! What is told of things is what the API's types say, and what may be sent is what the domain takes.

use flightdeck_core::prose::Layout;
use flightdeck_core::{EventType, Json, Metadata, Reference, StreamId, Timestamp, Version};
use flightdeck_domain::presentation::{Presentation, SlideContent};
use flightdeck_domain::words as domain;
use flightdeck_store::{Append, EventStore as _, MemoryStore, NewEvent};
use flightdeck_views::history::{self, HistoryQuery, Moment};
use flightdeck_wire::history::{Compared, HistoryEntry};
use flightdeck_wire::{presentation as wire, words};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::{At, version};
use crate::params::Params;

#[test]
fn a_moment_of_a_thing_is_a_version_a_cursor_or_a_time() {
    assert_eq!(version("v3"), Version::new(3).ok());
    for bad in ["3", "v", "v0", "v03", "v+3", "v-3", "v3.5", "V3", "v9007199254740992"] {
        assert_eq!(version(bad), None, "{bad}");
    }
    let read = |text: &str| Params::of(&format!("at={text}")).moment("at");
    assert_eq!(read("v3"), Version::new(3).ok().map(At::Version));
    assert!(matches!(read("e-42"), Some(At::Place(_))) && matches!(read("42"), Some(At::Place(_))));
    assert!(matches!(read("2026-11-21T09:30:00.5Z"), Some(At::Time(_))));
    assert_eq!(read("tomorrow"), None);
}

/// Every word of a request, as the document describes it, beside the domain's word that the server reads it with.
#[test]
fn the_document_says_of_a_field_what_the_domain_takes() {
    type Describe = fn(&mut SchemaGenerator) -> Schema;
    fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
    let mut generator = SchemaGenerator::default();
    let all: [(&str, Describe, Describe); 20] = [
        ("id", words::id, of::<domain::ContentId>),
        ("title", words::title, of::<domain::Title>),
        ("description", words::description, of::<domain::Description>),
        ("author", words::author, of::<domain::Author>),
        ("label", words::label, of::<domain::Label>),
        ("theme", words::theme, of::<domain::Theme>),
        ("slide text", words::slide_text, of::<domain::SlideText>),
        ("notes", words::notes, of::<domain::Notes>),
        ("alternative", words::alternative, of::<domain::Alternative>),
        ("display name", words::display_name, of::<domain::DisplayName>),
        ("body", words::body, of::<domain::Body>),
        ("slug", words::slug, of::<domain::Slug>),
        ("language", words::language, of::<domain::Language>),
        ("image url", words::image_url, of::<domain::ImageUrl>),
        ("email", words::email, of::<domain::Email>),
        ("labels", words::labels, of::<domain::Labels>),
        ("slide ids", words::slide_ids, of::<domain::AtMost<domain::SlideId, { domain::SLIDES_MAX }>>),
        ("token name", words::title, of::<flightdeck_domain::token::TokenName>),
        ("streams", words::streams_or_null, of::<flightdeck_domain::token::Patterns>),
        ("slide content", of::<wire::SlideContent>, of::<SlideContent>),
    ];
    for (what, told, taken) in all {
        let [told, taken] = [told, taken].map(|describe| bare(describe(&mut generator).to_value()));
        assert_eq!(told, taken, "{what}");
    }
}

/// A schema without what is only said to people, and with `null` left out where it may stand for absent. What a text is, is told in two
/// ways that say the same.
fn bare(value: Value) -> Value {
    match value {
        Value::String(pattern) => {
            let layout = [Layout::Line, Layout::Lines].into_iter().find(|layout| layout.pattern() == pattern);
            Value::String(layout.map_or(pattern, |layout| layout.spelt().to_owned()))
        }
        Value::Object(members) => {
            let members = members.into_iter().filter(|(name, _)| name != "description");
            members.map(|(name, value)| (name, bare(value))).collect()
        }
        Value::Array(items) => match items.as_slice() {
            [one, Value::String(null)] if null == "null" => one.clone(),
            _ => items.into_iter().map(bare).collect(),
        },
        other => other,
    }
}

/// A presentation that much has happened to.
async fn eventful() -> MemoryStore {
    let store = MemoryStore::new();
    let slide = |id: &str, order: i64| json!({"presentationId": "1", "slideId": id, "content": {"type": "text", "text": "x"}, "order": order});
    for (name, data) in [
        (
            "PresentationCreated",
            json!({"presentationId": "1", "title": "One thing", "author": "a", "theme": "t", "isPublic": true}),
        ),
        ("SlideAdded", slide("a", 1)),
        ("SlideAdded", slide("b", 1)),
        ("SlideUpdated", json!({"presentationId": "1", "slideId": "a", "title": "A"})),
        ("SlidesReordered", json!({"presentationId": "1", "slideIds": ["a", "b"]})),
        ("SlideRemoved", json!({"presentationId": "1", "slideId": "b"})),
        (
            "PresentationUpdated",
            json!({"presentationId": "1", "title": "One other thing", "description": "About"}),
        ),
        ("PresentationUpdated", json!({"presentationId": "1", "description": null})),
        ("PresentationDeleted", json!({"presentationId": "1"})),
    ] {
        let data = Json::new(data.to_string(), 1 << 16).unwrap();
        let new = NewEvent::new(stream(), EventType::new(name).unwrap(), data);
        let actor = Some(Reference::new("eve").unwrap());
        let occurred = Timestamp::from_micros(1).ok();
        let metadata = Metadata { actor, occurred, ..Metadata::default() };
        store.append(Append::of([new.with_metadata(metadata)])).await.unwrap();
    }
    store
}

fn stream() -> StreamId {
    StreamId::new("presentation-1").unwrap()
}

/// What is told of a history is written by the views' own types: read as the API's, and written again, it is the same.
#[tokio::test(flavor = "current_thread")]
async fn a_history_is_told_as_the_document_says() {
    let store = eventful().await;
    let page = history::history::<Presentation>(&store, &stream(), &HistoryQuery::default()).await.unwrap();
    assert_eq!(page.entries.len(), 9);
    for entry in page.entries {
        let told = serde_json::to_value(&entry).unwrap();
        let read: HistoryEntry = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), told);
    }
    let moment = |version| Moment::Version(Version::new(version).unwrap());
    for (from, to) in [(1, 8), (8, 1), (3, 7), (5, 9), (2, 2)] {
        let told =
            history::compare::<Presentation>(&store, &stream(), moment(from), moment(to)).await.unwrap();
        let told = serde_json::to_value(&told).unwrap();
        let read: Compared = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), told, "{from} to {to}");
    }
}
