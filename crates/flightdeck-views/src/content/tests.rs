//! The view `content`, event by event.

use flightdeck_projections::kit::Kit;
use flightdeck_store::view::{Compare, HaltKind, Row, Value, ViewName, ViewQuery};

use super::ContentView;

const CREATED: &str = r#"{"contentId":"1","title":"One","slug":"one","content":"Hello World","format":"Html","author":"ada","tags":["b","a"]}"#;

fn kit() -> Kit {
    let mut kit = Kit::of(ContentView);
    kit.emit_schema("content-1", "ContentCreated", 2, CREATED);
    kit
}

fn change(kit: &mut Kit, patch: &str) -> Row {
    kit.emit_json("content-1", "ContentUpdated", &format!("{{\"contentId\":\"1\",{patch}}}"));
    kit.row("content", "1").unwrap()
}

#[test]
fn a_content_that_came_to_be_is_a_draft_with_all_that_it_has() {
    let kit = kit();
    let row = kit.row("content", "1").unwrap();
    let text = |column: &str| row.text(column).unwrap_or("nothing").to_owned();
    let found = ["title", "slug", "description", "content", "format", "status", "author"].map(text);
    assert_eq!(found, ["One", "one", "nothing", "Hello World", "Html", "Draft", "ada"]);
    assert_eq!(row.get("tags"), &Value::list(["b", "a"]));
    let then = Value::Time(kit.recorded(1));
    assert_eq!((row.get("created_at"), row.get("updated_at")), (&then, &then));
}

#[test]
fn one_of_the_first_shape_is_markdown_without_tags() {
    let mut kit = Kit::of(ContentView);
    let old = r#"{"contentId":"7","title":"Old","content":"Text","author":"ada"}"#;
    kit.emit_schema("content-7", "ContentCreated", 1, old);
    let row = kit.row("content", "7").unwrap();
    assert_eq!((row.text("format"), row.get("tags")), (Some("Markdown"), &Value::list([""; 0])));
}

#[test]
fn a_change_changes_what_it_names_and_nothing_else() {
    for (patch, column, now) in [
        ("\"title\":\"Two\"", "title", Value::from("Two")),
        ("\"slug\":\"two\"", "slug", "two".into()),
        ("\"slug\":null", "slug", Value::Null),
        ("\"description\":\"About\"", "description", "About".into()),
        ("\"content\":\"Other\"", "content", "Other".into()),
        ("\"format\":\"ReStructuredText\"", "format", "ReStructuredText".into()),
        ("\"author\":\"bob\"", "author", "bob".into()),
        ("\"tags\":[]", "tags", Value::list([""; 0])),
        ("\"status\":\"Published\"", "status", "Published".into()),
        ("\"status\":\"Archived\"", "status", "Archived".into()),
    ] {
        let mut kit = kit();
        let before = kit.row("content", "1").unwrap();
        let after = change(&mut kit, patch);
        for (at, known) in before.table().columns().iter().enumerate() {
            let expected = match known.name.as_str() {
                name if name == column => now.clone(),
                "updated_at" => Value::Time(kit.recorded(2)),
                _ => before.values()[at].clone(),
            };
            assert_eq!(after.values()[at], expected, "{patch}: {}", known.name);
        }
    }
    let mut kit = kit();
    change(&mut kit, "\"description\":\"About\"");
    assert_eq!(change(&mut kit, "\"description\":null").get("description"), &Value::Null);
}

#[test]
fn what_was_deleted_is_gone_and_nothing_brings_it_back() {
    let mut kit = kit();
    kit.emit_json("content-1", "ContentDeleted", "{\"contentId\":\"1\"}");
    kit.emit_schema("content-1", "ContentCreated", 2, CREATED);
    kit.emit_json("content-1", "ContentUpdated", "{\"contentId\":\"1\",\"title\":\"Late\"}");
    kit.emit_json("content-2", "ContentDeleted", "{\"contentId\":\"2\"}");
    kit.emit_json("content-1", "ContentDeleted", "{\"contentId\":\"1\"}");
    assert!(kit.rows("content").is_empty());
    // What never was can't be deleted, and may still come to be.
    let deleted = kit.rows("content_deleted");
    assert_eq!(
        (deleted.len(), deleted[0].text("id"), deleted[0].time("deleted_at")),
        (1, Some("1"), Some(kit.recorded(2)))
    );
    kit.emit_schema("content-2", "ContentCreated", 2, &CREATED.replace("\"1\"", "\"2\""));
    assert_eq!(kit.rows("content").len(), 1);
}

#[test]
fn what_can_not_follow_changes_nothing() {
    let mut kit = kit();
    let again = CREATED.replace("One", "Again");
    kit.emit_schema("content-1", "ContentCreated", 2, &again);
    assert_eq!(kit.row("content", "1").unwrap().text("title"), Some("One"));
}

#[test]
fn a_namesake_in_another_stream_is_not_read() {
    let mut kit = kit();
    kit.emit_json("other-1", "ContentDeleted", "{\"contentId\":\"1\"}");
    kit.emit_json("other-1", "ContentUpdated", "\"no content at all\"");
    assert_eq!(kit.rows("content").len(), 1);
}

#[test]
fn what_is_not_of_its_shape_or_of_a_newer_one_stops_it() {
    let mut kit = kit();
    assert_eq!(kit.refuses("content-1", "ContentUpdated", 1, "{\"title\":7}").kind, HaltKind::Poison);
    assert_eq!(kit.refuses("content-1", "ContentUpdated", 2, "{}").kind, HaltKind::NeedsUpgrade);
}

#[test]
fn it_is_found_by_status_author_label_and_words() {
    let kit = kit();
    let ask = || ViewQuery::of(ViewName::new("content").unwrap(), 1, "content");
    let found = |query: ViewQuery| kit.live().ask(&query).unwrap().rows.len();
    assert_eq!(found(ask().filter("status", Compare::Equal("Draft".into()))), 1);
    assert_eq!(found(ask().filter("author", Compare::Equal("bob".into()))), 0);
    assert_eq!(found(ask().filter("tags", Compare::Has("a".into()))), 1);
    assert_eq!(found(ask().text("hello WOR*")), 1);
    assert_eq!(found(ask().text("hello mars")), 0);
}

#[test]
fn an_event_whose_data_is_gone_leaves_a_content_as_it_was() {
    let mut kit = kit();
    let before = kit.row("content", "1").unwrap();
    kit.emit_gone("content-1", "ContentUpdated", 1);
    assert_eq!(kit.row("content", "1"), Some(before));
    assert_eq!(change(&mut kit, "\"title\":\"Two\"").text("title"), Some("Two"));
    // Of one that nobody knows how it began there is no row, and what follows changes nothing.
    kit.emit_gone("content-2", "ContentCreated", 2);
    kit.emit_json("content-2", "ContentUpdated", r#"{"contentId":"2","title":"Two"}"#);
    kit.emit_json("content-2", "ContentDeleted", r#"{"contentId":"2"}"#);
    assert_eq!(kit.rows("content").len(), 1);
    // That it was deleted needs no data.
    kit.emit_gone("content-1", "ContentDeleted", 1);
    assert_eq!((kit.rows("content").len(), kit.rows("content_deleted").len()), (0, 1));
}
