//! Each rule, broken in a small house of its own.

use std::path::PathBuf;

use super::House;

/// Builds a house of these files and says what tidy finds in it.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut house = House::new(folder.path(), files.iter().map(|(path, _)| PathBuf::from(path)).collect());
    house.check().unwrap();
    house.findings.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn finds(files: &[(&str, &str)], what: &str) {
    let found = findings(files);
    assert!(found.iter().any(|finding| finding.contains(what)), "not {what:?}, but {found:?}");
}

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\ndescription = \"d\"\n[lints]\nworkspace = true\n{rest}")
}

#[test]
fn a_tidy_house_is_in_order() {
    let core = manifest("flightdeck-core", "[dependencies]\nserde = \"1\"\n");
    let files = [
        ("crates/flightdeck-core/Cargo.toml", core.as_str()),
        ("crates/flightdeck-core/src/lib.rs", "//! Words.\n"),
    ];
    assert_eq!(findings(&files), Vec::<String>::new());
}

#[test]
fn layers_are_kept() {
    let up = manifest("flightdeck-core", "[dependencies]\nflightdeck-store.workspace = true\n");
    finds(
        &[("crates/flightdeck-core/Cargo.toml", &up)],
        "Cargo.toml:7: flightdeck-core may not use flightdeck-store",
    );
    let sql = manifest("flightdeck-store", "[dependencies]\nrusqlite = \"0\"\n");
    finds(&[("crates/flightdeck-store/Cargo.toml", &sql)], "only an adapter knows a database");
    let web = manifest("flightdeck-projections", "[build-dependencies]\nactix-web = \"4\"\n");
    finds(
        &[("crates/flightdeck-projections/Cargo.toml", &web)],
        "flightdeck-projections may not use actix-web",
    );
    let impure = manifest("flightdeck-domain", "[dependencies]\ntokio = \"1\"\n");
    finds(&[("crates/flightdeck-domain/Cargo.toml", &impure)], "flightdeck-domain is pure");
    let strange = manifest("flightdeck-misc", "");
    finds(&[("crates/flightdeck-misc/Cargo.toml", &strange)], "not in the table of layers");
}

#[test]
fn tests_may_use_what_they_like() {
    let dev =
        manifest("flightdeck-store", "[dev-dependencies]\nflightdeck-store-contract.workspace = true\n");
    assert_eq!(findings(&[("crates/flightdeck-store/Cargo.toml", &dev)]), Vec::<String>::new());
}

#[test]
fn crates_keep_names_and_lints() {
    finds(&[("crates/core/Cargo.toml", &manifest("flightdeck-core", ""))], "its folder is not");
    finds(
        &[("crates/flightdeck-core/Cargo.toml", "[package]\nname = \"flightdeck-core\"\n")],
        "lints of the workspace",
    );
}

#[test]
fn the_top_level_is_closed() {
    finds(&[("notes.txt", "x")], "top level");
    finds(&[("docs/a.md", "x")], "top level");
    assert!(findings(&[("clippy.toml", "# x"), (".gitignore", "x"), ("README.md", "x")]).is_empty());
}

#[test]
fn files_say_what_they_are_and_have_names_that_say_so() {
    finds(&[("crates/a/src/b.rs", "fn main() {}\n")], "b.rs:1: the first line");
    finds(&[("migrations/sqlite/0001_x.sql", "CREATE TABLE a (b);\n")], "the first line");
    finds(&[("crates/a/src/utils.rs", "//! x\n")], "utils says nothing");
    finds(&[("crates/a/src/b/mod.rs", "//! x\n")], "mod says nothing");
}

#[test]
fn long_files_and_unfinished_work_are_found() {
    finds(&[("crates/a/src/b.rs", &format!("//! x\n{}", "\n".repeat(900)))], "lines are too many");
    for unfinished in
        [concat!("to", "do!()"), concat!("#[ign", "ore]"), concat!("#[al", "low(x)]"), concat!("// TO", "DO")]
    {
        finds(&[("crates/a/src/b.rs", &format!("//! x\n{unfinished}\n"))], "b.rs:2: has `");
    }
}

#[test]
fn twins_have_the_same_files() {
    let (one, other) = ("crates/flightdeck-store-sqlite/src", "crates/flightdeck-store-postgres/src");
    let file = |folder: &str, name: &str| format!("{folder}/{name}");
    let (a, b, c) = (file(one, "writer.rs"), file(other, "writer.rs"), file(one, "reader.rs"));
    finds(&[(&a, "//! x"), (&b, "//! x"), (&c, "//! x")], "reader.rs:1: has no twin");
    assert!(findings(&[(&a, "//! x"), (&c, "//! x")]).is_empty(), "one twin alone is no pair");
}

#[test]
fn what_is_linked_and_why_is_looked_at() {
    let lock =
        "[[package]]\nname = \"h2\"\nversion = \"0.3.26\"\n[[package]]\nname = \"h2\"\nversion = \"0.4.1\"\n";
    let found = findings(&[("Cargo.lock", lock)]);
    assert_eq!(found.len(), 1, "{found:?}");
    let workspace = "# x\n[workspace.dependencies]\nserde = \"1\"\nbytes = \"1\"\n";
    finds(
        &[("Cargo.toml", workspace), ("ARCHITECTURE.md", "`serde`: for JSON")],
        "Cargo.toml:4: bytes has no reason",
    );
}
