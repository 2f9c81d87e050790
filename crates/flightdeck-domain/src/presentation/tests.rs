//! Presentations: every command in every state, slides without holes, and what must hold whatever anyone asks.

use std::collections::BTreeSet;

use flightdeck_core::kit::{World, given};
use flightdeck_core::{Decider, Edit, Json};
use proptest::prelude::*;

use super::{
    AddSlide, ChangeSlide, Command, Created, DECK_JSON_BYTES_MAX, Deck, Deleted, Error, Event, MoveSlide,
    Presentation, SLIDES_EVER_MAX, SLIDES_MAX, Slide, SlideAdded, SlideContent, SlideRemoved, SlideUpdated,
    SlidesReordered, State, Updated,
};
use crate::words::{AtMost, PresentationId, SlideId, SlideOrder};

fn id() -> PresentationId {
    PresentationId::new("p").unwrap()
}

fn slide(text: &str) -> SlideId {
    SlideId::new(text).unwrap()
}

fn at(order: usize) -> SlideOrder {
    SlideOrder::new(order).unwrap()
}

fn json(text: &str) -> Json {
    Json::new(text.to_owned(), 1 << 20).unwrap()
}

const TALK: &str = r#"{"title":"Talk","author":"Ada","theme":"dark","isPublic":true}"#;

fn create(body: &str) -> Command {
    Command::Create(Created::read(id(), &json(body), None).unwrap())
}

fn change(patch: &str) -> Command {
    Command::Change(Updated::read(id(), &json(patch)).unwrap())
}

fn add(name: &str, body: &str) -> Command {
    Command::AddSlide(AddSlide::read(slide(name), &json(body)).unwrap())
}

