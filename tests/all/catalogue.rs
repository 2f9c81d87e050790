//! What is stored for ever: every shape of every event has a fixture that reads as it always did, a JSON Schema that says the
//! same as the code, and a place in the catalogue.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use flightdeck_analytics::visitor::{self, Visitor};
use flightdeck_core::{Decider, SchemaNumber, Shape, StoredEvents};
use flightdeck_domain::content::{self, Content};
use flightdeck_domain::presentation::{self, Presentation};
use flightdeck_domain::token::{self, Token};
use flightdeck_domain::user::{self, User};
use flightdeck_domain::words;
use flightdeck_server::registry;
use serde_json::{Value, json};

/// What to do when a shape is not what it was.
const WHAT_TO_DO: &str = "Stored events are read for ever, so a shape never changes. Leave the old one as it is (as a type of its own), \
    give the type its next schema number with an upcast from the one before, add the new shape to SHAPES, a fixture for it under \
    tests/fixtures/events/shapes, and run `cargo xtask codegen`.";

/// A crate with stored events, and the shapes of these.
fn crates() -> [(&'static str, Vec<&'static Shape>); 2] {
    [
        ("flightdeck-domain", flightdeck_domain::shapes().collect()),
        ("flightdeck-analytics", flightdeck_analytics::shapes().collect()),
    ]
}

fn shapes() -> BTreeMap<(String, u32), Value> {
    let all = crates().into_iter().flat_map(|(_, shapes)| shapes);
    all.map(|shape| ((shape.name.to_owned(), shape.number), shape.schema().to_value())).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// An event as it was stored, and what it reads as.
struct Fixture {
    file: String,
    name: String,
    number: u32,
    stored: Value,
    reads: Value,
}

fn fixtures() -> Vec<Fixture> {
    let folder = root().join("tests/fixtures/events/shapes");
    let mut fixtures = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut parts = file.split('.');
        let (name, number) = (parts.next().unwrap().to_owned(), parts.next().unwrap().parse().unwrap());
        let fixture: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let (stored, reads) = (fixture["stored"].clone(), fixture["reads"].clone());
        fixtures.push(Fixture { file, name, number, stored, reads });
    }
    fixtures.sort_by(|one, other| one.file.cmp(&other.file));
    fixtures
}

/// Reads a stored event, and says it in the newest shape.
fn read(name: &str, number: u32, data: &Value) -> Result<Value, String> {
    fn of<E: StoredEvents>(name: &str, number: SchemaNumber, data: &[u8]) -> Option<Result<Value, String>> {
        match E::from_stored(name, number, data) {
            Ok(None) => None,
            Ok(Some(event)) => Some(Ok(serde_json::to_value(event).unwrap())),
            Err(error) => Some(Err(error.to_string())),
        }
    }
    let (number, data) = (SchemaNumber::new(number).unwrap(), serde_json::to_vec(data).unwrap());
    of::<content::Event>(name, number, &data)
        .or_else(|| of::<presentation::Event>(name, number, &data))
        .or_else(|| of::<token::Event>(name, number, &data))
        .or_else(|| of::<user::Event>(name, number, &data))
        .or_else(|| of::<visitor::Event>(name, number, &data))
        .unwrap_or_else(|| Err(format!("{name} is no type of ours")))
}

#[test]
fn every_fixture_reads_as_it_always_did() {
    for Fixture { file, name, number, stored, reads } in fixtures() {
        match read(&name, number, &stored) {
            Ok(found) => {
                assert!(found == reads, "{file} reads as {found}, and did as {reads}.\n{WHAT_TO_DO}")
            }
            Err(error) => panic!("{file} can't be read any more: {error}.\n{WHAT_TO_DO}"),
        }
    }
}

#[test]
fn every_type_has_all_its_shapes_and_every_shape_a_fixture() {
    let (shapes, fixtures) = (shapes(), fixtures());
    let with_fixture: BTreeSet<(String, u32)> =
        fixtures.iter().map(|fixture| (fixture.name.clone(), fixture.number)).collect();
    assert_eq!(with_fixture, shapes.keys().cloned().collect::<BTreeSet<_>>(), "{WHAT_TO_DO}");
    let registry = registry();
    for stored in registry.iter() {
        let numbers: Vec<u32> =
            shapes.keys().filter(|(name, _)| name == stored.name).map(|(_, number)| *number).collect();
        let expected: Vec<u32> = (1..=stored.schema().get()).collect();
        assert_eq!(numbers, expected, "{} has other shapes than numbers.\n{WHAT_TO_DO}", stored.name);
    }
    assert!(shapes.keys().all(|(name, _)| registry.get(name).is_some()));
    assert!(registry.iter().any(|stored| stored.schema().get() > 1), "upcasting is shown for real");
}

