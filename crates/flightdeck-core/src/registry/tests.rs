//! Old shapes read as new ones; unknown and newer ones are told apart.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Registry, RegistryError, StoredEvents, StoredType};
use crate::event::SchemaNumber;

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

#[test]
fn the_registry_knows_each_name_once() {
    let registry = Registry::new(Event::TYPES.iter().copied()).unwrap();
    assert_eq!(registry.get("Named").unwrap().schema(), schema(3));
    assert_eq!(registry.current("Unknown", schema(9), b"raw").unwrap(), None);
    let newest =
        registry.current("Named", schema(2), br#"{"givenName":"Ada","name":"Lovelace"}"#).unwrap().unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&newest).unwrap(),
        json!({"givenName":"Ada","familyName":"Lovelace"})
    );
    let twice = Registry::new([StoredType::new("A"), StoredType::new("A")]);
    assert!(matches!(twice, Err(RegistryError::Twice("A"))));
    assert!(matches!(Registry::new([StoredType::new("not a name")]), Err(RegistryError::Name { .. })));
}
