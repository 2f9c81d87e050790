//! Rules across streams: what a handler asks, what it appends on, and what happens when someone comes in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flightdeck_core::{
    Answer, Decider, EventType, Json, Mark, Question, StoredEvents, StoredType, StreamId, Tag, Tags,
};
use flightdeck_store::{
    Append, AppendError, Context, EventStore, HandleError, Handler, MemoryStore, NewEvent, Outcome,
    RequestKey, StreamQuery,
};
use serde::{Deserialize, Serialize};

use crate::between::{Between, hook};

/// A boat has a berth that no other boat has, and a call sign that nobody may read; there is room for so many boats.
struct Boat;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data")]
enum Event {
    Moored { berth: String, sign: String },
    Left {},
}
impl StoredEvents for Event {
    const TYPES: &'static [StoredType] = &[StoredType::new("Moored"), StoredType::new("Left")];
}

#[derive(Debug, Clone, Default)]
struct Moor {
    berth: &'static str,
    sign: &'static str,
    leave: bool,
    owner: Option<StreamId>,
    boats: usize,
}

#[derive(Debug, PartialEq)]
enum Refused {
    Taken(StreamId),
    Full(usize),
}

/// The berth and the sign that a boat has.
type Place = Option<(String, String)>;

impl Decider for Boat {
    const CATEGORY: &'static str = "boat";
    const MARK_KEYS: &'static [&'static str] = &["berth", "sign", "harbour"];
    type Command = Moor;
    type Event = Event;
    type State = Place;
    type Error = Refused;

    fn initial() -> Place {
        None
    }
    fn evolve(_: Place, event: &Event) -> Place {
        match event {
            Event::Moored { berth, sign } => Some((berth.clone(), sign.clone())),
            Event::Left {} => None,
        }
    }
    fn decide(place: &Place, command: Moor) -> Result<Vec<Event>, Refused> {
        match (place, command) {
            (None, Moor { leave: true, .. }) => Ok(vec![]),
            (Some(_), Moor { leave: true, .. }) => Ok(vec![Event::Left {}]),
            (Some(_), _) => Ok(vec![]),
            (None, Moor { owner: Some(owner), .. }) => Err(Refused::Taken(owner)),
            (None, Moor { boats: boats @ 2_000.., .. }) => Err(Refused::Full(boats)),
            (None, Moor { berth, sign, .. }) => {
                Ok(vec![Event::Moored { berth: berth.into(), sign: sign.into() }])
            }
        }
    }
    fn marks(before: &Place, event: &Event) -> Vec<Mark> {
        let (berth, sign) = match (before, event) {
            (_, Event::Moored { berth, sign }) | (Some((berth, sign)), Event::Left {}) => (berth, sign),
            (None, Event::Left {}) => return vec![],
        };
        let harbour = Mark::open("harbour", "ours").unwrap();
        vec![Mark::open("berth", berth).unwrap(), Mark::hidden("sign", sign.clone()), harbour]
    }
    fn asks(place: &Place, command: &Moor) -> Vec<Question> {
        match place.is_none() && !command.leave {
            true => vec![
                Question::Last(Mark::open("berth", command.berth).unwrap()),
                Question::Last(Mark::hidden("sign", command.sign)),
                Question::Every(Mark::open("harbour", "ours").unwrap()),
            ],
            false => vec![],
        }
    }
    fn told(command: Moor, answers: &[Answer<Event>]) -> Moor {
        let owner = answers[..2].iter().find_map(|answer| match answer.last() {
            Some((stream, Event::Moored { .. })) => Some(stream.clone()),
            Some((_, Event::Left {})) | None => None,
        });
        let boats = answers[2].iter().fold(0_usize, |boats, (_, event)| match event {
            Event::Moored { .. } => boats + 1,
            Event::Left {} => boats.saturating_sub(1),
        });
        Moor { owner, boats, ..command }
    }
}

fn boat(number: u32) -> StreamId {
    StreamId::new(format!("boat-{number}")).unwrap()
}

fn moor(berth: &'static str, sign: &'static str) -> Moor {
    Moor { berth, sign, ..Moor::default() }
}

fn leave() -> Moor {
    Moor { leave: true, ..Moor::default() }
}

fn on(store: impl EventStore) -> Handler<Boat> {
    Handler::new(Arc::new(store))
}

