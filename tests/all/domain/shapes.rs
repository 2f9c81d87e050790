//! Old shapes and unknown types in every read path: folding, snapshots, marks, the registry, raw pages.

use std::sync::Arc;

use flightdeck_core::registry::RegistryError;
use flightdeck_core::{EventType, Position, SchemaNumber, Tag, Tags};
use flightdeck_domain::content::{self, State, Status};
use flightdeck_server::{Desk, registry};
use flightdeck_store::{Append, EventStore, HandleError, LogQuery, NewEvent};

use super::{Ground, ask, change, content_stream, create, json, on_every_store};

/// What a program wrote that knew the first shape only: a content with a slug.
const OLD: &str = r##"{"contentId":"old","title":"Old","slug":"hello","content":"# Hello","author":"Ada"}"##;

fn event(id: &str, name: &str, schema: u32, data: &str) -> NewEvent {
    NewEvent {
        schema: SchemaNumber::new(schema).unwrap(),
        ..NewEvent::new(content_stream(id), EventType::new(name).unwrap(), json(data))
    }
}

async fn old_content(store: &dyn EventStore) {
    let tags = Tags::new([Tag::new("slug:hello").unwrap()]).unwrap();
    let unknown = event("old", "ContentAdmired", 7, r#"{"by": "Eve"}"#);
    let old = event("old", "ContentCreated", 1, OLD).with_tags(tags);
    store.append(Append::of([old, unknown])).await.unwrap();
}

#[test]
fn an_old_shape_reads_as_the_newest_in_every_read_path() {
    on_every_store(async |ground: &Ground| {
        let store = &*ground.nodes[0];
        old_content(store).await;
        let desk = Desk::new(Arc::clone(&ground.nodes[1]));
        // Folded, past a type that nobody here knows.
        let State::Live(page) = desk.contents.load(&content_stream("old")).await.unwrap().state else {
            panic!("{}: no content", ground.name)
        };
        assert_eq!(
            (page.now.title.as_str(), page.now.format, page.status),
            ("Old", content::Format::Markdown, Status::Draft)
        );
        assert!(page.now.tags.as_slice().is_empty() && page.now.description.is_none());
        // Found by its mark.
        match ask(&desk, "new", create("new", "hello")).await {
            Err(HandleError::Refused(content::Error::SlugTaken { by, .. })) => assert_eq!(by.as_str(), "old"),
            other => panic!("{}: {other:?}", ground.name),
        }
        // Changed as if it had always been so.
        let done = ask(&desk, "old", change("old", r#"{"format":"Html","tags":["a"]}"#)).await.unwrap();
        assert_eq!(done.version.unwrap().get(), 3);
        // Raw pages have it as it was written, and the registry brings it to the newest shape.
        let page = store.read_log(&LogQuery::after(Position::START)).await.unwrap();
        let (old, unknown) = (&page.events[0], &page.events[1]);
        assert_eq!((old.schema.get(), old.data_bytes()), (1, OLD.as_bytes()));
        let registry = registry();
        let current = registry.current(old.event_type.as_str(), old.schema, old.data_bytes()).unwrap();
        let current: serde_json::Value = serde_json::from_slice(&current.unwrap()).unwrap();
        assert_eq!((&current["format"], &current["tags"]), (&"Markdown".into(), &serde_json::json!([])));
        registry.check(old.event_type.as_str(), old.schema, old.data_bytes()).unwrap();
        // What nobody knows is kept and passed on raw.
        assert_eq!((unknown.event_type.as_str(), unknown.schema.get()), ("ContentAdmired", 7));
        assert_eq!(unknown.data_bytes(), br#"{"by": "Eve"}"#);
        assert_eq!(registry.current("ContentAdmired", unknown.schema, unknown.data_bytes()).unwrap(), None);
    });
}

#[test]
fn a_newer_shape_than_this_program_knows_is_never_guessed_at() {
    on_every_store(async |ground: &Ground| {
        let store = &*ground.nodes[0];
        old_content(store).await;
        store
            .append(Append::of([event("old", "ContentUpdated", 2, r#"{"contentId":"old"}"#)]))
            .await
            .unwrap();
        let desk = Desk::new(Arc::clone(&ground.nodes[1]));
        for command in [change("old", r#"{"title":"T"}"#), content::Command::Publish] {
            match ask(&desk, "old", command).await {
                Err(HandleError::Event { position, source: RegistryError::Newer { .. } }) => {
                    assert_eq!(position.get(), 3)
                }
                other => panic!("{}: {other:?}", ground.name),
            }
        }
    });
}
