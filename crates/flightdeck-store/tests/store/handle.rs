//! Handling commands: races, repetitions, refusals, and events that nobody here knows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flightdeck_core::{EventType, Json, Metadata, Position, Reference, SchemaNumber, Version};
use flightdeck_store::{
    Append, Context, EventStore, Expected, HandleError, Handler, MemoryStore, NewEvent, RequestKey,
    StreamQuery,
};

use crate::account::{Account, Balance, Command, Overdrawn, account};
use crate::between::{Between, hook};

fn key(text: &str) -> Context {
    Context { request: Some(RequestKey::new("me", text, [1; 32]).unwrap()), ..Context::default() }
}

fn if_match(version: i64) -> Expected {
    Expected::Exactly(Version::new(version).unwrap())
}

fn stored(name: &str, data: &str) -> NewEvent {
    NewEvent::new(account(), EventType::new(name).unwrap(), Json::new(data.to_owned(), 1_024).unwrap())
}

async fn deposit(store: &MemoryStore, cents: i64) {
    store.append(Append::of([stored("Deposited", &format!("{{\"cents\":{cents}}}"))])).await.unwrap();
}

fn on(store: impl EventStore) -> Handler<Account> {
    Handler::new(Arc::new(store))
}

#[tokio::test]
async fn a_command_is_decided_on_the_fold_of_its_stream() {
    let handler = on(MemoryStore::new());
    let none = Context::default();
    assert_eq!(handler.load(&account()).await.unwrap().version, None);
    handler.handle(&account(), Command::Deposit { cents: 5 }, &none).await.unwrap();
    let done = handler.handle(&account(), Command::Withdraw { cents: 2 }, &none).await.unwrap();
    assert_eq!((done.state, done.version), (Balance { cents: 3 }, Some(Version::new(2).unwrap())));
    assert!(!done.appended.unwrap().duplicate);
    let refused = handler.handle(&account(), Command::Withdraw { cents: 4 }, &none).await;
    assert!(matches!(refused, Err(HandleError::Refused(Overdrawn))), "{refused:?}");
    assert_eq!(handler.load(&account()).await.unwrap().state, Balance { cents: 3 });
}