fn text(name: &str) -> Command {
    add(name, &format!(r#"{{"content":{{"type":"text","text":"{name}"}}}}"#))
}

fn change_slide(name: &str, patch: &str) -> Command {
    Command::ChangeSlide(ChangeSlide::read(slide(name), &json(patch)).unwrap())
}

fn move_slide(name: &str, order: usize) -> Command {
    Command::MoveSlide(MoveSlide { slide_id: slide(name), order })
}

fn reorder(names: &[&str]) -> Command {
    Command::Reorder(names.iter().map(|name| slide(name)).collect())
}

/// What a decider without any other streams says to these commands, one after the other.
#[track_caller]
fn after(commands: impl IntoIterator<Item = Command>) -> State {
    commands.into_iter().fold(State::Absent, |state, command| {
        let events = Presentation::decide(&state, command).unwrap();
        events.iter().fold(state, Presentation::evolve)
    })
}

/// Every state that a presentation can be in: none, without slides, with three of which one was removed, and deleted.
fn states() -> [State; 4] {
    let slides =
        || [create(TALK), text("a"), text("x"), text("b"), text("c"), Command::RemoveSlide(slide("x"))];
    [
        State::Absent,
        after([create(TALK)]),
        after(slides()),
        after(slides().into_iter().chain([Command::Delete])),
    ]
}

/// What each command comes to when there is no presentation, one without slides, one with the slides a, b and c, and a deleted one.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 4]); 29] = [
    ("create",              ["PresentationCreated", "nothing", "nothing", "Deleted"]),
    ("create another",      ["PresentationCreated", "Exists", "Exists", "Deleted"]),
    ("change nothing",      ["NeverWas", "nothing", "nothing", "Deleted"]),
    ("change to the same",  ["NeverWas", "nothing", "nothing", "Deleted"]),
    ("change all",          ["NeverWas", ALL, ALL, "Deleted"]),
    ("change one",          ["NeverWas", r#"{"isPublic":false}"#, r#"{"isPublic":false}"#, "Deleted"]),
    ("clear nothing",       ["NeverWas", "nothing", "nothing", "Deleted"]),
    ("delete",              ["NeverWas", "PresentationDeleted", "PresentationDeleted", "Deleted"]),
    ("add a",               ["NeverWas", "a at 1", "nothing", "Deleted"]),
    ("add another a",       ["NeverWas", "a at 1", "SlideExists a", "Deleted"]),
    ("add d at 2",          ["NeverWas", "d at 1", "d at 2", "Deleted"]),
    ("add d",               ["NeverWas", "d at 1", "d at 4", "Deleted"]),
    ("add d at 9",          ["NeverWas", "d at 1", "d at 4", "Deleted"]),
    ("add x",               ["NeverWas", "x at 1", "SlideRemoved x", "Deleted"]),
    ("change a",            ["NeverWas", "SlideNeverWas a", r#"{"slideId":"a","title":"A","notes":"N"}"#, "Deleted"]),
    ("change what a shows", ["NeverWas", "SlideNeverWas a", r#"{"slideId":"a","content":{"type":"markdown","text":"a"}}"#, "Deleted"]),
    ("change a to the same",["NeverWas", "SlideNeverWas a", "nothing", "Deleted"]),
    ("change the text of a",["NeverWas", "SlideNeverWas a", r#"{"slideId":"a","content":{"type":"text","text":"b"}}"#, "Deleted"]),
    ("make a an image",     ["NeverWas", "SlideNeverWas a", "content.url is missing", "Deleted"]),
    ("add a at 3",          ["NeverWas", "a at 1", "SlideExists a", "Deleted"]),
    ("add a at 1",          ["NeverWas", "a at 1", "nothing", "Deleted"]),
    ("change x",            ["NeverWas", "SlideNeverWas x", "SlideRemoved x", "Deleted"]),
    ("move a to 2",         ["NeverWas", "SlideNeverWas a", "b,a,c", "Deleted"]),
    ("move a to 9",         ["NeverWas", "SlideNeverWas a", "b,c,a", "Deleted"]),
    ("move c to 3",         ["NeverWas", "SlideNeverWas c", "nothing", "Deleted"]),
    ("order c,a,b",         ["NeverWas", "OtherSlides", "c,a,b", "Deleted"]),
    ("order a,b,b",         ["NeverWas", "OtherSlides", "OtherSlides", "Deleted"]),
    ("remove a",            ["NeverWas", "SlideNeverWas a", "without a", "Deleted"]),
    ("remove x",            ["NeverWas", "SlideNeverWas x", "SlideRemoved x", "Deleted"]),
];
const ALL: &str = r#"{"title":"T","description":"D","author":"Eve","theme":"light","isPublic":false}"#;

fn command(name: &str) -> Command {
    match name {
        "create" => create(TALK),
        "create another" => create(&TALK.replace("dark", "light")),
        "change nothing" => change("{}"),
        "change to the same" => change(TALK),
        "change all" => change(ALL),
        "change one" => change(&TALK.replace("true", "false")),
        "clear nothing" => change(r#"{"description":null}"#),
        "delete" => Command::Delete,
        "add a" => text("a"),
        "add another a" => add("a", r#"{"content":{"type":"text","text":"a"},"title":"A"}"#),
        "add d at 2" => add("d", r#"{"content":{"type":"text","text":"d"},"order":2}"#),
        "add d" => text("d"),
        "add d at 9" => add("d", r#"{"content":{"type":"text","text":"d"},"order":9}"#),
        "add x" => text("x"),
        "change a" => change_slide("a", r#"{"title":"A","notes":"N"}"#),
        "change what a shows" => {
            change_slide("a", r#"{"content":{"type":"markdown","text":"a"},"title":null}"#)
        }
        "change a to the same" => change_slide("a", r#"{"content":{"type":"text","text":"a"},"notes":null}"#),
        "change the text of a" => change_slide("a", r#"{"content":{"text":"b"}}"#),
        "make a an image" => change_slide("a", r#"{"content":{"type":"image"}}"#),
        "add a at 1" => add("a", r#"{"content":{"type":"text","text":"a"},"order":1}"#),
        "add a at 3" => add("a", r#"{"content":{"type":"text","text":"a"},"order":3}"#),
        "change x" => change_slide("x", "{}"),
        "move a to 2" => move_slide("a", 2),
        "move a to 9" => move_slide("a", 9),
        "move c to 3" => move_slide("c", 3),
        "order c,a,b" => reorder(&["c", "a", "b"]),
        "order a,b,b" => reorder(&["a", "b", "b"]),
        "remove a" => Command::RemoveSlide(slide("a")),
        "remove x" => Command::RemoveSlide(slide("x")),
        other => panic!("{other} is no command"),
    }
}

/// An outcome as the table has it.
fn told(outcome: &Result<Vec<Event>, Error>) -> String {
    let changed = |update: String| update.replace(r#""presentationId":"p","#, "");
    match outcome.as_deref() {
        Ok([]) => "nothing".into(),
        Ok([Event::Created(_)]) => "PresentationCreated".into(),
        Ok([Event::Updated(update)]) => changed(serde_json::to_string(update).unwrap()),
        Ok([Event::Deleted(_)]) => "PresentationDeleted".into(),
        Ok([Event::SlideAdded(added)]) => format!("{} at {}", added.slide_id, added.order.get()),
        Ok([Event::SlideUpdated(update)]) => changed(serde_json::to_string(update).unwrap()),
        Ok([Event::SlideRemoved(removed)]) => format!("without {}", removed.slide_id),
        Ok([Event::SlidesReordered(order)]) => {
            order.slide_ids.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
        Ok(more) => panic!("{more:?}"),
        Err(Error::Exists) => "Exists".into(),
        Err(Error::NeverWas) => "NeverWas".into(),
        Err(Error::Deleted) => "Deleted".into(),
        Err(Error::SlideExists(id)) => format!("SlideExists {id}"),
        Err(Error::SlideNeverWas(id)) => format!("SlideNeverWas {id}"),
        Err(Error::SlideRemoved(id)) => format!("SlideRemoved {id}"),
        Err(Error::Full) => "Full".into(),
        Err(Error::Content(wrong)) => wrong.to_string(),
        Err(Error::OtherSlides) => "OtherSlides".into(),
    }
}

/// A new command does not compile before it has a row.
fn row(command: &Command) -> usize {
    match command {
        Command::Create(_) => 0,
        Command::Change(_) => 2,
        Command::Delete => 7,
        Command::AddSlide(_) => 8,
        Command::ChangeSlide(_) => 14,
        Command::MoveSlide(_) => 22,
        Command::Reorder(_) => 25,
        Command::RemoveSlide(_) => 27,
    }
}

#[test]
fn every_command_in_every_state() {
    assert!([0, 2, 7, 8, 14, 22, 25, 27].iter().all(|place| row(&command(TABLE[*place].0)) == *place));
    for (name, expected) in TABLE {
        for (state, expected) in states().into_iter().zip(expected) {
            assert_eq!(told(&Presentation::decide(&state, command(name))), expected, "{name} in {state:?}");
        }
    }
}

fn deck(state: &State) -> &Deck {
    match state {
        State::Live(deck) => deck,
        State::Absent | State::Deleted => panic!("{state:?}"),
    }
}

fn order(state: &State) -> String {
    deck(state).slides.iter().map(|slide| slide.id.to_string()).collect()
}

#[test]
fn a_command_names_its_presentation() {
    let stream = |command: &Command| Presentation::stream(command).map(|stream| stream.unwrap().to_string());
    for name in ["create", "change all"] {
        assert_eq!(stream(&command(name)).as_deref(), Some("presentation-p"), "{name}");
    }
    for name in ["delete", "add a", "change a", "move a to 2", "order c,a,b", "remove a"] {
        assert_eq!(stream(&command(name)), None, "{name}");
    }
}

#[test]
fn slides_move_on_and_up() {
    let [_, _, three, _] = states();
    for (name, expected) in [
        ("add d", "abcd"),
        ("add d at 2", "adbc"),
        ("add d at 9", "abcd"),
        ("move a to 2", "bac"),
        ("move a to 9", "bca"),
        ("order c,a,b", "cab"),
        ("remove a", "bc"),
        ("change a", "abc"),
    ] {
        let events = Presentation::decide(&three, command(name)).unwrap();
        assert_eq!(order(&events.iter().fold(three.clone(), Presentation::evolve)), expected, "{name}");
    }
    assert_eq!(order(&after([create(TALK), text("a"), move_slide("a", 0)])), "a");
}

#[test]
fn what_happened_is_what_is_known() {
    let image = r#"{"title":"A","notes":"N","content":{"type":"image","url":"/a.png","alt":"An a"}}"#;
    let code =
        r#"{"content":{"type":"code","language":"rust","text":"fn a() {}"},"title":null,"notes":null}"#;
    let state = after([create(TALK), change(ALL), add("a", image)]);
    let shown = |state: &State| serde_json::to_value(&deck(state).slides[0]).unwrap();
    assert_eq!(
        shown(&state),
        serde_json::json!({"id": "a", "title": "A", "notes": "N",
            "content": {"type": "image", "url": "/a.png", "alt": "An a"}})
    );
    let now = serde_json::to_value(&deck(&state).now).unwrap();
    let mut all: serde_json::Value = serde_json::from_str(ALL).unwrap();
    all["presentationId"] = "p".into();
    assert_eq!(now, all);
    let state = after([create(TALK), add("a", image), change_slide("a", code)]);
    assert_eq!(
        shown(&state),
        serde_json::json!({"id": "a", "title": null, "notes": null,
            "content": {"type": "code", "language": "rust", "text": "fn a() {}"}})
    );
}

#[test]
fn what_cannot_follow_changes_nothing() {
    let fold = |state: &State, event: Event| Presentation::evolve(state.clone(), &event);
    let [absent, _, three, deleted] = states();
    let a = deck(&three).slides[0].clone();
    let added = |name: &str| {
        let Slide { id: _, title, content, notes } = a.clone();
        let (presentation_id, slide_id) = (id(), slide(name));
        Event::SlideAdded(SlideAdded { presentation_id, slide_id, title, content, notes, order: at(7) })
    };
    let update = SlideUpdated {
        presentation_id: id(),
        slide_id: slide("z"),
        title: Edit::Clear,
        content: None,
        notes: Edit::Keep,
    };
    let removed =
        |name: &str| Event::SlideRemoved(SlideRemoved { presentation_id: id(), slide_id: slide(name) });
    let ordered = |names: &[&str]| {
        let slide_ids = AtMost::new(names.iter().map(|name| slide(name)).collect()).unwrap();
        Event::SlidesReordered(SlidesReordered { presentation_id: id(), slide_ids })
    };
    let created = Event::Created(Created::read(id(), &json(ALL), None).unwrap());
    let all = || {
        [
            added("z"),
            Event::SlideUpdated(update.clone()),
            removed("a"),
            ordered(&["a"]),
            Event::Updated(Updated::read(id(), &json(ALL)).unwrap()),
        ]
    };
    for event in all() {
        assert_eq!(fold(&absent, event.clone()), State::Absent);
        assert_eq!(fold(&deleted, event), State::Deleted);
    }
    assert_eq!(fold(&absent, Event::Deleted(Deleted { presentation_id: id() })), State::Absent);
    assert_eq!(fold(&deleted, created.clone()), State::Deleted);
    for event in [created, added("a"), added("x"), Event::SlideUpdated(update), removed("z")] {
        assert_eq!(fold(&three, event), three);
    }
    // An order that leaves something out keeps it, behind; one that names something else overlooks that.
    assert_eq!(order(&fold(&three, ordered(&["z", "c"]))), "cab");
    assert_eq!(order(&fold(&three, added("d"))), "abcd");
}

#[test]
fn a_presentation_is_full_at_a_thousand_slides_and_ten_thousand_ever() {
    let numbered = |number: usize| {
        let AddSlide { slide, .. } =
            AddSlide::read(slide(&number.to_string()), &json(r#"{"content":{"type":"text","text":"x"}}"#))
                .unwrap();
        slide
    };
    let empty = deck(&after([create(TALK)])).clone();
    let with = |slides: usize, removed: usize| {
        let slides = (0..slides).map(numbered).collect();
        let removed = (0..removed).map(|number| slide(&format!("r{number}"))).collect();
        State::Live(Deck { slides, removed, ..empty.clone() })
    };
    for (slides, removed, fits) in [
        (SLIDES_MAX - 1, 0, true),
        (SLIDES_MAX, 0, false),
        (SLIDES_MAX - 1, SLIDES_EVER_MAX - SLIDES_MAX, true),
        (SLIDES_MAX - 1, SLIDES_EVER_MAX - SLIDES_MAX + 1, false),
        (0, SLIDES_EVER_MAX, false),
    ] {
        let outcome = Presentation::decide(&with(slides, removed), text("new"));
        assert_eq!(outcome.is_ok(), fits, "{slides} and {removed}");
        assert!(fits || outcome == Err(Error::Full));
    }
    // Nothing new is added by what is there already.
    assert_eq!(
        Presentation::decide(
            &with(SLIDES_MAX, 0),
            Command::AddSlide(AddSlide { slide: numbered(0), order: None })
        ),
        Ok(vec![])
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let keys = |wrong: flightdeck_core::Invalid| -> (Vec<String>, Vec<String>) {
        (wrong.missing, wrong.invalid.into_keys().collect())
    };
    let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let wrong = Created::read(id(), &json(r#"{"theme":"","isPublic":"yes","slides":[]}"#), None).unwrap_err();
    assert_eq!(keys(wrong), (strings(&["author", "title"]), strings(&["isPublic", "slides", "theme"])));
    let wrong =
        Updated::read(id(), &json(r#"{"title":null,"isPublic":null,"description":null}"#)).unwrap_err();
    assert_eq!(keys(wrong), (vec![], strings(&["isPublic", "title"])));
    for (body, missing, invalid) in [
        ("{}", &["content"][..], &[][..]),
        (r#"{"content":{}}"#, &["content.type"], &[]),
        (r#"{"content":{"type":"video","text":"a"}}"#, &[], &["content.type"]),
        (r#"{"content":{"text":"a"}}"#, &["content.type"], &[]),
        (
            r#"{"content":{"type":"code","url":"/x"},"order":0}"#,
            &["content.language", "content.text"],
            &["content.url", "order"],
        ),
        (
            r#"{"content":{"type":"image","url":"javascript:x","alt":""},"order":-1}"#,
            &[],
            &["content.alt", "content.url", "order"],
        ),
        (
            r#"{"content":{"type":"text","text":""},"notes":1,"title":"\n"}"#,
            &[],
            &["content.text", "notes", "title"],
        ),
        (r#"{"content":"text"}"#, &[], &["content"]),
    ] {
        let wrong = AddSlide::read(slide("a"), &json(body)).unwrap_err();
        assert_eq!(keys(wrong), (strings(missing), strings(invalid)), "{body}");
    }
    assert!(ChangeSlide::read(slide("a"), &json(r#"{"content":null}"#)).is_err());
    let wrong =
        ChangeSlide::read(slide("a"), &json(r#"{"content":{"type":"film","text":"","z":1},"notes":7}"#));
    let invalid = strings(&["content.text", "content.type", "content.z", "notes"]);
    assert_eq!(keys(wrong.unwrap_err()), (vec![], invalid));
    assert!(MoveSlide::read(slide("a"), &json(r#"{"order":0}"#)).is_err());
    assert_eq!(MoveSlide::read(slide("a"), &json(r#"{"order":3}"#)).unwrap().order, 3);
    assert_eq!(Command::read_order(&json(r#"{"slideIds":["b","a"]}"#)), Ok(reorder(&["b", "a"])));
    let wrong = Command::read_order(&json(r#"{"slideIds":["b","a/b"]}"#)).unwrap_err();
    assert_eq!(keys(wrong), (vec![], strings(&["slideIds[1]"])));
}

#[test]
fn what_a_client_leaves_out_has_a_default() {
    let caller = crate::words::Author::new("Eve").unwrap();
    let new = Created::read(id(), &json(r#"{"title":"T"}"#), Some(caller.clone())).unwrap();
    assert_eq!((new.author.as_str(), new.theme.as_str(), new.is_public), ("Eve", "default", false));
    let new = Created::read(id(), &json(r#"{"title":"T","author":"Ada"}"#), Some(caller)).unwrap();
    assert_eq!(new.author.as_str(), "Ada");
}

#[test]
fn what_a_slide_shows_is_changed_by_a_merge_patch() {
    const TEXT: &str = r#"{"type":"text","text":"a"}"#;
    const CODE: &str = r#"{"type":"code","language":"rust","text":"a"}"#;
    const IMAGE: &str = r#"{"type":"image","url":"/a","alt":"A"}"#;
    for (now, patch, expected) in [
        (TEXT, r#"{"text":"b"}"#, r#"{"type":"text","text":"b"}"#),
        (TEXT, r#"{"type":"text","text":"b"}"#, r#"{"type":"text","text":"b"}"#),
        (TEXT, r#"{"type":"markdown","text":"b"}"#, r#"{"type":"markdown","text":"b"}"#),
        (TEXT, "{}", "nothing"),
        (TEXT, r#"{"alt":null}"#, "nothing"),
        (TEXT, r#"{"language":"c"}"#, "content.language: is not a field here"),
        (
            TEXT,
            r#"{"url":"/b","alt":"B"}"#,
            "content.alt: is not a field here; content.url: is not a field here",
        ),
        (TEXT, r#"{"type":"markdown"}"#, r#"{"type":"markdown","text":"a"}"#),
        (TEXT, r#"{"text":null}"#, "content.text is missing"),
        (TEXT, r#"{"type":"code"}"#, "content.language is missing"),
        (TEXT, r#"{"type":"code","language":"c"}"#, r#"{"type":"code","language":"c","text":"a"}"#),
        (CODE, r#"{"language":"c"}"#, r#"{"type":"code","language":"c","text":"a"}"#),
        (CODE, r#"{"text":"b"}"#, r#"{"type":"code","language":"rust","text":"b"}"#),
        (CODE, r#"{"type":"text"}"#, TEXT),
        (CODE, r#"{"type":"text","language":null}"#, TEXT),
        (CODE, r#"{"type":"text","language":"c"}"#, "content.language: is not a field here"),
        (CODE, r#"{"language":null}"#, "content.language is missing"),
        (IMAGE, r#"{"type":"text"}"#, "content.text is missing"),
        (IMAGE, r#"{"type":"text","text":"a","url":null,"alt":null}"#, TEXT),
        (IMAGE, r#"{"url":null}"#, "content.url is missing"),
        (CODE, r#"{"type":"text","text":"b"}"#, r#"{"type":"text","text":"b"}"#),
        (IMAGE, r#"{"alt":null}"#, r#"{"type":"image","url":"/a"}"#),
        (IMAGE, r#"{"url":"/b"}"#, r#"{"type":"image","url":"/b","alt":"A"}"#),
        (IMAGE, r#"{"alt":"B"}"#, r#"{"type":"image","url":"/a","alt":"B"}"#),
        (IMAGE, r#"{"text":"b"}"#, "content.text: is not a field here"),
        (IMAGE, r#"{"type":"markdown","text":"b"}"#, r#"{"type":"markdown","text":"b"}"#),
        (TEXT, r#"{"type":"image","url":"/b"}"#, r#"{"type":"image","url":"/b"}"#),
    ] {
        let state = after([create(TALK), add("a", &format!("{{\"content\":{now}}}"))]);
        let outcome = Presentation::decide(&state, change_slide("a", &format!("{{\"content\":{patch}}}")));
        let found = told(&outcome).replace(r#"{"slideId":"a","content":"#, "").replace("}}", "}");
        assert_eq!(found, expected, "{now} with {patch}");
    }
}

#[test]
fn a_presentation_says_as_much_as_a_snapshot_can_hold() {
    // What takes most room in JSON: every character of the text, the notes and the title as two bytes and more.
    let body = |text: &str| {
        format!(
            r#"{{"content":{{"type":"code","language":"c","text":"{}"}},"notes":"{}","title":"{}"}}"#,
            text.repeat(16_000),
            "\\n".repeat(9_999) + "x",
            "\\\"".repeat(100)
        )
    };
    let numbered = |number: usize, text: &str| {
        let id = slide(&format!("{number:0>128}"));
        AddSlide::read(id, &json(&body(text))).unwrap().slide
    };
    for text in ["\\\"", "語", "\u{1f680}"] {
        let mut full = after([create(TALK)]);
        for number in 0..=SLIDES_MAX {
            let add = Command::AddSlide(AddSlide { slide: numbered(number, text), order: None });
            match Presentation::decide(&full, add) {
                Ok(events) => full = events.iter().fold(full, Presentation::evolve),
                Err(error) => {
                    assert_eq!(error, Error::Full);
                    break;
                }
            }
        }
        let State::Live(mut deck) = full.clone() else { panic!("{full:?}") };
        assert!(deck.slides.len() > 5);
        // What makes it shorter is taken, and what makes it longer only as far as there is room.
        let first = deck.slides[0].id.to_string();
        let fold = |state: &State, command: Command| {
            let events = Presentation::decide(state, command)?;
            Ok::<State, Error>(events.iter().fold(state.clone(), Presentation::evolve))
        };
        let with_text = |text: &str| change_slide(&first, &format!(r#"{{"content":{{"text":"{text}"}}}}"#));
        let room = fold(&full, with_text("x")).unwrap();
        assert!(fold(&room, with_text(&text.repeat(16_000))).as_ref() == Ok(&full));
        let mut taken = room;
        for number in 0..=SLIDES_MAX {
            let body = format!(r#"{{"content":{{"type":"text","text":"{}"}}}}"#, "x".repeat(5_000));
            let add = AddSlide::read(slide(&format!("small-{number}")), &json(&body)).unwrap();
            match fold(&taken, Command::AddSlide(add)) {
                Ok(more) => taken = more,
                Err(_) => break,
            }
        }
        assert!(fold(&taken, with_text(&text.repeat(16_000))).as_ref() == Err(&Error::Full));
        // Room for some thousand bytes, and no more: to the byte.
        let taken = fold(&taken, Command::RemoveSlide(slide("small-0"))).unwrap();
        let left = DECK_JSON_BYTES_MAX - self::deck(&taken).json_bytes();
        assert!(fold(&taken, with_text(&"x".repeat(left + 2))).as_ref() == Err(&Error::Full), "{left}");
        let filler = |bytes: usize| {
            let body = format!(r#"{{"content":{{"type":"text","text":"{}"}}}}"#, "x".repeat(bytes));
            AddSlide::read(slide("filler"), &json(&body)).unwrap()
        };
        let text_of = left + 1 - filler(1).slide.json_bytes();
        assert!(fold(&taken, Command::AddSlide(filler(text_of))).is_ok());
        assert!(fold(&taken, Command::AddSlide(filler(text_of + 1))).as_ref() == Err(&Error::Full));
        let brim = fold(&taken, with_text(&"x".repeat(left + 1))).unwrap();
        assert_eq!(self::deck(&brim).json_bytes(), DECK_JSON_BYTES_MAX);
        assert!(fold(&brim, change_slide(&first, r#"{"title":null}"#)).is_ok());
        // With as many removed slides as there can be, its snapshot fits.
        deck.removed = (0..SLIDES_EVER_MAX - deck.slides.len())
            .map(|number| slide(&format!("{number:r>128}")))
            .collect();
        let bytes = serde_json::to_vec(&State::Live(deck)).unwrap().len();
        assert!(
            bytes > DECK_JSON_BYTES_MAX && bytes <= flightdeck_core::limits::SNAPSHOT_BYTES_MAX,
            "{bytes}"
        );
    }
}

#[test]
fn what_a_slide_takes_is_counted_and_never_less() {
    for body in [
        r#"{"content":{"type":"text","text":"a\n\"b\"\\"}}"#,
        r#"{"content":{"type":"markdown","text":"é語"},"title":"T\"","notes":"\t\nx"}"#,
        r#"{"content":{"type":"code","language":"objective-c","text":"a"}}"#,
        r#"{"content":{"type":"image","url":"https://example.org/a.png"}}"#,
        r#"{"content":{"type":"image","url":"/a","alt":"An \"a\""},"notes":"n"}"#,
    ] {
        let slide = AddSlide::read(slide(&"i".repeat(60)), &json(body)).unwrap().slide;
        let takes = serde_json::to_string(&slide).unwrap().len();
        assert!(
            (takes..takes + 100).contains(&slide.json_bytes()),
            "{body}: {takes}, {}",
            slide.json_bytes()
        );
    }
}

#[test]
fn each_kind_of_slide_is_stored_and_read_again() {
    for content in [
        r#"{"type":"text","text":"a"}"#,
        r#"{"type":"markdown","text":"a"}"#,
        r#"{"type":"code","language":"c++","text":"a"}"#,
        r#"{"type":"image","url":"https://example.org/a.png"}"#,
        r#"{"type":"image","url":"/a","alt":"a"}"#,
    ] {
        let shown: SlideContent = serde_json::from_str(content).unwrap();
        assert_eq!(serde_json::to_string(&shown).unwrap(), content);
        let added = add("a", &format!("{{\"content\":{content}}}"));
        let Command::AddSlide(AddSlide { slide: Slide { id: slide_id, title, content, notes }, .. }) =
            added.clone()
        else {
            panic!("{added:?}")
        };
        let created = Event::Created(Created::read(id(), &json(TALK), None).unwrap());
        let event = SlideAdded { presentation_id: id(), slide_id, title, content, notes, order: at(1) };
        given::<Presentation>([created])
            .when(added.clone())
            .then([Event::SlideAdded(event)])
            .when(added)
            .then([]);
    }
    assert!(serde_json::from_str::<SlideContent>(r#"{"type":"text","text":"a","url":"/a"}"#).is_err());
}

/// A command to one presentation, about a dozen slides.
fn any_command() -> impl Strategy<Value = Command> {
    let slides = proptest::collection::vec(0..12_u8, 0..6);
    (0..40_u8, 0..12_u8, 0..14_usize, slides).prop_map(|(what, number, place, slides)| {
        let name = number.to_string();
        match what {
            0..=2 => create(TALK),
            3..=4 => change(&format!(r#"{{"title":"T{}","description":null}}"#, number % 3)),
            5..=17 => text(&name),
            18..=20 => {
                let content = format!(r#"{{"type":"markdown","text":"{}"}}"#, place % 3);
                add(&name, &format!(r#"{{"order":{},"content":{content}}}"#, place + 1))
            }
            21..=25 => change_slide(&name, &format!(r#"{{"notes":"{}","title":null}}"#, place % 3)),
            26..=32 => move_slide(&name, place),
            33..=35 => Command::Reorder(slides.iter().map(|number| slide(&number.to_string())).collect()),
            36..=38 => Command::RemoveSlide(slide(&name)),
            _ if place == 0 => Command::Delete,
            _ => Command::Reorder((0..place).map(|number| slide(&number.to_string())).collect()),
        }
    })
}

/// A presentation as a list of names: what each command ought to do, said in the simplest way.
fn model(order: &mut Vec<String>, removed: &mut BTreeSet<String>, events: &[Event]) {
    for event in events {
        match event {
            Event::Created(_) | Event::Updated(_) | Event::SlideUpdated(_) => {}
            Event::Deleted(_) => order.clear(),
            Event::SlideAdded(added) => {
                assert!((1..=order.len() + 1).contains(&added.order.get()));
                order.insert(added.order.get() - 1, added.slide_id.to_string());
            }
            Event::SlideRemoved(gone) => {
                order.retain(|name| *name != gone.slide_id.as_str());
                removed.insert(gone.slide_id.to_string());
            }
            Event::SlidesReordered(new) => {
                let new: Vec<String> = new.slide_ids.as_slice().iter().map(ToString::to_string).collect();
                assert_eq!(new.iter().collect::<BTreeSet<_>>(), order.iter().collect::<BTreeSet<_>>());
                assert_eq!(new.len(), order.len());
                *order = new;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    // 1,000 cases of 100 steps and more.
    #[test]
    fn whatever_is_asked_the_rules_hold(commands in proptest::collection::vec(any_command(), 100..=110)) {
        let mut world = World::<Presentation>::default();
        let stream = id().stream("presentation").unwrap();
        let (mut names, mut removed) = (Vec::new(), BTreeSet::new());
        for command in commands {
            let before = world.state(&stream);
            let outcome = world.handle(&stream, command.clone());
            let after = world.state(&stream);
            prop_assert_eq!(outcome.as_ref().is_ok_and(|events| !events.is_empty()), before != after);
            prop_assert!(before != State::Deleted || after == State::Deleted);
            model(&mut names, &mut removed, outcome.as_deref().unwrap_or_default());
            if let State::Live(deck) = &after {
                // Dense by being a list; each slide once, and none that was removed.
                let found: Vec<String> = deck.slides.iter().map(|slide| slide.id.to_string()).collect();
                prop_assert_eq!(&found, &names);
                prop_assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
                prop_assert!(found.iter().all(|name| !removed.contains(name)));
                if let (Command::MoveSlide(to), Ok(_)) = (&command, &outcome) {
                    let place = to.order.clamp(1, names.len()) - 1;
                    prop_assert_eq!(names[place].as_str(), to.slide_id.as_str());
                }
                if let (Command::AddSlide(to), true) = (&command, before != after) {
                    let place = to.order.unwrap_or(names.len()).min(names.len()) - 1;
                    prop_assert_eq!(names[place].as_str(), to.slide.id.as_str());
                }
            }
            // The same command once more has nothing left to do.
            if outcome.is_ok() {
                let again = world.handle(&stream, command);
                prop_assert!(again.is_ok_and(|events| events.is_empty()) || world.state(&stream) == after);
            }
        }
    }
}
