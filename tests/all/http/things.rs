//! What the tests of contents, presentations and users have in common: requests with headers, and answers held against the document.

use std::collections::HashSet;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Answer, Site, send};

/// A request with a body of JSON, and headers.
pub(super) fn with(
    site: &Site,
    method: &str,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> RequestBuilder {
    let request = headers
        .iter()
        .fold(site.request(method, path), |request, (name, value)| request.header(*name, *value));
    match body {
        Value::Null => request,
        body => request.json(body),
    }
}

pub(super) async fn ask(site: &Site, method: &str, path: &str, body: &Value) -> Answer {
    send(with(site, method, path, body, &[])).await
}

/// The same, at a version.
pub(super) async fn ask_if(site: &Site, method: &str, path: &str, body: &Value, version: i64) -> Answer {
    let tag = format!("\"{version}\"");
    send(with(site, method, path, body, &[("If-Match", tag.as_str())])).await
}

/// The same, with a key.
pub(super) async fn ask_once(site: &Site, method: &str, path: &str, body: &Value, key: &str) -> Answer {
    send(with(site, method, path, body, &[("Idempotency-Key", key)])).await
}

/// Reads when the server is as far as an answer said.
pub(super) async fn get_behind(site: &Site, path: &str, written: &Answer) -> Answer {
    let position = written.header("flightdeck-position").unwrap();
    send(with(site, "GET", path, &Value::Null, &[("FlightDeck-Min-Position", position)])).await
}

/// What makes an answer the same as another.
pub(super) fn same(answer: &Answer) -> (u16, Vec<u8>, Vec<Option<String>>) {
    let names = ["location", "etag", "flightdeck-position", "content-type"];
    let headers = names.iter().map(|name| answer.header(name).map(str::to_owned)).collect();
    (answer.status, answer.bytes.clone(), headers)
}

/// Sends one request with one key so many times at once: all are answered alike, and one of them did it.
pub(super) async fn fifty_times(site: &Site, method: &str, path: &str, body: &Value, key: &str) -> Answer {
    let all = futures_util::future::join_all((0..50).map(|_| ask_once(site, method, path, body, key))).await;
    let alike: HashSet<_> = all.iter().map(same).collect();
    assert_eq!(alike.len(), 1, "{alike:?}");
    let first: Vec<_> = all.iter().filter(|answer| answer.header("flightdeck-duplicate").is_none()).collect();
    assert_eq!(first.len(), 1, "one of 50 does it, and the others are told");
    let told = all.iter().filter(|answer| answer.header("flightdeck-duplicate") == Some("true")).count();
    assert_eq!(told, 49);
    all.into_iter().next().unwrap()
}

/// All items of a list, page by page, as its `next` says, and its `Link` says the same.
pub(super) async fn all_of(site: &Site, path: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let sign = if path.contains('?') { '&' } else { '?' };
    let mut page = format!("{path}{sign}limit={limit}");
    for _ in 0..100 {
        let answer = site.get(&page).await.is(200);
        let told = answer.json();
        let some = told["items"].as_array().unwrap().clone();
        assert!(some.len() <= limit);
        items.extend(some);
        let Some(next) = told["next"].as_str() else {
            assert_eq!(answer.header("link"), None);
            return items;
        };
        let link = answer.header("link").unwrap();
        let target = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        assert_eq!(target, format!("{path}{sign}limit={limit}&after={next}"));
        page = target.to_owned();
    }
    panic!("{path} never ends");
}

/// The document, with which answers are compared.
pub(super) struct Document(Value);

impl Document {
    pub(super) async fn of(site: &Site) -> Self {
        Self(site.get("/api/openapi.json").await.is(200).json())
    }

    /// Holds an answer against what the document says of it, and hands it on.
    #[track_caller]
    pub(super) fn holds(&self, method: &str, path: &str, answer: Answer) -> Answer {
        let operation = &self.0["paths"][path][method.to_lowercase()];
        assert!(operation.is_object(), "{method} {path} is in the document");
        let mut described = &operation["responses"][answer.status.to_string()];
        assert!(described.is_object(), "{method} {path} may answer {}", answer.status);
        if let Some(place) = described["$ref"].as_str() {
            described = self.0.pointer(place.strip_prefix('#').unwrap()).unwrap();
        }
        let Some(media) = answer.header("content-type") else {
            assert!(
                described.get("content").is_none() && answer.bytes.is_empty(),
                "{method} {path} has a body"
            );
            return answer;
        };
        let schema = json!({
            "allOf": [described["content"][media]["schema"]],
            "components": self.0["components"],
        });
        assert!(schema["allOf"][0].is_object(), "{method} {path} may answer {} in {media}", answer.status);
        let schema = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let told = answer.json();
        let wrong: Vec<String> =
            schema.iter_errors(&told).map(|error| format!("{error} at {}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{method} {path}: {wrong:?} in {told}");
        answer
    }
}
