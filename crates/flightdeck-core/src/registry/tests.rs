//! Old shapes read as new ones; unknown and newer ones are told apart.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{NotYours, Registry, RegistryError, StoredEvents, StoredType, between};
use crate::decider::Decider;
use crate::event::{EventType, SchemaNumber};
use crate::json::Json;
use crate::stream::StreamId;
use crate::tag::{Tag, Tags};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data", rename_all_fields = "camelCase")]
enum Event {
    Named { given_name: String, family_name: String },
    Left,
}

/// Shape 1 was `{name}`, shape 2 `{givenName, name}`, shape 3 is `{givenName, familyName}`.
fn split(mut value: Value) -> Result<Value, String> {
    let whole = value["name"].as_str().ok_or("no name")?;
    let (given, family) = whole.split_once(' ').ok_or("no family name")?;
    value = json!({"givenName": given, "name": family});
    Ok(value)
}
#[expect(clippy::needless_pass_by_value, reason = "the shape of an upcast")]
fn rename(value: Value) -> Result<Value, String> {
    Ok(json!({"givenName": value["givenName"], "familyName": value["name"]}))
}

impl StoredEvents for Event {
    const TYPES: &'static [StoredType] = &[
        StoredType::new("Named").upcasts(&[split, rename]).personal(&["/givenName", "/familyName"]),
        StoredType::new("Left"),
    ];
}

fn schema(number: u32) -> SchemaNumber {
    SchemaNumber::new(number).unwrap()
}

fn ada() -> Event {
    Event::Named { given_name: "Ada".into(), family_name: "Lovelace".into() }
}

