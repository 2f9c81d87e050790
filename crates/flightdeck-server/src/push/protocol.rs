//! `flightdeck.v1`, what is said on a WebSocket: what a client asks for, and what it is told. Each message is a JSON object.

use flightdeck_core::Cursor;
use flightdeck_core::limits::{FILTER_STREAMS_MAX, TAGS_MAX, TYPES_MAX};
use flightdeck_store::{Filter, ResetReason, StreamPattern, TypePattern};
use flightdeck_wire::problem as wire;
use serde_json::{Map, Value, json};

use super::frames;
use super::sse::word;
use crate::members::{Members, Wrong, list, text, word as one};
use crate::params::place;
use crate::problem::Code;

/// What it is called in `Sec-WebSocket-Protocol`.
pub(crate) const NAME: &str = "flightdeck.v1";
/// How a credential begins that stands beside it.
pub(crate) const BEARER: &str = "bearer.";
/// How long the name of a subscription may be, and the id of an operation.
const NAME_BYTES_MAX: usize = 200;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// To follow.
    Subscribe {
        /// How the client calls it.
        sub: String,
        /// From where, as it is in a URL.
        after: Option<String>,
        filter: Filter,
    },
    Unsubscribe {
        sub: String,
    },
    /// Whether somebody is there.
    Ping {
        /// As it came.
        id: Option<String>,
    },
    /// To append.
    Append {
        id: Option<String>,
        /// By what a repetition is known.
        key: Option<String>,
        /// The same as the body of a request.
        body: String,
    },
}

/// Why a message is not done, with what it was about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    sub: Option<String>,
    id: Option<String>,
    code: &'static str,
    detail: String,
}

/// What a message is about, whatever else is wrong with it.
#[derive(Default)]
struct About {
    sub: Option<String>,
    id: Option<String>,
}

impl About {
    fn refuse(self, code: &'static str, detail: impl Into<String>) -> Refused {
        Refused { sub: self.sub, id: self.id, code, detail: detail.into() }
    }
}

/// Reads a message.
///
/// # Errors
/// When it is none.
pub(crate) fn read(message: &str) -> Result<Op, Refused> {
    let mut members = Members::of(message);
    let op = members.required("op", text);
    // What it is about is told of whatever is wrong with it.
    let about = About { sub: members.optional("sub", name), id: members.optional("id", id) };
    let read = match op.as_deref() {
        Some("subscribe") => {
            let after = members.optional("after", |json| {
                let after = if json.starts_with('"') { text(json)? } else { json.to_owned() };
                let is_one = after == "head" || place(&after).is_ok();
                is_one
                    .then_some(after)
                    .ok_or_else(|| Wrong::field("", "is neither head, a cursor nor a position"))
            });
            let streams = members.optional("streams", |json| list(json, FILTER_STREAMS_MAX, stream));
            let types = members.optional("types", |json| list(json, TYPES_MAX, event_type));
            let tags = members.optional("tags", |json| list(json, TAGS_MAX, one)).unwrap_or_default();
            let filter =
                Filter { streams: streams.unwrap_or_default(), types: types.unwrap_or_default(), tags };
            named(&mut members, about.sub.clone()).map(|sub| Op::Subscribe { sub, after, filter })
        }
        Some("unsubscribe") => named(&mut members, about.sub.clone()).map(|sub| Op::Unsubscribe { sub }),
        Some("ping") => Some(Op::Ping { id: about.id.clone() }),
        Some("append") => {
            let key = members.optional("key", text);
            let parts = ["events", "expected", "condition"];
            let parts = parts.map(|part| members.take(part).map(|json| format!("\"{part}\":{}", json.get())));
            let body = format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(","));
            Some(Op::Append { id: about.id.clone(), key, body })
        }
        Some(_) => return Err(about.refuse("unknown-operation", "There is no such operation.")),
        None => None,
    };
    let is_subscribe = op.as_deref() == Some("subscribe");
    members.finish(read).map_err(|wrong| {
        let code = if is_subscribe { "bad-filter" } else { "bad-message" };
        about.refuse(code, wrong.to_string())
    })
}

/// Sees to it that there is a name.
fn named(members: &mut Members<'_>, sub: Option<String>) -> Option<String> {
    if sub.is_none() {
        members.note::<()>("sub", Err(Wrong::field("", "is missing, or is no text of 1 to 200 bytes")));
    }
    sub
}

fn name(json: &str) -> Result<String, Wrong> {
    let name = text(json)?;
    let is_good = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
    is_good.then_some(name).ok_or_else(|| Wrong::field("", "is not 1 to 200 bytes"))
}

fn stream(json: &str) -> Result<StreamPattern, Wrong> {
    StreamPattern::parse(&text(json)?).map_err(|error| Wrong::field("", error.to_string()))
}

fn event_type(json: &str) -> Result<TypePattern, Wrong> {
    TypePattern::parse(&text(json)?).map_err(|error| Wrong::field("", error.to_string()))
}

/// An id is a text or a number, and is told as it came.
fn id(json: &str) -> Result<String, Wrong> {
    let is_number = json.starts_with('-') || json.starts_with(|first: char| first.is_ascii_digit());
    let is_good = match text(json) {
        Ok(text) => text.len() <= NAME_BYTES_MAX,
        Err(_) => is_number && json.len() <= NAME_BYTES_MAX,
    };
    is_good
        .then(|| json.to_owned())
        .ok_or_else(|| Wrong::field("", "is not a text or a number of up to 200 bytes"))
}

/// A message as it goes out.
pub(crate) fn message(told: &Value) -> Vec<u8> {
    let text = told.to_string();
    let mut out = Vec::with_capacity(text.len() + frames::HEAD_MAX);
    frames::put_head(&mut out, text.len());
    out.extend_from_slice(text.as_bytes());
    out
}

