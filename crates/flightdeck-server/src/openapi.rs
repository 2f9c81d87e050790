//! The OpenAPI document: made of the operations that are served, so that it can't say anything else than they do.

use std::collections::BTreeSet;

use flightdeck_wire::problem::Problem;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::operation::{Answered, Operation, Place};

/// Headers of answers: what each says.
const HEADERS: [(&str, &str, &str); 8] = [
    ("ETag", "The version, in quotes.", "string"),
    ("FlightDeck-Position", "Up to where the log has to be read to see what was written.", "string"),
    ("FlightDeck-Duplicate", "`true` when this was done before, and nothing was done now.", "string"),
    ("Location", "Where it is found.", "string"),
    ("Cache-Control", "That nobody keeps it.", "string"),
    ("Link", "The next page, as `rel=\"next\"`.", "string"),
    ("Set-Cookie", "The visitor, as long as the browser does not know who it is.", "string"),
    ("Retry-After", "After how many seconds it is worth another try.", "integer"),
];

/// The document of these operations, as JSON with two spaces.
#[must_use]
pub fn document(operations: &[Operation]) -> String {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_lowercase()] = described(operation, &mut generator);
    }
    let problem = generator.subschema_for::<Problem>();
    let schemas = generator.take_definitions(true);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "FlightDeck",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "An event-sourced platform: an append-only log, views of it, and what visitors do.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "It was not done; the type says why.",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "headers": HEADERS.map(|(name, about, kind)| {
                (name.to_owned(), json!({ "description": about, "schema": { "type": kind } }))
            }).into_iter().collect::<Map<String, Value>>(),
        },
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn described(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut parameters = Vec::new();
    for parameter in &operation.parameters {
        let place = match parameter.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        parameters.push(json!({
            "name": parameter.name, "in": place, "description": parameter.about,
            "required": parameter.place == Place::Path, "schema": (parameter.schema)(generator),
        }));
    }
    let mut answers = Map::new();
    for answer in &operation.answers {
        answers.insert(answer.status.to_string(), answered(answer, generator));
    }
    for status in operation.refusals.iter().collect::<BTreeSet<_>>() {
        answers
            .entry(status.to_string())
            .or_insert_with(|| json!({ "$ref": "#/components/responses/Problem" }));
    }
    let mut described = json!({
        "operationId": operation.id, "summary": operation.about, "tags": [operation.group], "responses": answers,
    });
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    if !operation.bodies.is_empty() {
        let content: Map<String, Value> = operation
            .bodies
            .iter()
            .map(|(media, schema)| ((*media).to_owned(), json!({ "schema": schema(generator) })))
            .collect();
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    described
}

fn answered(answer: &Answered, generator: &mut SchemaGenerator) -> Value {
    let mut described = json!({ "description": answer.about });
    if !answer.bodies.is_empty() {
        let content: Map<String, Value> = answer
            .bodies
            .iter()
            .map(|(media, schema)| ((*media).to_owned(), json!({ "schema": schema(generator) })))
            .collect();
        described["content"] = json!(content);
    }
    if !answer.headers.is_empty() {
        let headers: Map<String, Value> = answer
            .headers
            .iter()
            .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
            .collect();
        described["headers"] = json!(headers);
    }
    described
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::routes;

    #[test]
    fn codegen_openapi() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let document = super::document(&routes::operations());
        if std::env::var_os("FLIGHTDECK_CODEGEN").is_some_and(|what| what == "write") {
            std::fs::write(path, &document).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(committed == document, "openapi.json is not what the routes say: run cargo xtask codegen");
    }

    #[test]
    fn operations_are_told_apart_and_all_say_what_they_answer() {
        let mut names = BTreeSet::new();
        for operation in routes::operations() {
            assert!(names.insert(operation.id), "{} is there twice", operation.id);
            assert!(!operation.answers.is_empty(), "{} answers nothing", operation.id);
            let in_path = operation.path.matches('{').count();
            let told = operation.parameters.iter().filter(|parameter| parameter.place == super::Place::Path);
            assert_eq!(in_path, told.count(), "{} and the parts of its path", operation.id);
        }
    }
}
