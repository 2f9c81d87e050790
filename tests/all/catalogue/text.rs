//! The catalogue of stored events, as text.

use flightdeck_core::StoredType;
use serde_json::Value;

pub(super) fn head(limits: &[(&str, usize)]) -> String {
    let mut head = "# Stored events\n\nMade from the code by `cargo xtask codegen`. Each shape is in `schemas/` as well, as a JSON Schema; \
     the old ones too, for events are read for ever. Data is JSON; a field that is not required may be absent.\n"
        .to_owned();
    head.push_str("\n| limit | at most |\n| --- | --- |\n");
    for (what, most) in limits {
        head.push_str(&format!("| {what} | {most} |\n"));
    }
    head
}

pub(super) fn aggregate(category: &str, marks: &[&str]) -> String {
    let tags: Vec<String> = marks.iter().map(|key| format!("`{key}:…`")).collect();
    let tags = match tags.as_slice() {
        [] => String::new(),
        tags => format!(", tags {}", tags.join(" and ")),
    };
    format!(
        "\n## {category}\n\nStreams `{category}-…`{tags}: written by the commands of this aggregate only.\n"
    )
}

pub(super) fn event(stored: &StoredType, schema: &Value, example: &Value) -> String {
    let newest = stored.schema().get();
    let numbers = match newest {
        1 => "Schema 1.".to_owned(),
        _ => {
            format!("Schema {newest}; {} to {} are read as it.", 1, newest - 1).replace("1 to 1 are", "1 is")
        }
    };
    let about = schema["description"].as_str().unwrap();
    let mut text = format!("\n### {}\n\n{about} {numbers}\n\n", stored.name);
    text.push_str("| field | required | what | kind |\n| --- | --- | --- | --- |\n");
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().unwrap() {
        let needed = if required.contains(&name.as_str()) { "yes" } else { "" };
        let personal = stored.personal.iter().any(|pointer| pointer.strip_prefix('/') == Some(name));
        let personal = if personal { " Personal." } else { "" };
        let about = field["description"].as_str().unwrap_or_default();
        text.push_str(&format!("| `{name}` | {needed} | {about}{personal} | {} |\n", kind(field)));
    }
    text.push_str(&format!("\n```json\n{example}\n```\n"));
    text
}

/// What a field holds, in a few words.
fn kind(field: &Value) -> String {
    if let Some(choices) = field["oneOf"].as_array().or(field["anyOf"].as_array()) {
        let of_each: Vec<String> = choices.iter().map(choice).collect();
        return of_each.join(" or ");
    }
    if let Some(values) = field["enum"].as_array() {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
    }
    let limit = |name: &str| field[name].as_u64();
    match &field["type"] {
        Value::Array(kinds) => {
            let or_null = if kinds.contains(&Value::from("null")) { " or null" } else { "" };
            let mut one = field.clone();
            one["type"] = kinds[0].clone();
            format!("{}{or_null}", kind(&one))
        }
        Value::String(kind) if kind == "array" => {
            let most = limit("maxItems").map_or(String::new(), |most| format!(", at most {most}"));
            format!("list of {}{most}", self::kind(&field["items"]))
        }
        Value::String(kind) if kind == "string" => {
            let form = field["format"].as_str().map_or(String::new(), |form| format!(", {form}"));
            let most = limit("maxLength").map_or(String::new(), |most| format!(", at most {most}"));
            // A pattern that fits into a table says more than words do.
            let pattern = field["pattern"].as_str().filter(|pattern| pattern.len() < 60);
            let pattern =
                pattern.map_or(String::new(), |pattern| format!(", `{}`", pattern.replace('|', "\\|")));
            format!("text{form}{most}{pattern}")
        }
        Value::String(kind) => kind.clone(),
        other => other.to_string(),
    }
}

/// One of several things that a field may hold.
fn choice(field: &Value) -> String {
    match (&field["const"], &field["properties"]["type"]["const"], &field["type"]) {
        (value @ Value::String(_), ..) => format!("`{value}`"),
        (_, Value::String(kind), _) => {
            let fields = field["properties"].as_object().unwrap();
            let fields: Vec<String> =
                fields.keys().filter(|name| *name != "type").map(|name| format!("`{name}`")).collect();
            format!("{kind} ({})", fields.join(", "))
        }
        (.., Value::String(kind)) if kind == "null" => "null".to_owned(),
        _ => kind(field),
    }
}
