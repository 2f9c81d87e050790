//! Contents: every command in every state, who has a slug, and what must hold whatever anyone asks.

use flightdeck_core::kit::{World, given};
use flightdeck_core::{Decider, Edit, Json, Mark, Question, StreamId};
use proptest::prelude::*;

use super::{
    Change, Command, Content, Create, Created, Deleted, Error, Event, Format, Page, State, Status, Updated,
};
use crate::words::{ContentId, LABELS_MAX, Labels, Slug};

fn id(text: &str) -> ContentId {
    ContentId::new(text).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn json(text: &str) -> Json {
    Json::new(text.to_owned(), 1 << 20).unwrap()
}

/// What `create` and its kin send.
const HELLO: &str =
    r##"{"title":"Hello","slug":"hello","content":"# Hello","author":"Ada","tags":["a","b"]}"##;

fn create(body: &str) -> Create {
    Create::read(id("1"), &json(body), None).unwrap()
}

fn change(patch: &str) -> Change {
    Change::read(id("1"), &json(patch)).unwrap()
}

fn created() -> Event {
    Event::Created(create(HELLO).new)
}

fn updated(patch: &str) -> Event {
    Event::Updated(change(patch).to)
}

fn deleted() -> Event {
    Event::Deleted(Deleted { content_id: id("1") })
}

/// Every state that a content can be in, by the way there.
fn states() -> [Vec<Event>; 5] {
    let status = |status: &str| updated(&format!("{{\"status\":\"{status}\"}}"));
    [
        vec![],
        vec![created()],
        vec![created(), status("Published")],
        vec![created(), status("Published"), status("Archived")],
        vec![created(), deleted()],
    ]
}

/// What each command comes to when there is no content, a draft, a published one, an archived one, and a deleted one.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 5]); 17] = [
    ("create",            ["ContentCreated", "nothing", "nothing", "nothing", "Deleted"]),
    ("create another",    ["ContentCreated", "Exists", "Exists", "Exists", "Deleted"]),
    ("create, slug taken",["SlugTaken by 2", "nothing", "nothing", "nothing", "Deleted"]),
    ("change nothing",    ["NeverWas", "nothing", "nothing", "nothing", "Deleted"]),
    ("change to the same",["NeverWas", "nothing", "nothing", "nothing", "Deleted"]),
    ("change the title",  ["NeverWas", r#"{"title":"Bye"}"#, r#"{"title":"Bye"}"#, r#"{"title":"Bye"}"#, "Deleted"]),
    ("change all",        ["NeverWas", ALL, ALL, ALL, "Deleted"]),
    ("clear",             ["NeverWas", CLEAR, CLEAR, CLEAR, "Deleted"]),
    ("change the slug",   ["NeverWas", r#"{"slug":"bye"}"#, r#"{"slug":"bye"}"#, r#"{"slug":"bye"}"#, "Deleted"]),
    ("take a slug",       ["NeverWas", "SlugTaken by 2", "SlugTaken by 2", "SlugTaken by 2", "Deleted"]),
    ("keep a slug",       ["NeverWas", "nothing", "nothing", "nothing", "Deleted"]),
    ("withdraw",          ["NeverWas", "nothing", r#"{"status":"Draft"}"#, r#"{"status":"Draft"}"#, "Deleted"]),
    ("publish by change", ["NeverWas", r#"{"status":"Published"}"#, "nothing", "Archived", "Deleted"]),
    ("archive by change", ["NeverWas", r#"{"status":"Archived"}"#, r#"{"status":"Archived"}"#, "nothing", "Deleted"]),
    ("publish",           ["NeverWas", r#"{"status":"Published"}"#, "nothing", "Archived", "Deleted"]),
    ("archive",           ["NeverWas", r#"{"status":"Archived"}"#, r#"{"status":"Archived"}"#, "nothing", "Deleted"]),
    ("delete",            ["NeverWas", "ContentDeleted", "ContentDeleted", "ContentDeleted", "Deleted"]),
];
const ALL: &str =
    r#"{"title":"T","slug":"s","description":"D","content":"C","format":"Html","author":"Eve","tags":["c"]}"#;
const CLEAR: &str = r#"{"slug":null,"tags":[]}"#;

fn command(name: &str) -> Command {
    let taken = |change: Change| Change { slug_owner: Some(id("2")), ..change };
    match name {
        "create" => Command::Create(create(HELLO)),
        "create another" => Command::Create(create(&HELLO.replace("Ada", "Eve"))),
        "create, slug taken" => Command::Create(Create { slug_owner: Some(id("2")), ..create(HELLO) }),
        "change nothing" => Command::Change(change("{}")),
        "change to the same" => {
            Command::Change(change(&HELLO.replace('}', r#","format":"Markdown","description":null}"#)))
        }
        "change the title" => Command::Change(change(r#"{"title":"Bye"}"#)),
        "change all" => Command::Change(change(ALL)),
        "clear" => Command::Change(change(r#"{"slug":null,"description":null,"tags":null}"#)),
        "change the slug" => Command::Change(change(r#"{"slug":"bye"}"#)),
        "take a slug" => Command::Change(taken(change(r#"{"slug":"bye","title":"T"}"#))),
        "keep a slug" => Command::Change(taken(change(r#"{"slug":"hello"}"#))),
        "withdraw" => Command::Change(change(r#"{"status":"Draft"}"#)),
        "publish by change" => Command::Change(change(r#"{"status":"Published"}"#)),
        "archive by change" => Command::Change(change(r#"{"status":"Archived"}"#)),
        "publish" => Command::Publish,
        "archive" => Command::Archive,
        "delete" => Command::Delete,
        other => panic!("{other} is no command"),
    }
}

/// An outcome as the table has it.
fn told(outcome: &Result<Vec<Event>, Error>) -> String {
    match outcome.as_deref() {
        Ok([]) => "nothing".into(),
        Ok([Event::Created(_)]) => "ContentCreated".into(),
        Ok([Event::Updated(update)]) => {
            let text = serde_json::to_string(update).unwrap();
            text.replace(r#""contentId":"1","#, "")
        }
        Ok([Event::Deleted(_)]) => "ContentDeleted".into(),
        Ok(more) => panic!("{more:?}"),
        Err(Error::SlugTaken { by, .. }) => format!("SlugTaken by {by}"),
        Err(Error::Exists) => "Exists".into(),
        Err(Error::NeverWas) => "NeverWas".into(),
        Err(Error::Deleted) => "Deleted".into(),
        Err(Error::Archived) => "Archived".into(),
    }
}

/// A new command does not compile before it has a row.
fn row(command: &Command) -> usize {
    match command {
        Command::Create(_) => 0,
        Command::Change(_) => 3,
        Command::Publish => 14,
        Command::Archive => 15,
        Command::Delete => 16,
    }
}

#[test]
fn every_command_in_every_state() {
    assert!(TABLE.iter().enumerate().all(|(place, (name, _))| row(&command(name)) <= place));
    assert!([0, 3, 14, 15, 16].iter().all(|place| row(&command(TABLE[*place].0)) == *place));
    for (name, expected) in TABLE {
        for (events, expected) in states().into_iter().zip(expected) {
            let state = events.iter().fold(State::Absent, Content::evolve);
            assert_eq!(told(&Content::decide(&state, command(name))), expected, "{name} in {state:?}");
        }
    }
}

#[test]
fn a_command_names_its_content() {
    let stream = |command: &Command| Content::stream(command).map(|stream| stream.unwrap().to_string());
    for name in ["create", "change the title"] {
        assert_eq!(stream(&command(name)).as_deref(), Some("content-1"), "{name}");
    }
    for name in ["publish", "archive", "delete"] {
        assert_eq!(stream(&command(name)), None, "{name}");
    }
}

#[test]
fn what_happened_is_what_is_known() {
    let live = |page: &State| match page {
        State::Live(Page { now, status }) => (now.clone(), *status),
        State::Absent | State::Deleted => panic!("{page:?}"),
    };
    let (now, status) = live(given::<Content>([created()]).state());
    assert_eq!((&now, status), (&create(HELLO).new, Status::Draft));
    let (now, status) = live(given::<Content>([created(), updated(ALL), updated(CLEAR)]).state());
    let Created { content_id, title, slug, description, content, format, author, tags } = now;
    assert_eq!((content_id, slug, format, tags), (id("1"), None, Format::Html, Labels::default()));
    let texts = (title.as_str(), description.as_ref().map(|d| d.as_str()), content.as_str(), author.as_str());
    assert_eq!((texts, status), (("T", Some("D"), "C", "Eve"), Status::Draft));
}

#[test]
fn what_cannot_follow_changes_nothing() {
    let fold = |events: &[Event]| events.iter().fold(State::Absent, Content::evolve);
    let other = Event::Created(create(ALL).new);
    assert_eq!(fold(&[updated(ALL)]), State::Absent);
    assert_eq!(fold(&[deleted()]), State::Absent);
    assert_eq!(fold(&[created(), other.clone()]), fold(&[created()]));
    assert_eq!(fold(&[created(), deleted(), deleted(), other, updated(ALL)]), State::Deleted);
}

#[test]
fn whoever_takes_or_gives_up_a_slug_marks_it() {
    let (hello, bye) = (Mark::open("slug", "hello").unwrap(), Mark::open("slug", "bye").unwrap());
    let marks = |events: Vec<Event>, event: Event| {
        Content::marks(&events.iter().fold(State::Absent, Content::evolve), &event)
    };
    assert_eq!(marks(vec![], created()), vec![hello.clone()]);
    assert_eq!(marks(vec![created()], updated(r#"{"title":"x"}"#)), []);
    assert_eq!(marks(vec![created()], updated(r#"{"slug":"bye"}"#)), [hello.clone(), bye.clone()]);
    assert_eq!(marks(vec![created()], updated(r#"{"slug":null}"#)), vec![hello.clone()]);
    assert_eq!(marks(vec![created()], deleted()), [hello]);
    let without = vec![created(), updated(r#"{"slug":null}"#)];
    assert_eq!(marks(without.clone(), deleted()), []);
    assert_eq!(marks(without, updated(r#"{"slug":"bye"}"#)), [bye]);
    given::<Content>([])
        .when(command("create"))
        .marked(&[&[Mark::open("slug", "hello").unwrap()]])
        .then([created()]);
}

#[test]
fn only_a_slug_that_is_new_is_asked_for() {
    let asks = |events: &[Event], command: &Command| {
        Content::asks(&events.iter().fold(State::Absent, Content::evolve), command)
    };
    let last = |slug: &str| vec![Question::Last(Mark::open("slug", slug).unwrap())];
    let [absent, draft, _, archived, gone] = states();
    assert_eq!(asks(&absent, &command("create")), last("hello"));
    assert_eq!(asks(&draft, &command("change the slug")), last("bye"));
    assert_eq!(asks(&archived, &command("change the slug")), last("bye"));
    for (state, name) in [
        (&draft, "create"),
        (&gone, "create"),
        (&absent, "change the slug"),
        (&gone, "change the slug"),
        (&draft, "keep a slug"),
        (&draft, "clear"),
        (&draft, "change the title"),
        (&draft, "publish"),
        (&draft, "archive"),
        (&draft, "delete"),
    ] {
        assert_eq!(asks(state, &command(name)), [], "{name}");
    }
    let nameless = Command::Create(create(&HELLO.replace("\"slug\":\"hello\",", "")));
    assert_eq!(asks(&absent, &nameless), []);
}

#[test]
fn the_last_event_with_a_slug_says_who_has_it() {
    let stream = StreamId::new("content-2").unwrap();
    let of_2 = |patch: &str| Event::Updated(Change::read(id("2"), &json(patch)).unwrap().to);
    let owner = |name: &str, last: Option<Event>| {
        let answer = last.into_iter().map(|event| (stream.clone(), event)).collect();
        match Content::told(command(name), &[answer]) {
            Command::Create(create) => create.slug_owner,
            Command::Change(change) => change.slug_owner,
            Command::Publish | Command::Archive | Command::Delete => None,
        }
    };
    let created_2 = Event::Created(Create::read(id("2"), &json(HELLO), None).unwrap().new);
    assert_eq!(owner("create", None), None);
    assert_eq!(owner("create", Some(created_2.clone())), Some(id("2")));
    assert_eq!(owner("create", Some(of_2(r#"{"slug":"hello"}"#))), Some(id("2")));
    // Given up: for another one, for none, or with the content.
    assert_eq!(owner("create", Some(of_2(r#"{"slug":"bye"}"#))), None);
    assert_eq!(owner("create", Some(of_2(r#"{"slug":null}"#))), None);
    assert_eq!(owner("create", Some(deleted())), None);
    assert_eq!(owner("change the slug", Some(of_2(r#"{"slug":"bye"}"#))), Some(id("2")));
    assert_eq!(owner("change the slug", Some(created_2)), None);
    assert_eq!(owner("publish", None), None);
    // One's own slug may be had again.
    let own = Create { slug_owner: Some(id("1")), ..create(HELLO) };
    given::<Content>([]).when(Command::Create(own)).then([created()]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let wrong = Create::read(id("1"), &json(r#"{"slug":"A","tags":["", "a"],"format":"Word","x":1}"#), None);
    let wrong = wrong.unwrap_err();
    assert_eq!(wrong.missing, ["author", "title", "content"]);
    assert_eq!(wrong.invalid.keys().collect::<Vec<_>>(), ["format", "slug", "tags[0]", "x"]);
    let wrong =
        Change::read(id("1"), &json(r#"{"title":null,"content":"","author":7,"slug":null}"#)).unwrap_err();
    assert_eq!(wrong.missing, [""; 0]);
    assert_eq!(wrong.invalid.keys().collect::<Vec<_>>(), ["author", "content", "title"]);
    assert_eq!(wrong.invalid["title"], "can't be cleared");
    let labels: Vec<String> = (0..=LABELS_MAX).map(|n| format!("\"{n}\"")).collect();
    let wrong = Change::read(id("1"), &json(&format!("{{\"tags\":[{}]}}", labels.join(",")))).unwrap_err();
    assert_eq!(wrong.invalid["tags"], "has 33 items, and 32 is the most");
}

#[test]
fn what_a_client_leaves_out_has_a_default() {
    let caller = crate::words::Author::new("Eve").unwrap();
    let read = |body: &str, caller| Create::read(id("1"), &json(body), caller).unwrap().new;
    let body = r#"{"title":"T","content":"C"}"#;
    let new = read(body, Some(caller.clone()));
    assert_eq!(
        (new.author.as_str(), new.format, new.tags, new.slug),
        ("Eve", Format::Markdown, Labels::default(), None)
    );
    assert_eq!(read(&body.replace('}', ",\"author\":\"Ada\"}"), Some(caller)).author.as_str(), "Ada");
    let twice = read(r#"{"title":"T","content":"C","author":"A","tags":["b","a","b"]}"#, None);
    assert_eq!(twice.tags.as_slice().iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn the_first_shape_reads_as_the_newest() {
    use flightdeck_core::{SchemaNumber, StoredEvents as _};
    let old = br##"{"contentId":"1","title":"Hello","slug":"hello","content":"# Hello","author":"Ada"}"##;
    let read = Event::from_stored("ContentCreated", SchemaNumber::FIRST, old).unwrap();
    let new = Created { tags: Labels::default(), ..create(HELLO).new };
    assert_eq!(read, Some(Event::Created(new)));
    let newest = created().to_stored().unwrap();
    assert_eq!(newest.schema.get(), 2);
    // The old shape is not the new one, nor the other way round.
    assert!(Event::from_stored("ContentCreated", newest.schema, old).is_err());
    assert!(Event::from_stored("ContentCreated", SchemaNumber::FIRST, newest.data.as_bytes()).is_err());
}

#[test]
fn what_is_stored_tells_absent_from_null() {
    let stored = |event: &Event| serde_json::to_value(event).unwrap()["data"].clone();
    let change = Updated { slug: Edit::Clear, ..Updated::nothing(id("1")) };
    assert_eq!(stored(&Event::Updated(change)), serde_json::json!({"contentId": "1", "slug": null}));
    assert_eq!(stored(&Event::Updated(Updated::nothing(id("1")))), serde_json::json!({"contentId": "1"}));
    // What can't be cleared is not null.
    for field in ["title", "content", "format", "author", "tags", "status"] {
        let data =
            serde_json::json!({"eventType": "ContentUpdated", "data": {"contentId": "1", field: null}});
        assert!(serde_json::from_value::<Event>(data).is_err(), "{field}");
    }
}

/// A command to one of four contents, which want one of three slugs.
fn any_command() -> impl Strategy<Value = (ContentId, Command)> {
    let slugs = prop_oneof![Just("null"), Just("\"a\""), Just("\"b\""), Just("\"c\"")];
    let create = (0..2, slugs.clone()).prop_map(|(title, slug)| {
        format!(r#"{{"title":"T{title}","slug":{slug},"content":"C","author":"A"}}"#)
    });
    let patch = (0..5, 0..2, slugs).prop_map(|(what, title, slug)| match what {
        0 => format!(r#"{{"title":"T{title}"}}"#),
        1 => format!(r#"{{"slug":{slug},"title":"T{title}"}}"#),
        2 => r#"{"status":"Draft"}"#.to_owned(),
        3 => r#"{"status":"Published","tags":null}"#.to_owned(),
        _ => format!(r#"{{"slug":{slug},"status":"Archived"}}"#),
    });
    (0..4_u8, 0..10_u8, create, patch).prop_map(|(number, what, body, patch)| {
        let id = id(&number.to_string());
        let command = match what {
            0..=3 => Command::Create(Create::read(id.clone(), &json(&body), None).unwrap()),
            4..=6 => Command::Change(Change::read(id.clone(), &json(&patch)).unwrap()),
            7 => Command::Publish,
            8 => Command::Archive,
            _ => Command::Delete,
        };
        (id, command)
    })
}

fn status(state: &State) -> Option<Status> {
    match state {
        State::Live(page) => Some(page.status),
        State::Absent | State::Deleted => None,
    }
}

fn legal(before: &State, after: &State) -> bool {
    match (before, after) {
        (State::Absent, State::Absent) | (State::Live(_) | State::Deleted, State::Deleted) => true,
        (State::Absent, State::Live(page)) => page.status == Status::Draft,
        (State::Live(from), State::Live(to)) => {
            !matches!((from.status, to.status), (Status::Archived, Status::Published))
        }
        (State::Absent, State::Deleted)
        | (State::Live(_), State::Absent)
        | (State::Deleted, State::Absent | State::Live(_)) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    // 1,000 cases of 100 steps and more.
    #[test]
    fn whatever_is_asked_the_rules_hold(commands in proptest::collection::vec(any_command(), 100..=110)) {
        let mut world = World::<Content>::default();
        for (content, command) in commands {
            let stream = content.stream("content").unwrap();
            let before = world.state(&stream);
            let outcome = world.handle(&stream, command.clone());
            let after = world.state(&stream);
            prop_assert!(legal(&before, &after), "{before:?} {command:?} {after:?}");
            // Something happened exactly if something is other than it was.
            prop_assert_eq!(outcome.as_ref().is_ok_and(|events| !events.is_empty()), before != after);
            if matches!(command, Command::Publish) && outcome.is_ok() {
                prop_assert_eq!(status(&after), Some(Status::Published));
            }
            // The same command once more has nothing left to do.
            if outcome.is_ok() {
                prop_assert!(world.handle(&stream, command).is_ok_and(|events| events.is_empty())
                    || after == State::Deleted);
            }
            // No two contents have the same slug, and the marks know who has which.
            for text in ["a", "b", "c"] {
                let has = |number: i32| {
                    let state = world.state(&id(&number.to_string()).stream("content").unwrap());
                    state.slug() == Some(&slug(text))
                };
                let owners: Vec<String> = (0..4).filter(|n| has(*n)).map(|n| n.to_string()).collect();
                prop_assert!(owners.len() <= 1, "{text} belongs to {owners:?}");
                let answer = world.answer(&Question::Last(Mark::open("slug", text).unwrap()));
                let last = answer.last().filter(|(_, event)| event.leaves() == Some(&slug(text)));
                let marked = last.and_then(|(stream, _)| ContentId::of(stream, "content")).map(|id| id.to_string());
                prop_assert_eq!(marked, owners.first().cloned());
            }
        }
    }
}
