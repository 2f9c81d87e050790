//! Everything that is wrong is told at once, by the name of its field.

use serde_json::{Value, json};

use super::{Form, Invalid, list, read};
use crate::edit::Edit;
use crate::json::Json;

fn form(value: &Value) -> Form {
    Form::of(&Json::new(value.to_string(), 1 << 20).unwrap())
}

#[track_caller]
fn wrong<T: std::fmt::Debug>(result: Result<T, Invalid>, missing: &[&str], invalid: &[(&str, &str)]) {
    let wrong = result.unwrap_err();
    assert_eq!(wrong.missing, missing);
    let found: Vec<_> =
        wrong.invalid.iter().map(|(name, problem)| (name.as_str(), problem.as_str())).collect();
    assert_eq!(found, invalid);
}

#[test]
fn absent_null_and_a_value_are_told_apart() {
    let mut form = form(&json!({"a": null, "b": 1, "d": null, "e": 2, "g": null, "h": 3}));
    assert_eq!(
        [form.edit("a"), form.edit("b"), form.edit::<i32>("c")],
        [Edit::Clear, Edit::Set(1), Edit::Keep]
    );
    assert_eq!([form.optional("d"), form.optional("e"), form.optional::<i32>("f")], [None, Some(2), None]);
    assert_eq!([form.change("g"), form.change("h"), form.change::<i32>("i")], [None, Some(3), None]);
    wrong(form.finish(Some(())), &[], &[("g", "can't be cleared")]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mut form = form(&json!({"b": "x", "c": [1, "y", 3, null], "d": {"e": true}, "z": 0}));
    let a: Option<i32> = form.required("a");
    let b: Option<i32> = form.required("b");
    let c = form.required_as("c", |value| list(value, 5, read::<u8>));
    let d = form.required_as("d", |value| {
        let mut inner = Form::of_value(value);
        let found = inner.required::<u8>("e").zip(inner.required::<u8>("f"));
        inner.finish(found)
    });
    let all = a.zip(b).zip(c).zip(d);
    wrong(
        form.finish(all),
        &["a", "d.f"],
        &[
            ("b", "is not a whole number, or is out of range"),
            ("c[1]", "is not a whole number, or is out of range"),
            ("c[3]", "is not a whole number, or is out of range"),
            ("d.e", "is not a whole number, or is out of range"),
            ("z", "is not a field here"),
        ],
    );
}

#[test]
fn what_is_no_object_misses_no_fields() {
    for value in [json!([]), json!(null), json!("a"), json!(1)] {
        let mut form = form(&value);
        let a: Option<i32> = form.required("a");
        wrong(form.finish(a), &[], &[("", "is not a JSON object")]);
    }
}

#[test]
fn a_list_has_a_limit() {
    assert_eq!(list(json!([1, 2]), 2, read::<u8>), Ok(vec![1, 2]));
    wrong(list(json!([1, 2, 3]), 2, read::<u8>), &[], &[("", "has 3 items, and 2 is the most")]);
    wrong(list(json!({}), 2, read::<u8>), &[], &[("", "is not a list")]);
}

#[test]
fn what_is_wrong_reads_as_a_sentence() {
    let mut invalid = Invalid::field("b", "is odd").within("a");
    invalid.missing.push("c".into());
    invalid.extend(Invalid::field("", "is too long"));
    assert_eq!(invalid.to_string(), "c is missing; is too long; a.b: is odd");
    assert!(Invalid::default().or(None::<()>).is_err());
    assert_eq!(Invalid::default().or(Some(1)), Ok(1));
    assert!(!invalid.is_empty());
}

#[test]
fn an_object_with_nothing_wrong_is_taken() {
    let mut form = form(&json!({"a": 1}));
    let a: Option<u8> = form.required("a");
    assert_eq!(form.finish(a), Ok(1));
}

#[test]
fn what_serde_says_is_said_in_our_words() {
    #[derive(Debug, serde::Deserialize)]
    enum Colour {
        Red,
        Green,
    }
    fn said<T: serde::de::DeserializeOwned + std::fmt::Debug>(value: Value) -> String {
        read::<T>(value).unwrap_err().invalid[""].clone()
    }
    assert_eq!(said::<String>(json!(7)), "is not a text");
    assert_eq!(said::<bool>(json!("x")), "is not true or false");
    assert_eq!(said::<Vec<u8>>(json!("x")), "is not a list");
    assert_eq!(said::<serde_json::Map<String, Value>>(json!([])), "is not an object");
    assert_eq!(said::<f64>(json!("x")), "is not a number");
    assert_eq!(said::<i8>(json!(1.5)), "is not a whole number, or is out of range");
    assert_eq!(said::<u8>(json!(-1)), "is not a whole number, or is out of range");
    assert_eq!(said::<Colour>(json!("Blue, expected".repeat(10_000))), "is none of Red or Green");
    assert_eq!(said::<Colour>(json!(7)), "is not a text");
    assert!(matches!((read(json!("Red")), read(json!("Green"))), (Ok(Colour::Red), Ok(Colour::Green))));
    assert_eq!(said::<crate::Tag>(json!("x")), "tag is not of the form key:value");
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    let json = Json::new("{\"a\":1,\"b\":2,\"a\":3}", 1_024).unwrap();
    let mut form = Form::of(&json);
    let found = form.required::<u8>("a").zip(form.required::<u8>("b"));
    wrong(form.finish(found), &[], &[("a", "is there twice")]);
    let json =
        Json::new("{\"a\":[{\"b\":{\"c\":1,\"c\":1,\"d\":{}}},{\"b\":1.5}],\"e\":true}", 1_024).unwrap();
    assert_eq!(super::twice(&json).into_iter().collect::<Vec<_>>(), ["a[0].b.c"]);
}

#[test]
fn the_name_of_a_field_is_not_echoed_without_end() {
    let name = "x".repeat(5_000);
    let invalid = form(&json!({ &name: 1 })).finish(Some(())).unwrap_err();
    assert!(invalid.invalid.keys().all(|name| name.len() < 210));
}

#[test]
fn who_gives_up_says_what_was_wrong_so_far() {
    let mut form = form(&json!({"a": "x", "z": 1}));
    let _wrong: Option<u8> = form.required("a");
    let given_up: Result<(), _> = form.give_up();
    wrong(given_up, &[], &[("a", "is not a whole number, or is out of range")]);
}

/// 1 MB of name with 450,000 items in it: a place for each of them would be 450 GB of text.
#[test]
fn a_long_name_is_not_copied_for_all_that_it_holds() {
    let text = format!("{{\"{}\":[{}0]}}", "x".repeat(1_000_000), "0,".repeat(449_999));
    let json = Json::new(text, 2 << 20).unwrap();
    let begin = std::time::Instant::now();
    assert!(super::twice(&json).is_empty());
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{:?}", begin.elapsed());
    let many = format!("{{{}\"a\":0}}", "\"b\":0,\"c\":0,".repeat(50_000));
    assert_eq!(super::twice(&Json::new(many, 2 << 20).unwrap()).len(), 2);
}