async fn ask(store: &MemoryStore, number: u32, command: Moor) -> Result<(), Refused> {
    match on(store.clone()).handle(&boat(number), command, &Context::default()).await {
        Ok(_) => Ok(()),
        Err(HandleError::Refused(refused)) => Err(refused),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_last_event_with_a_mark_says_who_owns_it() {
    let store = MemoryStore::new();
    ask(&store, 1, moor("a", "x")).await.unwrap();
    assert_eq!(ask(&store, 2, moor("a", "y")).await, Err(Refused::Taken(boat(1))));
    assert_eq!(ask(&store, 2, moor("b", "x")).await, Err(Refused::Taken(boat(1))));
    ask(&store, 1, leave()).await.unwrap();
    ask(&store, 2, moor("a", "x")).await.unwrap();
    assert_eq!(ask(&store, 1, moor("a", "z")).await, Err(Refused::Taken(boat(2))));
}

#[tokio::test]
async fn a_hidden_mark_is_stored_as_nobody_can_read_it() {
    let store = MemoryStore::new();
    ask(&store, 1, moor("a", "quiet")).await.unwrap();
    let page = store.read_stream(&StreamQuery::of(boat(1))).await.unwrap();
    let expected = store.secret().await.unwrap().tag(&Mark::hidden("sign", "quiet")).unwrap();
    let tags: Vec<&str> = page.events[0].tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["berth:a", "harbour:ours", expected.as_str()]);
}

/// A store on which these commands are given just before the first append.
fn overtaken_by(inner: MemoryStore, commands: Vec<(u32, Moor)>) -> Between {
    let rival = inner.clone();
    let before_append = hook(move |before| {
        let (rival, commands) = (rival.clone(), commands.clone());
        async move {
            if before == 0 {
                for (number, command) in commands {
                    ask(&rival, number, command).await.unwrap();
                }
            }
        }
    });
    Between { inner, before_append, ..Between::default() }
}

#[tokio::test]
async fn who_is_overtaken_looks_and_decides_again() {
    let none = Context::default();
    for (rival, outcome) in [
        (vec![(2, moor("a", "y"))], Err(boat(2))),
        (vec![(2, moor("b", "x"))], Err(boat(2))),
        // Any mark that was asked for counts, and what was given back is free.
        (vec![(2, moor("b", "y"))], Ok(())),
        (vec![(2, moor("a", "y")), (2, leave())], Ok(())),
    ] {
        let store = Arc::new(overtaken_by(MemoryStore::new(), rival.clone()));
        let handler = Handler::<Boat>::new(Arc::clone(&store) as Arc<dyn EventStore>);
        let answer = handler.handle(&boat(1), moor("a", "x"), &none).await;
        match (answer, outcome) {
            (Ok(_), Ok(())) => assert_eq!(store.appends.load(Ordering::SeqCst), 2, "{rival:?}"),
            (Err(HandleError::Refused(Refused::Taken(by))), Err(owner)) => assert_eq!(by, owner),
            (answer, _) => panic!("{answer:?} after {rival:?}"),
        }
    }
}

/// The head is read before the answers: what comes between the answers and anything else is behind it.
#[tokio::test]
async fn what_comes_right_behind_an_answer_is_not_missed() {
    let inner = MemoryStore::new();
    let rival = inner.clone();
    let after_log = hook(move |before| {
        let rival = rival.clone();
        async move {
            if before == 0 {
                ask(&rival, 2, moor("a", "y")).await.unwrap();
            }
        }
    });
    let handler = on(Between { inner, after_log, ..Between::default() });
    match handler.handle(&boat(1), moor("a", "x"), &Context::default()).await {
        Err(HandleError::Refused(Refused::Taken(by))) => assert_eq!(by, boat(2)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_is_overtaken_by_itself_is_answered_as_it_was() {
    let inner = MemoryStore::new();
    let context =
        Context { request: Some(RequestKey::new("me", "k", [1; 32]).unwrap()), ..Context::default() };
    // The same request, under another id, on another node: it is done, and the boat has left since.
    let (rival, same) = (inner.clone(), context.clone());
    let before_append = hook(move |before| {
        let (rival, same) = (rival.clone(), same.clone());
        async move {
            if before == 0 {
                on(rival.clone()).handle(&boat(2), moor("a", "x"), &same).await.unwrap();
                ask(&rival, 2, leave()).await.unwrap();
            }
        }
    });
    let handler = on(Between { inner, before_append, ..Between::default() });
    let done = handler.handle(&boat(1), moor("a", "x"), &context).await.unwrap();
    assert_eq!((done.stream, done.state), (boat(2), Some(("a".into(), "x".into()))));
    assert_eq!(done.version.unwrap().get(), 1);
    assert!(done.appended.unwrap().duplicate);
    assert_eq!(handler.load(&boat(1)).await.unwrap().version, None);
}

#[tokio::test]
async fn it_gives_up_when_others_always_come_in_between() {
    let inner = MemoryStore::new();
    let rival = inner.clone();
    let before_append = hook(move |before| {
        let rival = rival.clone();
        async move {
            let number = u32::try_from(before).unwrap() + 10;
            ask(&rival, number, moor("a", "y")).await.unwrap();
            ask(&rival, number, leave()).await.unwrap();
        }
    });
    let store = Arc::new(Between { inner, before_append, ..Between::default() });
    let handler = Handler::<Boat>::new(Arc::clone(&store) as Arc<dyn EventStore>).attempts_max(3);
    match handler.handle(&boat(1), moor("a", "x"), &Context::default()).await {
        Err(HandleError::Append(error @ AppendError::ConditionFailed { .. })) => {
            assert_eq!(error.outcome(), Outcome::NotCommitted);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.appends.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_mark_that_many_events_carry_is_answered_with_all_of_them() {
    let store = MemoryStore::new();
    let tags = Tags::new([Tag::new("harbour:ours").unwrap()]).unwrap();
    let event = |stream: StreamId, name: &str, data: &str| {
        let data = Json::new(data.to_owned(), 1_024).unwrap();
        NewEvent::new(stream, EventType::new(name).unwrap(), data).with_tags(tags.clone())
    };
    let moored = |number| event(boat(number), "Moored", r#"{"berth":"b","sign":"s"}"#);
    for first in [0, 1_000] {
        store.append(Append::of((first..first + 999).map(moored))).await.unwrap();
    }
    // Elsewhere: none of this aggregate's events.
    let elsewhere = event(StreamId::new("ship-1").unwrap(), "Moored", r#"{"berth":"b","sign":"s"}"#);
    store.append(Append::of([elsewhere])).await.unwrap();
    ask(&store, 3_000, moor("a", "x")).await.unwrap();
    ask(&store, 3_001, moor("c", "z")).await.unwrap();
    assert_eq!(ask(&store, 3_002, moor("d", "w")).await, Err(Refused::Full(2_000)));
    ask(&store, 3_000, leave()).await.unwrap();
    ask(&store, 3_002, moor("d", "w")).await.unwrap();
}

#[tokio::test]
async fn the_last_event_is_the_last_of_this_aggregate() {
    let store = MemoryStore::new();
    ask(&store, 1, moor("a", "x")).await.unwrap();
    let tags = Tags::new([Tag::new("berth:a").unwrap()]).unwrap();
    let append = |stream, name| {
        let data = Json::new("{}", 1_024).unwrap();
        let event = NewEvent::new(StreamId::new(stream).unwrap(), EventType::new(name).unwrap(), data);
        store.append(Append::of([event.with_tags(tags.clone())]))
    };
    append("ship-1", "Left").await.unwrap();
    assert_eq!(ask(&store, 2, moor("a", "y")).await, Err(Refused::Taken(boat(1))));
    // A newer program wrote what this one does not know: who owns the berth by now, it can't tell.
    append("boat-9", "Painted").await.unwrap();
    match on(store.clone()).handle(&boat(2), moor("a", "y"), &Context::default()).await {
        Err(HandleError::UnknownType { position, name }) => {
            assert_eq!((position.get(), name.as_str()), (3, "Painted"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_is_for_a_stream_of_its_own_kind() {
    let store = MemoryStore::new();
    for stream in ["ship-1", "boats-1"] {
        let stream = StreamId::new(stream).unwrap();
        match on(store.clone()).handle(&stream, moor("a", "x"), &Context::default()).await {
            Err(HandleError::WrongStream { stream: named }) => assert_eq!(named, stream),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.head().await.unwrap().cursor.position().get(), 0);
}