/// What stands before an event and behind it.
pub(crate) fn around(sub: &str) -> (String, &'static str) {
    (format!("{{\"k\":\"event\",\"sub\":{},\"event\":", json!(sub)), "}")
}

pub(crate) fn of_sub(kind: &str, sub: &str) -> Value {
    json!({ "k": kind, "sub": sub })
}

/// How far a subscription is: `caught-up` and `checkpoint`.
pub(crate) fn at(kind: &str, sub: &str, at: &Cursor) -> Value {
    json!({ "k": kind, "sub": sub, "at": at.to_string() })
}

pub(crate) fn reset(sub: &str, reason: ResetReason, head: &Cursor) -> Value {
    let earliest = Cursor::new(head.epoch().clone(), flightdeck_core::Position::START);
    json!({ "k": "reset", "sub": sub, "reason": word(reason), "earliest": earliest.to_string(), "head": head.to_string() })
}

pub(crate) fn refused(Refused { sub, id, code, detail }: Refused) -> Value {
    let mut told = Map::new();
    told.insert("k".to_owned(), "error".into());
    told.extend(sub.map(|sub| ("sub".to_owned(), sub.into())));
    told.extend(with_id(id.as_deref()));
    told.insert("code".to_owned(), code.into());
    told.insert("detail".to_owned(), detail.into());
    told.into()
}

/// What a subscription is refused for.
pub(crate) fn sub_error(sub: &str, code: &str, detail: &str) -> Value {
    json!({ "k": "error", "sub": sub, "code": code, "detail": detail })
}

/// A problem with what a subscription asks for.
pub(crate) fn sub_problem(sub: &str, code: Code, told: &wire::Problem) -> Value {
    let code = if matches!(told.status, 400 | 422) { "bad-filter" } else { code.as_str() };
    let mut all = sub_error(sub, code, &told.detail);
    all["instance"] = told.instance.as_str().into();
    all
}

/// What an operation came to: the members of the answer that a request would have had.
pub(crate) fn done(kind: &str, id: Option<&str>, told: Map<String, Value>) -> Value {
    let mut all = Map::new();
    all.insert("k".to_owned(), kind.into());
    all.extend(with_id(id));
    all.extend(told);
    all.into()
}

/// The same of one that was not done.
pub(crate) fn problem(id: Option<&str>, code: Code, told: &wire::Problem) -> Value {
    let mut told = match serde_json::to_value(told) {
        Ok(Value::Object(told)) => told,
        _ => Map::new(),
    };
    told.insert("code".to_owned(), code.as_str().into());
    done("error", id, told)
}

fn with_id(id: Option<&str>) -> Option<(String, Value)> {
    Some(("id".to_owned(), serde_json::from_str(id?).ok()?))
}

#[cfg(test)]
mod tests {
    use flightdeck_store::{StreamPattern, TypePattern};

    use super::{Op, read, refused};

    #[test]
    fn what_is_asked_for_is_read() {
        let read = |text: &str| read(text).unwrap();
        let Op::Subscribe { sub, after, filter } = read(
            r#"{"op":"subscribe","sub":"a","after":"e-42","streams":["content-*"],"types":["A*"],"tags":["k:v"]}"#,
        ) else {
            panic!("something else")
        };
        assert_eq!((sub.as_str(), after.as_deref()), ("a", Some("e-42")));
        assert_eq!(filter.streams, [StreamPattern::parse("content-*").unwrap()]);
        assert_eq!((filter.types, filter.tags.len()), (vec![TypePattern::parse("A*").unwrap()], 1));
        assert!(
            matches!(read(r#"{"op":"subscribe","sub":"a","after":7}"#), Op::Subscribe { after: Some(seven), .. } if seven == "7")
        );
        assert_eq!(read(r#"{"op":"unsubscribe","sub":"ä"}"#), Op::Unsubscribe { sub: "ä".to_owned() });
        assert_eq!(read(r#" {"op":"ping","id":1} "#), Op::Ping { id: Some("1".to_owned()) });
        assert_eq!(
            read(r#"{"op":"append","id":"x","expected":{"a-1": 3},"events":[1 ]}"#),
            Op::Append {
                id: Some("\"x\"".to_owned()),
                key: None,
                body: r#"{"events":[1 ],"expected":{"a-1": 3}}"#.to_owned()
            }
        );
    }

    #[test]
    fn what_is_no_message_is_told_with_what_it_was_about() {
        for (text, told) in [
            ("", "bad-message"),
            ("[]", "bad-message"),
            ("{}", "bad-message"),
            (r#"{"op":"dance","id":3}"#, "unknown-operation"),
            (r#"{"op":"ping","id":{}}"#, "bad-message"),
            (r#"{"op":"subscribe","sub":"a","after":"0~2"}"#, "bad-filter"),
            (r#"{"op":"ping","what":1}"#, "bad-message"),
            (r#"{"op":"unsubscribe"}"#, "bad-message"),
            (r#"{"op":"subscribe","sub":"a","streams":["*a"]}"#, "bad-filter"),
            (r#"{"op":"subscribe","streams":["a"]}"#, "bad-filter"),
            (r#"{"op":"subscribe","sub":"a","sub":"a"}"#, "bad-filter"),
        ] {
            let wrong = refused(read(text).unwrap_err());
            assert_eq!(wrong["code"], told, "{text}");
            assert!(wrong["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{text}");
        }
        let wrong = refused(read(r#"{"op":"dance","id":3,"sub":"a"}"#).unwrap_err());
        assert_eq!((&wrong["id"], &wrong["sub"]), (&3.into(), &"a".into()));
    }
}