/// A snapshot that was kept, as it is read and written today.
fn kept<D: Decider>() -> (u32, Value, Value)
where
    D::State: serde::Serialize + serde::de::DeserializeOwned,
{
    let number = match D::CATEGORY {
        "content" => content::SNAPSHOT_SCHEMA,
        "presentation" => presentation::SNAPSHOT_SCHEMA,
        "user" => user::SNAPSHOT_SCHEMA,
        "visitor" => visitor::SNAPSHOT_SCHEMA,
        other => panic!("{other} keeps no snapshots"),
    };
    let file = root().join(format!("tests/fixtures/snapshots/{}.{number}.json", D::CATEGORY));
    let there: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let state: D::State =
        serde_json::from_value(there.clone()).unwrap_or_else(|error| panic!("{}: {error}", D::CATEGORY));
    (number.get(), there, serde_json::to_value(state).unwrap())
}

#[test]
fn every_snapshot_is_read_and_written_as_it_always_was() {
    for (name, (number, there, found)) in [
        ("content", kept::<Content>()),
        ("presentation", kept::<Presentation>()),
        ("user", kept::<User>()),
        ("visitor", kept::<Visitor>()),
    ] {
        assert!(
            there == found,
            "snapshot {number} of {name} was {there} and is {found}.\nRaise its SNAPSHOT_SCHEMA, so that old ones are not read any \
             more, and add a fixture of the new shape under tests/fixtures/snapshots."
        );
    }
}

#[test]
fn what_is_personal_is_a_field() {
    let shapes = shapes();
    for stored in registry().iter() {
        for pointer in stored.personal {
            let field = pointer.strip_prefix('/').unwrap();
            let mut own = shapes.iter().filter(|((name, _), _)| name == stored.name);
            assert!(
                own.any(|(_, schema)| schema["properties"].get(field).is_some()),
                "{} has no {field}",
                stored.name
            );
        }
    }
}

/// Every way in which a value is a little wrong: a member less, one more, and each member of every other kind, at every depth.
fn broken(value: &Value) -> Vec<Value> {
    let mut others = vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(1_000),
        json!(1_001),
        json!(1.5),
        json!(1.0),
        json!(2.0),
        json!(""),
        json!("\u{1}"),
        json!([7]),
        json!({}),
        json!("."),
        json!(".."),
        json!("a\nb"),
        json!(" "),
        json!("x".repeat(300_000)),
    ];
    // Around every limit, in characters of one byte and of two.
    for most in [40, 50, 64, 100, 128, 200, 254, 300, 500, 1_000, 2_000, 10_000, 16_000] {
        for length in [most, most + 1] {
            others.extend([json!("x".repeat(length)), json!("é".repeat(length))]);
        }
    }
    let mut all = Vec::new();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let mut less = members.clone();
                less.remove(name);
                all.push(Value::Object(less));
                for worse in broken(member).into_iter().chain(others.clone()) {
                    let mut other = members.clone();
                    other.insert(name.clone(), worse);
                    all.push(Value::Object(other));
                }
            }
            let mut more = members.clone();
            more.insert("surplus".into(), json!(1));
            all.push(Value::Object(more));
        }
        Value::Array(items) => {
            for worse in others {
                all.push(Value::Array([items.as_slice(), &[worse]].concat()));
            }
            for length in [32, 33, 1_000, 1_001] {
                all.push(Value::Array(items.iter().cycle().take(length).cloned().collect()));
            }
        }
        Value::String(text) => {
            all.extend([json!(format!("{text} ")), json!(format!("{text}/")), json!(text.to_uppercase())])
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    all
}

/// What a schema can't say, and the code does: a time's date, an address's empty labels, bytes in place of characters.
fn schema_cannot_tell(error: &str) -> bool {
    [
        "time is not",
        "email lacks a part",
        "email is longer",
        "email has white space, or something",
        "is empty",
        "takes more than",
    ]
    .iter()
    .any(|text| error.contains(text))
}

