//! What comes twice is done once: the first outcome, whatever has happened since; and what is stale is refused.

use std::sync::Arc;

use flightdeck_core::{Metadata, Reference, StreamId, Version};
use flightdeck_domain::content::{Command, State, Status};
use flightdeck_domain::presentation;
use flightdeck_domain::{PresentationId, SlideId};
use flightdeck_server::Desk;
use flightdeck_store::{AppendError, Context, Expected, HandleError, LogQuery, RequestKey, StreamQuery};

use super::{
    Ground, ask, change, content_stream, create, json, on_every_store, presentation_stream, text_slide,
};

fn key(key: &str, body: u8) -> Context {
    let request = RequestKey::new("me", key, [body; 32]).unwrap();
    Context { request: Some(request), ..Context::default() }
}

fn version(number: i64) -> Version {
    Version::new(number).unwrap()
}

fn title(state: &State) -> &str {
    match state {
        State::Live(page) => page.now.title.as_str(),
        State::Absent | State::Deleted => panic!("{state:?}"),
    }
}

#[test]
fn a_key_gives_the_first_outcome_whatever_has_happened_since() {
    on_every_store(async |ground: &Ground| {
        let desk = Desk::new(Arc::clone(&ground.nodes[0]));
        let other = Desk::new(Arc::clone(&ground.nodes[1]));
        let stream = content_stream("a");
        let handle = |command, context| {
            let (desk, stream) = (&desk, &stream);
            async move { desk.contents.handle(stream, command, &context).await }
        };
        let first = handle(create("a", "hello"), key("create", 1)).await.unwrap();
        let changed = handle(change("a", r#"{"title":"Second"}"#), key("change", 2)).await.unwrap();
        assert_eq!((title(&changed.state), changed.version), ("Second", Some(version(2))));
        // One that had nothing to do is remembered as well.
        let nothing = handle(change("a", r#"{"title":"Second"}"#), key("nothing", 3)).await.unwrap();
        assert_eq!(nothing.appended.as_ref().unwrap().range, None);
        ask(&other, "a", change("a", r#"{"title":"Third","status":"Published"}"#)).await.unwrap();
        ask(&other, "a", Command::Delete).await.unwrap();
        let log = ground.nodes[0].head().await.unwrap();

        // Each is answered as it was then, on either node, though everything would be refused by now.
        for desk in [&desk, &other] {
            let again = desk.contents.handle(&stream, create("a", "hello"), &key("create", 1)).await.unwrap();
            assert_eq!((&again.state, again.version), (&first.state, first.version), "{}", ground.name);
            assert!(again.appended.unwrap().duplicate);
            let again = desk
                .contents
                .handle(&stream, change("a", r#"{"title":"Second"}"#), &key("change", 2))
                .await
                .unwrap();
            assert_eq!((&again.state, again.version), (&changed.state, changed.version), "{}", ground.name);
            let again = desk
                .contents
                .handle(&stream, change("a", r#"{"title":"Second"}"#), &key("nothing", 3))
                .await
                .unwrap();
            assert_eq!((&again.state, again.version), (&nothing.state, nothing.version), "{}", ground.name);
            let appended = again.appended.unwrap();
            assert!(appended.duplicate && appended.range.is_none());
        }
        // The key with another body is refused, and whether the command could be done is not even looked at.
        for command in [create("a", "hello"), Command::Delete] {
            match handle(command, key("create", 9)).await {
                Err(HandleError::Append(AppendError::KeyReused)) => {}
                other => panic!("{}: {other:?}", ground.name),
            }
        }
        // Someone else's key is another key.
        let theirs = Context {
            request: Some(RequestKey::new("you", "create", [9; 32]).unwrap()),
            ..Context::default()
        };
        assert!(matches!(handle(Command::Publish, theirs).await, Err(HandleError::Refused(_))));
        assert_eq!(ground.nodes[1].head().await.unwrap(), log, "{}: nothing was written", ground.name);
    });
}

#[test]
fn a_creation_that_comes_again_under_a_new_id_is_the_first_one() {
    on_every_store(async |ground: &Ground| {
        let desk = Desk::new(Arc::clone(&ground.nodes[0]));
        let first =
            desk.contents.handle(&content_stream("first"), create("first", "s"), &key("k", 1)).await.unwrap();
        ask(&desk, "first", change("first", r#"{"title":"Other"}"#)).await.unwrap();
        // The server made another id for the repetition.
        let again = desk
            .contents
            .handle(&content_stream("second"), create("second", "s"), &key("k", 1))
            .await
            .unwrap();
        assert_eq!(
            (&again.stream, &again.state, again.version),
            (&first.stream, &first.state, first.version)
        );
        assert_eq!(again.stream, content_stream("first"), "{}", ground.name);
        assert_eq!(desk.contents.load(&content_stream("second")).await.unwrap().version, None);
    });
}

#[test]
fn one_request_that_comes_fifty_times_at_once_is_done_once() {
    on_every_store(async |ground: &Ground| {
        let tasks = (0..50_usize).map(|number| {
            let desk = Desk::new(Arc::clone(&ground.nodes[number % 2]));
            tokio::spawn(async move {
                let id = format!("c{number}");
                desk.contents.handle(&content_stream(&id), create(&id, "hello"), &key("k", 1)).await
            })
        });
        let (mut streams, mut fresh) = (std::collections::BTreeSet::<StreamId>::new(), 0);
        for task in tasks.collect::<Vec<_>>() {
            let done = task.await.unwrap().unwrap();
            assert_eq!(done.version, Some(version(1)), "{}", ground.name);
            assert!(matches!(done.state, State::Live(ref page) if page.status == Status::Draft));
            fresh += u32::from(!done.appended.unwrap().duplicate);
            streams.insert(done.stream);
        }
        assert_eq!((streams.len(), fresh), (1, 1), "{}", ground.name);
        let page = ground.nodes[0].read_log(&LogQuery::default()).await.unwrap();
        assert_eq!(page.events.len(), 1, "{}", ground.name);
    });
}

#[test]
fn a_stale_command_is_refused_with_what_was_expected_and_what_is() {
    on_every_store(async |ground: &Ground| {
        let desk = Desk::new(Arc::clone(&ground.nodes[0]));
        ask(&desk, "a", create("a", "hello")).await.unwrap();
        ask(&desk, "a", change("a", r#"{"title":"Second"}"#)).await.unwrap();
        let expected = Expected::Exactly(version(1));
        let stale = Context { expected, ..Context::default() };
        match desk.contents.handle(&content_stream("a"), change("a", r#"{"title":"Third"}"#), &stale).await {
            Err(HandleError::Conflict(conflict)) => {
                assert_eq!((conflict.expected, conflict.actual), (expected, Some(version(2))));
                assert_eq!(
                    conflict.to_string(),
                    "stream content-a: expected version 1, but current version is 2"
                );
            }
            other => panic!("{}: {other:?}", ground.name),
        }
    });
}

#[test]
fn every_event_says_who_and_because_of_what() {
    on_every_store(async |ground: &Ground| {
        let desk = Desk::new(Arc::clone(&ground.nodes[0]));
        let word = |text| Some(Reference::new(text).unwrap());
        let metadata = Metadata {
            actor: word("ada"),
            correlation: word("c-1"),
            causation: word("cause"),
            ..Metadata::default()
        };
        let context = Context { metadata: metadata.clone(), ..Context::default() };
        desk.contents.handle(&content_stream("a"), create("a", "hello"), &context).await.unwrap();
        let page = ground.nodes[1].read_stream(&StreamQuery::of(content_stream("a"))).await.unwrap();
        assert_eq!(page.events[0].metadata, metadata, "{}", ground.name);
        let tags: Vec<&str> = page.events[0].tags.iter().map(|tag| tag.as_str()).collect();
        assert_eq!(tags, ["slug:hello"]);
        assert_eq!((page.events[0].event_type.as_str(), page.events[0].schema.get()), ("ContentCreated", 2));
    });
}

#[test]
fn a_long_presentation_is_folded_from_its_snapshot_on() {
    on_every_store(async |ground: &Ground| {
        let desk = Desk::new(Arc::clone(&ground.nodes[0]));
        let (stream, none) = (presentation_stream("p"), Context::default());
        let id = PresentationId::new("p").unwrap();
        let body = json(r#"{"title":"Talk","author":"Ada"}"#);
        let new = presentation::Created::read(id, &body, None).unwrap();
        desk.presentations.handle(&stream, presentation::Command::Create(new), &none).await.unwrap();
        for number in 0..120 {
            desk.presentations.handle(&stream, text_slide(&number.to_string()), &none).await.unwrap();
        }
        let gone = presentation::Command::RemoveSlide(SlideId::new("7").unwrap());
        let done = desk.presentations.handle(&stream, gone.clone(), &key("gone", 1)).await.unwrap();
        let loaded = desk.presentations.load(&stream).await.unwrap();
        assert_eq!(loaded.snapshot, Some(version(100)), "{}", ground.name);
        assert_eq!(loaded.state, done.state);
        // It is only a head start.
        ground.nodes[1].delete_snapshot(&stream).await.unwrap();
        let folded = desk.presentations.load(&stream).await.unwrap();
        assert_eq!((folded.snapshot, &folded.state, folded.version), (None, &loaded.state, loaded.version));
        let presentation::State::Live(deck) = &folded.state else { panic!("{folded:?}") };
        assert_eq!(deck.slides.len(), 119);
        // And a first outcome that lies behind a later snapshot is found without it.
        for number in 120..320 {
            desk.presentations.handle(&stream, text_slide(&number.to_string()), &none).await.unwrap();
        }
        assert!(desk.presentations.load(&stream).await.unwrap().snapshot > done.version);
        let again = desk.presentations.handle(&stream, gone, &key("gone", 1)).await.unwrap();
        assert_eq!((again.state, again.version), (done.state, done.version), "{}", ground.name);
    });
}

#[test]
fn what_may_not_be_stored_of_a_visitor_leaves_no_trace() {
    use flightdeck_analytics::VisitorId;
    use flightdeck_analytics::visitor::{Answer, Batch, Command, Policy, Record};
    on_every_store(async |ground: &Ground| {
        let desk = Desk::new(Arc::clone(&ground.nodes[0]));
        let visitor_id = VisitorId::new("v").unwrap();
        let stream = visitor_id.stream("visitor").unwrap();
        let at = flightdeck_core::Timestamp::from_micros(0).unwrap();
        let batch = Batch::read(&json(r#"{"type":"PageViewed","pageId":"/"}"#)).unwrap();
        let record = || {
            let (visitor_id, batch) = (visitor_id.clone(), batch.clone());
            Command::Record(Record { visitor_id, batch, policy: Policy::AskFirst, at })
        };
        let context = key("k", 1);
        let done = desk.visitors.handle(&stream, record(), &context).await.unwrap();
        assert_eq!((done.appended, done.version), (None, None), "{}", ground.name);
        let request = context.request.as_ref().unwrap();
        assert_eq!(ground.nodes[1].outcome_of(request).await.unwrap(), None, "{}", ground.name);
        // Once it has accepted, the same request is stored, once.
        let accept = Command::AcceptConsent(Answer { visitor_id: visitor_id.clone(), at });
        desk.visitors.handle(&stream, accept, &Context::default()).await.unwrap();
        for duplicate in [false, true] {
            let done = desk.visitors.handle(&stream, record(), &context).await.unwrap();
            assert_eq!((done.appended.unwrap().duplicate, done.version), (duplicate, Some(version(2))));
        }
        // A command about someone else does not get into this stream.
        let other = Answer { visitor_id: VisitorId::new("w").unwrap(), at };
        let outcome =
            desk.visitors.handle(&stream, Command::DeclineConsent(other), &Context::default()).await;
        assert!(matches!(outcome, Err(HandleError::WrongStream { .. })), "{}: {outcome:?}", ground.name);
    });
}