#[test]
fn every_old_shape_reads_as_the_newest() {
    for (number, data) in [
        (1, r#"{"name":"Ada Lovelace"}"#),
        (2, r#"{"givenName":"Ada","name":"Lovelace"}"#),
        (3, r#"{"givenName":"Ada","familyName":"Lovelace"}"#),
    ] {
        assert_eq!(
            Event::from_stored("Named", schema(number), data.as_bytes()).unwrap(),
            Some(ada()),
            "{number}"
        );
    }
}

#[test]
fn an_event_is_written_in_the_newest_shape() {
    let written = ada().to_stored().unwrap();
    assert_eq!((written.name.as_str(), written.schema), ("Named", schema(3)));
    assert_eq!(written.data.as_bytes(), br#"{"givenName":"Ada","familyName":"Lovelace"}"#);
}

#[test]
fn a_variant_without_fields_is_null() {
    let written = Event::Left.to_stored().unwrap();
    assert_eq!(written.data.as_bytes(), b"null");
    assert_eq!(Event::from_stored("Left", schema(1), b"null").unwrap(), Some(Event::Left));
}

#[test]
fn a_foreign_type_is_none_and_a_newer_shape_an_error() {
    assert_eq!(Event::from_stored("Other", schema(1), b"{}").unwrap(), None);
    assert!(matches!(Event::from_stored("Named", schema(4), b"{}"), Err(RegistryError::Newer { .. })));
}

#[test]
fn an_upcast_that_refuses_says_where() {
    match Event::from_stored("Named", schema(1), br#"{"name":"Ada"}"#) {
        Err(RegistryError::Upcast { schema: 1, problem, .. }) => assert_eq!(problem, "no family name"),
        other => panic!("{other:?}"),
    }
}

/// An aggregate of these events.
macro_rules! aggregate {
    ($name:ident, $category:literal, $keys:expr) => {
        struct $name;
        impl Decider for $name {
            const CATEGORY: &'static str = $category;
            const MARK_KEYS: &'static [&'static str] = $keys;
            type Command = ();
            type Event = Event;
            type State = ();
            type Error = ();
            fn initial() {}
            fn evolve((): (), _: &Event) {}
            fn decide((): &(), (): ()) -> Result<Vec<Event>, ()> {
                Ok(vec![])
            }
        }
    };
}
aggregate!(Person, "person", &["nickname"]);
aggregate!(Twin, "twin", &[]);
aggregate!(Nickname, "nickname", &["nickname"]);
aggregate!(Odd, "not-one", &[]);
aggregate!(OddKey, "oddkey", &["no key"]);

fn people() -> Registry {
    Registry::default().with::<Person>().unwrap()
}

#[test]
fn the_registry_knows_each_name_once() {
    assert_eq!(people().get("Named").unwrap().schema(), schema(3));
    assert_eq!(people().iter().map(|stored| stored.name).collect::<Vec<_>>(), ["Left", "Named"]);
    assert!(matches!(people().with::<Person>(), Err(RegistryError::Twice("person"))));
    assert!(matches!(people().with::<Twin>(), Err(RegistryError::Twice("Named"))));
    assert!(matches!(people().with::<Nickname>(), Err(RegistryError::Twice("nickname"))));
    assert!(matches!(people().with::<Odd>(), Err(RegistryError::Name { name: "not-one", .. })));
    assert!(matches!(people().with::<OddKey>(), Err(RegistryError::Name { name: "no key", .. })));
}

#[test]
fn the_registry_brings_data_to_the_newest_shape() {
    assert_eq!(people().current("Unknown", schema(9), b"raw").unwrap(), None);
    let newest =
        people().current("Named", schema(2), br#"{"givenName":"Ada","name":"Lovelace"}"#).unwrap().unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&newest).unwrap(),
        json!({"givenName":"Ada","familyName":"Lovelace"})
    );
}

#[test]
fn data_of_a_known_type_is_checked_and_that_of_others_is_not() {
    let check = |name, number, data: &str| people().check(name, schema(number), data.as_bytes());
    assert!(check("Named", 3, r#"{"givenName":"Ada","familyName":"Lovelace"}"#).is_ok());
    assert!(check("Named", 1, r#"{"name":"Ada Lovelace"}"#).is_ok());
    assert!(matches!(check("Named", 3, r#"{"givenName":"Ada"}"#), Err(RegistryError::Shape { .. })));
    assert!(matches!(check("Named", 1, r#"{"name":"Ada"}"#), Err(RegistryError::Upcast { .. })));
    assert!(matches!(check("Named", 4, "{}"), Err(RegistryError::Newer { .. })));
    assert!(check("Renamed", 9, "{}").is_ok());
    let own = |stream, name, number| {
        people().check_own(&StreamId::new(stream).unwrap(), name, schema(number), b"{}")
    };
    assert!(matches!(own("person-1", "Named", 3), Err(RegistryError::Shape { .. })));
    assert!(matches!(own("person-1", "Named", 4), Err(RegistryError::Newer { .. })));
    assert!(own("order-1", "Named", 3).is_ok(), "a namesake");
    assert!(own("person-1", "Renamed", 9).is_ok());
}

#[test]
fn what_belongs_to_an_aggregate_is_not_written_by_just_anyone() {
    let write = |stream, tags: &[&str], name: &str, data: &str| {
        let tags = Tags::new(tags.iter().map(|tag| Tag::new(tag).unwrap())).unwrap();
        let (name, data) = (EventType::new(name).unwrap(), Json::new(data.to_owned(), 1024).unwrap());
        people().may_be_written(&StreamId::new(stream).unwrap(), &tags, (&name, schema(3), &data))
    };
    let named = r#"{"givenName":"Ada","familyName":"Lovelace"}"#;
    assert!(write("order-1", &["nick:ada"], "Opened", "1").is_ok());
    assert!(write("persons-1", &[], "Named", named).is_ok(), "a namesake");
    assert!(matches!(write("person-1", &[], "Opened", "1"), Err(NotYours::Category(_))));
    assert!(matches!(write("person", &[], "Opened", "1"), Err(NotYours::Category(_))));
    assert!(matches!(write("$token-1", &[], "Opened", "1"), Err(NotYours::Category(_))));
    assert!(matches!(write("order-1", &["a:b", "nickname:x"], "Opened", "1"), Err(NotYours::Tag(_))));
    assert!(matches!(write("order-1", &[], "Named", "{}"), Err(NotYours::Data(_))));
}

#[test]
fn an_upcast_between_two_types_reads_the_one_and_writes_the_other() {
    #[derive(Deserialize)]
    struct Old {
        cents: u32,
    }
    #[derive(Serialize)]
    struct New {
        euros: f64,
    }
    impl From<Old> for New {
        fn from(old: Old) -> Self {
            Self { euros: f64::from(old.cents) / 100.0 }
        }
    }
    assert_eq!(between::<Old, New>(json!({"cents": 150})), Ok(json!({"euros": 1.5})));
    assert_eq!(between::<Old, New>(json!({})), Err("missing field `cents`".into()));
}
