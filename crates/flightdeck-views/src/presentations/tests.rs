//! The view `presentations`, event by event, and against the decider.

use std::collections::BTreeMap;

use flightdeck_core::{Decider, Edit, Timestamp};
use flightdeck_domain::presentation::{
    Created, Deleted, Event, Presentation, Slide, SlideAdded, SlideContent, SlideRemoved, SlideUpdated,
    SlidesReordered, State, Updated,
};
use flightdeck_domain::words::{AtMost, PresentationId, SlideId, SlideOrder};
use flightdeck_projections::kit::Kit;
use flightdeck_store::view::{Compare, HaltKind, Row, Value, ViewName, ViewQuery};
use proptest::prelude::*;

use super::{DELETED, NAME, PresentationsView, REMOVED, SLIDES};

const TALK: &str = r#"{"presentationId":"1","title":"Talk","description":"Of engines","author":"ada","theme":"dark","isPublic":false}"#;

/// A presentation with the slides a, b and c.
fn kit() -> Kit {
    let mut kit = Kit::of(PresentationsView);
    kit.emit_json("presentation-1", "PresentationCreated", TALK);
    for (name, order) in [("a", 1), ("b", 2), ("c", 3)] {
        add(&mut kit, name, order);
    }
    kit
}

fn add(kit: &mut Kit, name: &str, order: usize) {
    let content = format!(r#"{{"type":"markdown","text":"Says {name}"}}"#);
    let data = format!(r#""slideId":"{name}","title":"T{name}","content":{content},"order":{order}"#);
    emit(kit, "SlideAdded", &data);
}

fn emit(kit: &mut Kit, event_type: &str, data: &str) {
    kit.emit_json("presentation-1", event_type, &format!("{{\"presentationId\":\"1\",{data}}}"));
}

fn delete(kit: &mut Kit) {
    kit.emit_json("presentation-1", "PresentationDeleted", "{\"presentationId\":\"1\"}");
}

fn deck(kit: &Kit) -> Row {
    kit.row(NAME, "1").unwrap()
}

fn slide(kit: &Kit, name: &str) -> Option<Row> {
    kit.rows(SLIDES).into_iter().find(|row| row.text("slide_id") == Some(name))
}

/// The names of the slides in their order, each with its place checked.
#[track_caller]
fn order(kit: &Kit) -> String {
    let mut rows = kit.rows(SLIDES);
    rows.sort_by_key(|row| row.integer("place"));
    let places: Vec<Option<i64>> = rows.iter().map(|row| row.integer("place")).collect();
    assert_eq!(places, (1..=rows.len() as i64).map(Some).collect::<Vec<_>>(), "no holes");
    assert_eq!(deck(kit).integer("slide_count"), Some(rows.len() as i64));
    rows.iter().filter_map(|row| row.text("slide_id")).collect()
}

#[test]
fn one_that_came_to_be_has_all_that_it_has_and_no_slides() {
    let mut kit = Kit::of(PresentationsView);
    kit.emit_json("presentation-1", "PresentationCreated", TALK);
    let row = deck(&kit);
    let text = |column: &str| row.text(column).unwrap_or("nothing").to_owned();
    assert_eq!(["title", "description", "author", "theme"].map(text), ["Talk", "Of engines", "ada", "dark"]);
    assert_eq!((row.get("is_public"), row.integer("slide_count")), (&Value::Boolean(false), Some(0)));
    let then = Value::Time(kit.recorded(1));
    assert_eq!((row.get("created_at"), row.get("updated_at")), (&then, &then));
    assert!(kit.rows(SLIDES).is_empty());
}

#[test]
fn a_change_changes_what_it_names_and_nothing_else() {
    for (patch, column, now) in [
        ("\"title\":\"Two\"", "title", Value::from("Two")),
        ("\"description\":null", "description", Value::Null),
        ("\"description\":\"Other\"", "description", "Other".into()),
        ("\"author\":\"bob\"", "author", "bob".into()),
        ("\"theme\":\"light\"", "theme", "light".into()),
        ("\"isPublic\":true", "is_public", true.into()),
    ] {
        let mut kit = kit();
        let before = deck(&kit);
        emit(&mut kit, "PresentationUpdated", patch);
        let after = deck(&kit);
        for (at, known) in before.table().columns().iter().enumerate() {
            let expected = match known.name.as_str() {
                name if name == column => now.clone(),
                "updated_at" => Value::Time(kit.recorded(5)),
                _ => before.values()[at].clone(),
            };
            assert_eq!(after.values()[at], expected, "{patch}: {}", known.name);
        }
    }
}

#[test]
fn a_slide_has_all_that_it_has() {
    let mut kit = kit();
    let content = r#"{"type":"code","language":"rust","text":"fn main() {}"}"#;
    emit(
        &mut kit,
        "SlideAdded",
        &format!(r#""slideId":"d","title":"D","notes":"N","content":{content},"order":4"#),
    );
    let row = slide(&kit, "d").unwrap();
    assert_eq!(row.key(), [Value::from("1"), "d".into()]);
    assert_eq!(row.get("content"), &Value::Json(content.into()));
    let text = |column: &str| row.text(column).unwrap_or("nothing").to_owned();
    assert_eq!(["title", "text", "notes"].map(text), ["D", "fn main() {}", "N"]);
    let then = Value::Time(kit.recorded(5));
    assert_eq!((row.get("created_at"), row.get("updated_at")), (&then, &then));
    assert_eq!(deck(&kit).get("updated_at"), &then);
}

#[test]
fn an_image_is_found_by_what_it_shows() {
    let mut kit = kit();
    let (bare, said) =
        (r#"{"type":"image","url":"/a.png"}"#, r#"{"type":"image","url":"/a.png","alt":"A cat"}"#);
    emit(&mut kit, "SlideUpdated", &format!(r#""slideId":"a","content":{bare}"#));
    assert_eq!(slide(&kit, "a").unwrap().get("text"), &Value::Null);
    emit(&mut kit, "SlideUpdated", &format!(r#""slideId":"a","content":{said}"#));
    let row = slide(&kit, "a").unwrap();
    assert_eq!((row.text("text"), row.get("content")), (Some("A cat"), &Value::Json(said.into())));
}

#[test]
fn slides_stand_where_they_were_put_and_the_rest_moves() {
    let mut kit = kit();
    assert_eq!(order(&kit), "abc");
    add(&mut kit, "d", 2);
    assert_eq!(order(&kit), "adbc");
    add(&mut kit, "e", 900);
    assert_eq!(order(&kit), "adbce");
    emit(&mut kit, "SlideRemoved", r#""slideId":"d""#);
    assert_eq!(order(&kit), "abce");
    emit(&mut kit, "SlidesReordered", r#""slideIds":["e","b","c","a"]"#);
    assert_eq!(order(&kit), "ebca");
    emit(&mut kit, "SlidesReordered", r#""slideIds":["a","nothing","b"]"#);
    assert_eq!(order(&kit), "abec");
}

#[test]
fn another_place_is_no_change_of_the_slide_but_one_of_the_presentation() {
    let mut kit = kit();
    let before = slide(&kit, "b").unwrap();
    emit(&mut kit, "SlidesReordered", r#""slideIds":["b","a","c"]"#);
    let after = slide(&kit, "b").unwrap();
    assert_eq!((before.integer("place"), after.integer("place")), (Some(2), Some(1)));
    assert_eq!(before.get("updated_at"), after.get("updated_at"));
    assert_eq!(deck(&kit).time("updated_at"), Some(kit.recorded(5)));
}

#[test]
fn a_slide_that_was_removed_does_not_come_back() {
    let mut kit = kit();
    emit(&mut kit, "SlideRemoved", r#""slideId":"b""#);
    add(&mut kit, "b", 1);
    assert_eq!(order(&kit), "ac");
    assert_eq!(deck(&kit).time("updated_at"), Some(kit.recorded(5)));
    let gone = kit.rows(REMOVED);
    assert_eq!((gone.len(), gone[0].time("removed_at")), (1, Some(kit.recorded(5))));
}

#[test]
fn what_was_deleted_is_gone_with_its_slides_and_nothing_brings_it_back() {
    let mut kit = kit();
    let other = TALK.replace("\"1\"", "\"10\"");
    kit.emit_json("presentation-10", "PresentationCreated", &other);
    let content = r#"{"type":"text","text":"T"}"#;
    let data = format!(r#"{{"presentationId":"10","slideId":"a","content":{content},"order":1}}"#);
    kit.emit_json("presentation-10", "SlideAdded", &data);
    emit(&mut kit, "SlideRemoved", r#""slideId":"b""#);
    delete(&mut kit);
    kit.emit_json("presentation-1", "PresentationCreated", TALK);
    add(&mut kit, "z", 1);
    emit(&mut kit, "PresentationUpdated", "\"title\":\"Late\"");
    assert_eq!(kit.row(NAME, "1"), None);
    let left: Vec<Value> = kit.rows(SLIDES).iter().map(|row| row.get("presentation_id").clone()).collect();
    assert_eq!(left, ["10".into()]);
    assert!(kit.rows(REMOVED).is_empty());
    assert_eq!(kit.row(DELETED, "1").unwrap().time("deleted_at"), Some(kit.recorded(8)));
}

#[test]
fn what_can_not_follow_changes_nothing() {
    let mut kit = kit();
    let before = (kit.rows(NAME), kit.rows(SLIDES));
    kit.emit_json("presentation-1", "PresentationCreated", &TALK.replace("Talk", "Again"));
    add(&mut kit, "a", 3);
    emit(&mut kit, "SlideUpdated", r#""slideId":"z","title":"Z""#);
    emit(&mut kit, "SlideRemoved", r#""slideId":"z""#);
    kit.emit_json("presentation-2", "PresentationDeleted", "{\"presentationId\":\"2\"}");
    assert_eq!((kit.rows(NAME), kit.rows(SLIDES)), before);
    assert!(kit.rows(DELETED).is_empty() && kit.rows(REMOVED).is_empty());
}

#[test]
fn a_namesake_in_another_stream_is_not_read() {
    let mut kit = kit();
    kit.emit_json("other-1", "PresentationDeleted", "{\"presentationId\":\"1\"}");
    kit.emit_json("other-1", "SlideRemoved", "\"no slide at all\"");
    assert_eq!(order(&kit), "abc");
}

#[test]
fn what_is_not_of_its_shape_or_of_a_newer_one_stops_it() {
    let mut kit = kit();
    assert_eq!(kit.refuses("presentation-1", "SlideAdded", 1, "{\"title\":7}").kind, HaltKind::Poison);
    assert_eq!(kit.refuses("presentation-1", "SlideAdded", 2, "{}").kind, HaltKind::NeedsUpgrade);
}

#[test]
fn they_are_found_by_author_and_words() {
    let kit = kit();
    let ask = |table: &str| ViewQuery::of(ViewName::new("presentations").unwrap(), 1, table);
    let found = |query: ViewQuery| kit.live().ask(&query).unwrap().rows.len();
    assert_eq!(found(ask(NAME).filter("author", Compare::Equal("ada".into()))), 1);
    assert_eq!(found(ask(NAME).filter("is_public", Compare::Equal(true.into()))), 0);
    assert_eq!(found(ask(NAME).text("talk engine*")), 1);
    assert_eq!(found(ask(SLIDES).text("says tb")), 1);
    assert_eq!(found(ask(SLIDES).text("says")), 3);
}

/// When what a row says came to be so.
#[derive(Debug, Clone, Copy)]
struct Since {
    created: Timestamp,
    updated: Timestamp,
}

/// A stream as the decider folds it, and when it changed.
#[derive(Default)]
struct Model {
    state: State,
    deck: Option<Since>,
    slides: BTreeMap<SlideId, Since>,
}

impl Model {
    fn evolve(self, event: &Event, at: Timestamp) -> Self {
        let state = Presentation::evolve(self.state.clone(), event);
        if state == self.state {
            return self;
        }
        let old: BTreeMap<SlideId, Slide> =
            slides(&self.state).map(|slide| (slide.id.clone(), slide)).collect();
        let since = |slide: Slide| {
            let was = self.slides.get(&slide.id).filter(|_| old.contains_key(&slide.id));
            let now = match was {
                None => Since { created: at, updated: at },
                Some(was) if old.get(&slide.id) == Some(&slide) => *was,
                Some(was) => Since { updated: at, ..*was },
            };
            (slide.id, now)
        };
        let created = self.deck.map_or(at, |deck| deck.created);
        let now = slides(&state).map(since).collect();
        Self { state, deck: Some(Since { created, updated: at }), slides: now }
    }

    fn deck_row(&self, id: &str) -> Option<Vec<Value>> {
        let (State::Live(deck), Some(since)) = (&self.state, self.deck) else { return None };
        let now = &deck.now;
        Some(vec![
            id.into(),
            now.title.as_str().into(),
            now.description.as_ref().map(|text| text.as_str()).into(),
            now.author.as_str().into(),
            now.theme.as_str().into(),
            now.is_public.into(),
            (deck.slides.len() as i64).into(),
            since.created.into(),
            since.updated.into(),
        ])
    }

    fn slide_rows(&self, id: &str) -> Vec<Vec<Value>> {
        let row = |(place, slide): (usize, Slide)| {
            let since = self.slides[&slide.id];
            let text = serde_json::to_value(&slide.content).unwrap()["text"].as_str().map(str::to_owned);
            vec![
                id.into(),
                slide.id.as_str().into(),
                (place as i64 + 1).into(),
                slide.title.as_ref().map(|text| text.as_str()).into(),
                Value::Json(serde_json::to_string(&slide.content).unwrap().into()),
                text.into(),
                slide.notes.as_ref().map(|text| text.as_str()).into(),
                since.created.into(),
                since.updated.into(),
            ]
        };
        let mut rows: Vec<Vec<Value>> = slides(&self.state).enumerate().map(row).collect();
        rows.sort();
        rows
    }
}

fn slides(state: &State) -> impl Iterator<Item = Slide> {
    match state {
        State::Live(deck) => deck.slides.clone(),
        State::Absent | State::Deleted => vec![],
    }
    .into_iter()
}

/// Anything that may stand in the stream of a presentation, whether a command would have made it or not.
fn any_event() -> impl Strategy<Value = Event> {
    let order = proptest::collection::vec(0..8_u8, 0..9);
    (0..60_u8, 0..8_u8, 1..11_usize, 0..3_u8, order).prop_map(|(what, slide, place, word, order)| {
        let id = PresentationId::new("p").unwrap();
        let slide_id = |number: u8| SlideId::new(format!("s{number}")).unwrap();
        let says = |text: u8| serde_json::from_str(&format!("\"{text}\"")).unwrap();
        let content = SlideContent::Markdown { text: says(word) };
        match what {
            0..=5 => {
                let data = format!(
                    r#"{{"presentationId":"p","title":"{word}","author":"a","theme":"t","isPublic":false}}"#
                );
                Event::Created(serde_json::from_str::<Created>(&data).unwrap())
            }
            6..=10 => {
                let (title, is_public) =
                    (Some(serde_json::from_str(&format!("\"{word}\"")).unwrap()), Some(place > 5));
                Event::Updated(Updated { title, is_public, ..Updated::nothing(id) })
            }
            11 if word == 0 => Event::Deleted(Deleted { presentation_id: id }),
            11..=30 => {
                let order = SlideOrder::new(place).unwrap();
                let (title, notes) = (None, None);
                Event::SlideAdded(SlideAdded {
                    presentation_id: id,
                    slide_id: slide_id(slide),
                    title,
                    content,
                    notes,
                    order,
                })
            }
            31..=40 => {
                let notes = if place > 5 { Edit::Clear } else { Edit::Keep };
                let title = serde_json::from_str(&format!("\"{word}\"")).map_or(Edit::Keep, Edit::Set);
                let content = Some(content).filter(|_| place % 2 == 0);
                Event::SlideUpdated(SlideUpdated {
                    presentation_id: id,
                    slide_id: slide_id(slide),
                    title,
                    content,
                    notes,
                })
            }
            41..=48 => Event::SlideRemoved(SlideRemoved { presentation_id: id, slide_id: slide_id(slide) }),
            _ => {
                let slide_ids = AtMost::new(order.into_iter().map(slide_id).collect()).unwrap();
                Event::SlidesReordered(SlidesReordered { presentation_id: id, slide_ids })
            }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_the_rows_are_what_the_decider_knows(
        happened in proptest::collection::vec((0..2_usize, any_event()), 60..=80),
    ) {
        // One id is the beginning of the other, and of its key.
        let ids = ["p", "p1"];
        let (mut kit, mut models) = (Kit::of(PresentationsView), [Model::default(), Model::default()]);
        for (at, (which, event)) in happened.iter().enumerate() {
            kit.emit(&format!("presentation-{}", ids[*which]), event);
            models[*which] = std::mem::take(&mut models[*which]).evolve(event, kit.recorded(at + 1));
            let values = |table: &str| -> Vec<Vec<Value>> {
                kit.rows(table).iter().map(|row| row.values().to_vec()).collect()
            };
            let of = |each: fn(&Model, &str) -> Vec<Vec<Value>>| -> Vec<Vec<Value>> {
                models.iter().zip(ids).flat_map(|(model, id)| each(model, id)).collect()
            };
            prop_assert_eq!(values(NAME), of(|model, id| model.deck_row(id).into_iter().collect()));
            prop_assert_eq!(values(SLIDES), of(Model::slide_rows));
            let deleted = of(|model, id| if model.state == State::Deleted { vec![vec![id.into()]] } else { vec![] });
            let known: Vec<Vec<Value>> = kit.rows(DELETED).iter().map(|row| row.key().to_vec()).collect();
            prop_assert_eq!(known, deleted);
        }
    }
}

#[test]
fn an_event_whose_data_is_gone_leaves_a_presentation_and_its_slides_as_they_were() {
    let mut kit = kit();
    let tables = |kit: &Kit| [NAME, SLIDES, DELETED, REMOVED].map(|table| kit.rows(table));
    let before = tables(&kit);
    for event_type in ["PresentationUpdated", "SlideAdded", "SlideUpdated", "SlideRemoved", "SlidesReordered"]
    {
        kit.emit_gone("presentation-1", event_type, 1);
        assert_eq!(tables(&kit), before, "{event_type}");
    }
    emit(&mut kit, "SlideRemoved", r#""slideId":"b""#);
    assert_eq!(order(&kit), "ac");
    // Of one that nobody knows how it began there is no row, and what follows changes nothing.
    kit.emit_gone("presentation-2", "PresentationCreated", 1);
    kit.emit_json("presentation-2", "PresentationUpdated", r#"{"presentationId":"2","title":"Two"}"#);
    kit.emit_json("presentation-2", "SlideRemoved", r#"{"presentationId":"2","slideId":"a"}"#);
    assert_eq!(kit.rows(NAME).len(), 1);
    // That it was deleted needs no data, and it does not come back.
    kit.emit_gone("presentation-1", "PresentationDeleted", 1);
    assert_eq!((kit.rows(NAME).len(), kit.rows(SLIDES).len(), kit.rows(DELETED).len()), (0, 0, 1));
    kit.emit_json("presentation-1", "PresentationCreated", TALK);
    assert_eq!(kit.rows(NAME), []);
}
