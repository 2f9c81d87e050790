//! The list of rules for readers, `RULES.md`: made from the list that runs, and checked against it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use flightdeck_store_contract::saboteur::{Sabotage, ViewSabotage};
use flightdeck_store_contract::{Rule, rules, view_rules};

#[test]
fn codegen_rules() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("RULES.md");
    let document = document();
    if std::env::var("FLIGHTDECK_CODEGEN").is_ok_and(|mode| mode == "write") {
        fs::write(&file, document).unwrap();
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == document, "RULES.md is not what the rules say: run cargo xtask codegen");
}

fn document() -> String {
    let log = part("an event store", rules(), Sabotage::ALL.len(), "src");
    let views = part("a store of views", view_rules(), ViewSabotage::ALL.len(), "src/view");
    format!("<!-- Made by `cargo xtask codegen` from the rules; do not edit. -->\n\n{log}\n{views}")
}

/// The rules of one kind of store, whose sentences stand in that folder.
fn part<S: ?Sized>(of: &str, rules: &[Rule<S>], saboteurs: usize, folder: &str) -> String {
    let mut text = format!(
        "# The rules of {of}\n\n\
         {} rules, each a test that every store passes, and {saboteurs} saboteurs that show that they go red.\n",
        rules.len(),
    );
    let mut group = "";
    for rule in rules {
        if rule.group != group {
            group = rule.group;
            write!(text, "\n## {group}\n\n| {group} | what it says |\n| --- | --- |\n").unwrap();
        }
        let name = rule.name.trim_start_matches(group).trim_start_matches("::");
        writeln!(text, "| `{name}` | {} |", sentences(folder, group)[name]).unwrap();
    }
    text
}

/// The doc comment of every rule of a group, by the rule's name.
fn sentences(folder: &str, group: &str) -> BTreeMap<String, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{group}.rs"));
    let source = fs::read_to_string(file).unwrap();
    let (mut sentences, mut said) = (BTreeMap::new(), Vec::new());
    for line in source.lines() {
        if let Some(words) = line.strip_prefix("/// ") {
            said.push(words);
            continue;
        }
        if let Some((name, _)) =
            line.strip_prefix("pub(crate) async fn ").and_then(|rest| rest.split_once('('))
        {
            assert!(!said.is_empty(), "{group}::{name} does not say what it is for");
            sentences.insert(name.to_owned(), said.join(" ").replace('|', "\\|"));
        }
        said.clear();
    }
    sentences
}