#[test]
fn code_and_schema_take_the_same() {
    let (registry, shapes) = (registry(), shapes());
    let (mut taken, mut refused) = (0, 0);
    for Fixture { file, name, number, stored, reads } in fixtures() {
        let validator = |number: u32| {
            let schema = &shapes[&(name.clone(), number)];
            jsonschema::options().should_validate_formats(true).build(schema).unwrap()
        };
        let schema = SchemaNumber::new(number).unwrap();
        let own = validator(number);
        assert!(own.is_valid(&stored), "{file} is not of its schema");
        let newest = registry.get(&name).unwrap().schema().get();
        assert!(validator(newest).is_valid(&reads["data"]), "what {file} reads as is not of its schema");
        for broken in broken(&stored) {
            let code = registry.check(&name, schema, &serde_json::to_vec(&broken).unwrap());
            let code = code.map_err(|error| error.to_string());
            match (own.is_valid(&broken), &code) {
                (true, Ok(())) => taken += 1,
                (false, Err(_)) => refused += 1,
                (true, Err(error)) if schema_cannot_tell(error) => refused += 1,
                (by_schema, by_code) => {
                    let text: String = broken.to_string().chars().take(500).collect();
                    panic!("{file}: {text}: the schema says {by_schema}, the code {by_code:?}")
                }
            }
        }
    }
    assert!(taken > 200 && refused > 1_000, "{taken} taken and {refused} refused: too few were tried");
}

/// Writes what is generated, or holds it against what is there.
fn settle(path: &Path, text: &str, told: &str) {
    if std::env::var_os("FLIGHTDECK_CODEGEN").is_some_and(|what| what == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == text, "{} is behind its code: {told}", path.display());
}

/// A schema without what only explains it.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let explains = |name: &str, value: &Value| name == "description" && value.is_string();
            let kept = members.iter().filter(|(name, value)| !explains(name, value));
            Value::Object(kept.map(|(name, value)| (name.clone(), bare(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(bare).collect()),
        other => other.clone(),
    }
}

#[test]
fn codegen_schemas() {
    for (name, shapes) in crates() {
        let folder = root().join("crates").join(name).join("schemas");
        let mut files = BTreeSet::new();
        for shape in shapes {
            let file = format!("{}.{}.json", shape.name, shape.number);
            let (path, schema) = (folder.join(&file), shape.schema().to_value());
            // A schema that was committed is only ever explained better.
            if let Ok(there) = std::fs::read(&path) {
                let there: Value = serde_json::from_slice(&there).unwrap();
                assert!(bare(&there) == bare(&schema), "the shape of {file} changed.\n{WHAT_TO_DO}");
            }
            settle(&path, &format!("{schema:#}\n"), "run `cargo xtask codegen`");
            files.insert(file);
        }
        for entry in std::fs::read_dir(&folder).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            assert!(files.contains(&file), "{file} is the schema of no shape any more.\n{WHAT_TO_DO}");
        }
    }
}

#[test]
fn codegen_catalogue() {
    let (registry, fixtures) = (registry(), fixtures());
    for (name, shapes) in crates() {
        let aggregates: &[(&str, &[&str], Vec<&str>)] = match name {
            "flightdeck-domain" => &[of::<Content>(), of::<Presentation>(), of::<User>(), of::<Token>()],
            _ => &[of::<Visitor>()],
        };
        let limits: &[(&str, usize)] = match name {
            "flightdeck-domain" => &[
                ("labels a content", words::LABELS_MAX),
                ("the text of a content, in bytes of JSON", words::BODY_JSON_BYTES_MAX),
                ("slides a presentation", words::SLIDES_MAX),
                ("slides a presentation, with those that were removed", presentation::SLIDES_EVER_MAX),
                ("the slides of a presentation, in bytes of JSON", words::DECK_JSON_BYTES_MAX),
                ("streams that a token names for reading, and as many for writing", token::PATTERNS_MAX),
            ],
            _ => {
                &[("facts a batch", visitor::BATCH_FACTS_MAX), ("a fact, in bytes", visitor::FACT_BYTES_MAX)]
            }
        };
        let mut catalogue = text::head(limits);
        for (category, marks, types) in aggregates {
            catalogue.push_str(&text::aggregate(category, marks));
            for stored in types.iter().map(|name| registry.get(name).unwrap()) {
                let newest = stored.schema().get();
                let shape = shapes.iter().find(|shape| shape.name == stored.name && shape.number == newest);
                let file = format!("{}.{newest}.json", stored.name);
                let example = fixtures.iter().find(|fixture| fixture.file == file);
                catalogue.push_str(&text::event(
                    stored,
                    &shape.unwrap().schema().to_value(),
                    &example.unwrap().stored,
                ));
            }
        }
        settle(&root().join("crates").join(name).join("EVENTS.md"), &catalogue, "run `cargo xtask codegen`");
    }
}

/// An aggregate's category, its mark keys, and the names of its events.
fn of<D: Decider>() -> (&'static str, &'static [&'static str], Vec<&'static str>)
where
    D::Event: StoredEvents,
{
    (D::CATEGORY, D::MARK_KEYS, D::Event::TYPES.iter().map(|stored| stored.name).collect())
}