#[tokio::test]
async fn events_get_the_metadata_of_the_command_and_tags_of_their_own() {
    let store = MemoryStore::new();
    let metadata = Metadata { actor: Some(Reference::new("user-1").unwrap()), ..Metadata::default() };
    let context = Context { metadata: metadata.clone(), ..Context::default() };
    on(store.clone()).handle(&account(), Command::Deposit { cents: 5 }, &context).await.unwrap();
    let page = store.read_stream(&StreamQuery::of(account())).await.unwrap();
    assert_eq!(page.events[0].metadata, metadata);
    assert_eq!(page.events[0].tags.as_slice()[0].as_str(), "direction:in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_commands_at_once_all_land() {
    let handler = Arc::new(on(MemoryStore::new()).attempts_max(1_000));
    let tasks = (0..12).map(|_| {
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            for _ in 0..10 {
                handler.handle(&account(), Command::Deposit { cents: 1 }, &Context::default()).await.unwrap();
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        task.await.unwrap();
    }
    let loaded = handler.load(&account()).await.unwrap();
    assert_eq!((loaded.state, loaded.version), (Balance { cents: 120 }, Some(Version::new(120).unwrap())));
}

#[tokio::test]
async fn a_rival_in_between_makes_it_decide_again() {
    let inner = MemoryStore::new();
    deposit(&inner, 5).await;
    let rival = inner.clone();
    let before_append = hook(move |before| {
        let rival = rival.clone();
        async move {
            if before == 0 {
                let other =
                    on(rival).handle(&account(), Command::Withdraw { cents: 5 }, &Context::default()).await;
                other.unwrap();
            }
        }
    });
    let handler = on(Between { inner, before_append, ..Between::default() });
    // Decided on the first look, it would overdraw the account.
    let refused = handler.handle(&account(), Command::Withdraw { cents: 5 }, &Context::default()).await;
    assert!(matches!(refused, Err(HandleError::Refused(Overdrawn))), "{refused:?}");
}

#[tokio::test]
async fn it_gives_up_when_others_are_always_faster() {
    let inner = MemoryStore::new();
    let rival = inner.clone();
    let before_append = hook(move |_| {
        let rival = rival.clone();
        async move { deposit(&rival, 1).await }
    });
    let store = Arc::new(Between { inner, before_append, ..Between::default() });
    let handler = Handler::<Account>::new(Arc::clone(&store) as Arc<dyn EventStore>).attempts_max(3);
    let answer = handler.handle(&account(), Command::Deposit { cents: 100 }, &Context::default()).await;
    let Err(HandleError::Conflict(conflict)) = answer else { panic!("{answer:?}") };
    assert_eq!(conflict.actual, Some(Version::new(3).unwrap()));
    assert_eq!(store.appends.load(Ordering::SeqCst), 3);
    assert_eq!(handler.load(&account()).await.unwrap().state, Balance { cents: 3 });
}

#[tokio::test]
async fn a_repeated_request_is_done_once() {
    let handler = on(MemoryStore::new());
    let first = handler.handle(&account(), Command::Deposit { cents: 5 }, &key("a")).await.unwrap();
    let again = handler.handle(&account(), Command::Deposit { cents: 5 }, &key("a")).await.unwrap();
    assert_eq!(again.state, Balance { cents: 5 });
    let (first, again) = (first.appended.unwrap(), again.appended.unwrap());
    assert!(again.duplicate && !first.duplicate);
    assert_eq!((again.range, again.streams), (first.range, first.streams));
}

#[tokio::test]
async fn a_repeated_request_is_answered_when_the_state_has_moved_on() {
    let handler = on(MemoryStore::new());
    handler.handle(&account(), Command::Deposit { cents: 5 }, &key("a")).await.unwrap();
    handler.handle(&account(), Command::Withdraw { cents: 5 }, &key("b")).await.unwrap();
    // The decider would refuse it now, and the caller's expectation does not hold any more either.
    let context = Context { expected: if_match(1), ..key("b") };
    let again = handler.handle(&account(), Command::Withdraw { cents: 5 }, &context).await.unwrap();
    assert!(again.appended.unwrap().duplicate);
    assert_eq!(again.state, Balance { cents: 0 });
    // The first one is answered as it was then, and not as it is now.
    let first = handler.handle(&account(), Command::Deposit { cents: 5 }, &key("a")).await.unwrap();
    assert_eq!((first.state, first.version), (Balance { cents: 5 }, Version::new(1).ok()));
}

/// A store on which the same request is run by someone else just before the first load.
async fn overtaken(command: Command) -> Handler<Account> {
    let inner = MemoryStore::new();
    deposit(&inner, 5).await;
    let other = inner.clone();
    let before_stream = hook(move |before| {
        let (other, command) = (other.clone(), command.clone());
        async move {
            if before == 0 {
                on(other).handle(&account(), command, &key("a")).await.unwrap();
            }
        }
    });
    on(Between { inner, before_stream, ..Between::default() })
}

#[tokio::test]
async fn a_request_that_runs_twice_at_once_is_no_refusal() {
    let command = Command::Withdraw { cents: 5 };
    let done = overtaken(command.clone()).await.handle(&account(), command, &key("a")).await.unwrap();
    assert!(done.appended.unwrap().duplicate);
    assert_eq!(done.state, Balance { cents: 0 });
}

#[tokio::test]
async fn a_request_that_runs_twice_at_once_is_no_conflict() {
    let command = Command::Deposit { cents: 5 };
    let context = Context { expected: if_match(1), ..key("a") };
    let done = overtaken(command.clone()).await.handle(&account(), command, &context).await.unwrap();
    assert!(done.appended.unwrap().duplicate);
    assert_eq!(done.state, Balance { cents: 10 });
}

#[tokio::test]
async fn a_request_that_runs_twice_at_once_is_not_added_up_twice() {
    let command = Command::Deposit { cents: 5 };
    let done = overtaken(command.clone()).await.handle(&account(), command, &key("a")).await.unwrap();
    assert!(done.appended.unwrap().duplicate);
    assert_eq!(done.state, Balance { cents: 10 });
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_refused() {
    let handler = on(MemoryStore::new());
    handler.handle(&account(), Command::Deposit { cents: 5 }, &key("a")).await.unwrap();
    let request = Some(RequestKey::new("me", "a", [2; 32]).unwrap());
    let other = Context { request, ..Context::default() };
    let answer = handler.handle(&account(), Command::Deposit { cents: 6 }, &other).await;
    assert!(matches!(answer, Err(HandleError::Append(_))), "{answer:?}");
}

#[tokio::test]
async fn a_command_with_nothing_to_do_writes_nothing() {
    let handler = on(MemoryStore::new());
    let done =
        handler.handle(&account(), Command::FillUp { to_cents: 0 }, &Context::default()).await.unwrap();
    assert_eq!((done.appended, done.version), (None, None));
}

#[tokio::test]
async fn a_request_with_nothing_to_do_is_remembered() {
    let handler = on(MemoryStore::new());
    let first = handler.handle(&account(), Command::FillUp { to_cents: 0 }, &key("a")).await.unwrap();
    assert_eq!(first.appended.unwrap().range, None);
    // By now there would be something to do.
    let again = handler.handle(&account(), Command::FillUp { to_cents: 7 }, &key("a")).await.unwrap();
    let appended = again.appended.unwrap();
    assert_eq!((appended.range, appended.duplicate), (None, true));
    // Nor does it matter what has come since: it is answered as it was.
    handler.handle(&account(), Command::Deposit { cents: 3 }, &Context::default()).await.unwrap();
    let again = handler.handle(&account(), Command::FillUp { to_cents: 7 }, &key("a")).await.unwrap();
    assert_eq!((again.state, again.version), (Balance { cents: 0 }, None));
    handler.handle(&account(), Command::Withdraw { cents: 3 }, &Context::default()).await.unwrap();
    assert_eq!(handler.load(&account()).await.unwrap().state, Balance { cents: 0 });
}

#[tokio::test]
async fn a_handler_that_forgets_what_did_nothing_leaves_no_trace_of_it() {
    let store = MemoryStore::new();
    let handler = on(store.clone()).forgetting_nothing_done();
    let first = handler.handle(&account(), Command::FillUp { to_cents: 0 }, &key("a")).await.unwrap();
    assert_eq!(first.appended, None);
    assert_eq!(store.outcome_of(key("a").request.as_ref().unwrap()).await.unwrap(), None);
    // Repeated, it is decided again; and what did something is remembered as ever.
    handler.handle(&account(), Command::FillUp { to_cents: 7 }, &key("a")).await.unwrap();
    let again = handler.handle(&account(), Command::FillUp { to_cents: 9 }, &key("a")).await.unwrap();
    assert!(again.appended.unwrap().duplicate);
    assert_eq!(again.state, Balance { cents: 7 });
}

#[tokio::test]
async fn a_first_outcome_that_cannot_be_folded_any_more_is_answered_as_it_is() {
    let inner = MemoryStore::new();
    let with_snapshots = |store: Between| on(store).snapshots(1, SchemaNumber::FIRST);
    let before = with_snapshots(Between { inner: inner.clone(), ..Between::default() });
    before.handle(&account(), Command::Deposit { cents: 5 }, &key("a")).await.unwrap();
    before.handle(&account(), Command::FillUp { to_cents: 5 }, &key("b")).await.unwrap();
    before.handle(&account(), Command::Deposit { cents: 2 }, &Context::default()).await.unwrap();
    // The first event is archived behind the snapshot of the second.
    let erased = Some(Position::new(1).unwrap());
    let after = with_snapshots(Between { inner: inner.clone(), erased, ..Between::default() });
    for (command, key_of) in [(Command::Deposit { cents: 5 }, "a"), (Command::FillUp { to_cents: 5 }, "b")] {
        let again = after.handle(&account(), command, &key(key_of)).await.unwrap();
        assert!(again.appended.unwrap().duplicate);
        assert_eq!((again.state, again.version), (Balance { cents: 7 }, Version::new(2).ok()), "{key_of}");
    }
    // And where the snapshot is not behind what was done, it is as it was.
    let other = key("c");
    before.handle(&account(), Command::FillUp { to_cents: 7 }, &other).await.unwrap();
    deposit(&inner, 1).await;
    let again = after.handle(&account(), Command::FillUp { to_cents: 7 }, &other).await.unwrap();
    assert_eq!((again.state, again.version), (Balance { cents: 7 }, Version::new(2).ok()));
}

#[tokio::test]
async fn a_key_that_did_something_elsewhere_is_not_answered_with_that() {
    let store = MemoryStore::new();
    let request = key("a").request;
    let data = Json::new("{}", 1_024).unwrap();
    let elsewhere = flightdeck_core::StreamId::new("other-1").unwrap();
    let event = NewEvent::new(elsewhere.clone(), EventType::new("Done").unwrap(), data);
    store.append(Append { request, ..Append::of([event]) }).await.unwrap();
    match on(store).handle(&account(), Command::Deposit { cents: 5 }, &key("a")).await {
        Err(HandleError::WrongStream { stream }) => assert_eq!(stream, elsewhere),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stream_that_is_not_as_the_caller_expects_is_a_conflict() {
    let store = Arc::new(Between::default());
    deposit(&store.inner, 5).await;
    deposit(&store.inner, 5).await;
    let handler = Handler::<Account>::new(Arc::clone(&store) as Arc<dyn EventStore>);
    for (expected, holds) in
        [(if_match(1), false), (Expected::NoStream, false), (if_match(2), true), (if_match(2), false)]
    {
        let context = Context { expected, ..Context::default() };
        match handler.handle(&account(), Command::Deposit { cents: 1 }, &context).await {
            Ok(_) => assert!(holds, "{expected}"),
            Err(HandleError::Conflict(conflict)) => {
                assert!(!holds && conflict.expected == expected, "{conflict}")
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(store.appends.load(Ordering::SeqCst), 1, "it is not tried again in vain");
}

#[tokio::test]
async fn events_of_unknown_types_are_passed_over() {
    let store = MemoryStore::new();
    deposit(&store, 5).await;
    store.append(Append::of([stored("Audited", "[1,2]"), stored("deposited", "{}")])).await.unwrap();
    let done =
        on(store).handle(&account(), Command::Deposit { cents: 1 }, &Context::default()).await.unwrap();
    assert_eq!((done.state, done.version), (Balance { cents: 6 }, Some(Version::new(4).unwrap())));
}

#[tokio::test]
async fn a_newer_schema_than_this_program_knows_is_refused() {
    let store = MemoryStore::new();
    deposit(&store, 5).await;
    let newer =
        NewEvent { schema: SchemaNumber::new(2).unwrap(), ..stored("Deposited", "{\"cents\":\"5\"}") };
    store.append(Append::of([newer])).await.unwrap();
    match on(store).handle(&account(), Command::Deposit { cents: 1 }, &Context::default()).await {
        Err(HandleError::Event { position, .. }) => assert_eq!(position, Position::new(2).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn data_that_is_not_of_its_shape_is_refused() {
    let store = MemoryStore::new();
    store.append(Append::of([stored("Deposited", "{\"dollars\":5}")])).await.unwrap();
    let answer = on(store).load(&account()).await;
    assert!(matches!(answer, Err(HandleError::Event { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_stream_of_many_pages_is_folded_whole() {
    let store = MemoryStore::new();
    for _ in 0..3 {
        let events = (0..900).map(|_| stored("Deposited", "{\"cents\":1}"));
        store.append(Append::of(events)).await.unwrap();
    }
    let loaded = on(store).load(&account()).await.unwrap();
    assert_eq!(
        (loaded.state, loaded.version),
        (Balance { cents: 2_700 }, Some(Version::new(2_700).unwrap()))
    );
}
