//! Which events are facts, and how pages stand in keys.

use flightdeck_store::view::{Key, Value};
use flightdeck_store::{Data, Recorded};

use super::{Fact, Kind, page_key};
use crate::ground::{Ground, What, at};
use crate::pages::PagesView;

fn text(key: &Value) -> &str {
    match key {
        Value::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

fn event(stream: &str, event_type: &str, data: &str) -> Recorded {
    let when = at("2026-11-21T08:00:00Z");
    Ground::of(PagesView).recorded(stream, event_type, data, when)
}

#[test]
fn each_kind_of_fact_is_read_with_what_it_says() {
    let mut ground = Ground::of(PagesView);
    for what in What::EACH {
        ground.does_more("ada", what, Some("/"), at("2026-11-21T08:00:00Z"), r#","metadata":{"a":1}"#);
    }
    let facts: Vec<Fact<'_>> = ground.events.iter().filter_map(|event| Fact::of(event).unwrap()).collect();
    let kinds: Vec<Kind> = facts.iter().map(|fact| fact.kind).collect();
    assert_eq!(kinds, [Kind::View, Kind::Click, Kind::Form, Kind::Other, Kind::Other]);
    for fact in facts {
        let page = fact.page.as_ref().map(text);
        assert_eq!((fact.visitor, page, fact.at), ("ada", Some("/"), at("2026-11-21T08:00:00Z")));
    }
}

#[test]
fn answers_about_consent_strangers_and_what_is_gone_are_no_facts() {
    let answer = r#"{"visitorId":"ada","timestamp":"2026-11-21T08:00:00Z"}"#;
    for (stream, event_type) in
        [("visitor-ada", "ConsentAccepted"), ("visitor-ada", "OrderPlaced"), ("visitor", "SystemEvent")]
    {
        assert!(Fact::of(&event(stream, event_type, answer)).unwrap().is_none(), "{stream} {event_type}");
    }
    let mut gone = event("visitor-ada", "SystemEvent", "{}");
    assert!(Fact::of(&gone).is_err());
    gone.data = Data::Tombstone([0; 32]);
    assert!(Fact::of(&gone).unwrap().is_none());
}

#[test]
fn a_fact_that_is_looked_at_again_is_the_same() {
    let long = format!("/{}", "x".repeat(1_500));
    let own = r#","title":"It \"is\" na\u00efve","referrer":"https://example.org/","metadata":{"title":"no","pageId":7}"#;
    let mut ground = Ground::of(PagesView);
    for page in [Some("/"), Some(r"/\\\u00e9"), Some(long.as_str()), None] {
        for what in What::EACH {
            let looks = matches!(what, What::View);
            if looks && page.is_none() {
                continue;
            }
            let more = if looks { own } else { r#","metadata":{"title":"no"}"# };
            ground.does_more("ada", what, page, at("2026-11-21T08:00:00.5+05:45"), more);
        }
    }
    let known = [Key::of("pages", "/")];
    let mut with_a_title = 0;
    for event in &ground.events {
        let (first, again) =
            (Fact::of(event).unwrap().unwrap(), Fact::again(event, &known, None).unwrap().unwrap());
        assert_eq!(first, again);
        let page = Value::from("/known");
        let again = Fact::again(event, &known, Some(&page)).unwrap().unwrap();
        assert_eq!(
            (again.page, again.at),
            (Some(page), first.at),
            "a page that is known is not worked out again"
        );
        assert!(Fact::again(event, &[], None).unwrap().is_none(), "what has no keys is no fact");
        with_a_title += usize::from(first.title.is_some());
    }
    assert!(with_a_title > 0);
}

#[test]
fn a_long_page_is_shortened_and_still_told_from_others() {
    let longest = format!("/{}", "x".repeat(999));
    assert_eq!(text(&page_key(&longest)), longest);
    let keys = ["é", "€", "😀", "x"].map(|letter| page_key(&format!("/{}", letter.repeat(1_500))));
    for key in &keys {
        assert!((900..=1_000).contains(&text(key).len()));
    }
    let other = page_key(&format!("/{}y", "x".repeat(1_499)));
    assert_eq!(text(&other)[..900], text(&keys[3])[..900]);
    assert_ne!(other, keys[3]);
}
