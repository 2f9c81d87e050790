//! Where things lie: the top level, the folders of crates, names that say nothing, twins that must look alike.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::House;

/// What may lie at the top level, beside dotfiles and tool settings (`*.toml`).
const TOP: [&str; 13] = [
    "Cargo.toml",
    "Cargo.lock",
    "crates",
    "migrations",
    "xtask",
    "tests",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["mod", "util", "utils", "common", "helpers", "manager"];

/// Folders whose files must have the same names, so that they can be read side by side.
const TWINS: [(&str, &str); 2] = [
    ("crates/flightdeck-store-sqlite/src", "crates/flightdeck-store-postgres/src"),
    ("migrations/sqlite", "migrations/postgres"),
];

/// Files that one of two twins has for itself, with the reason.
const ONLY_ONE_TWIN_HAS: [(&str, &str); 8] = [
    (
        "pace.rs",
        "SQLite's writer does large work on views bit by bit, between appends; PostgreSQL has to be held back",
    ),
    (
        "backup.rs",
        "a file can be copied in one snapshot; of a database our backup is an export, beside pg_dump",
    ),
    ("disk.rs", "PostgreSQL has its disk to itself"),
    (
        "inline.rs",
        "views are folded within the appends where one process writes; many nodes must not wait for that",
    ),
    ("lock.rs", "PostgreSQL is made for many processes"),
    ("wal.rs", "a database copies its log back by itself, and stops when that fails"),
    ("listener.rs", "what is appended by other nodes has to be heard of; a file has one process that writes"),
    ("history.rs", "a server may fail over to another history while it is in use"),
];

pub(super) fn check(house: &mut House) -> Result<()> {
    for path in house.files.clone() {
        let first = path.iter().next().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let setting = path.components().count() == 1 && first.ends_with(".toml");
        if !first.starts_with('.') && !setting && !TOP.contains(&first.as_str()) {
            house.found(&path, 1, "does not belong at the top level: see the house in ARCHITECTURE.md");
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_code = path.extension().is_some_and(|ending| ending == "rs");
        if is_code && EMPTY_NAMES.contains(&stem.as_str()) {
            house.found(&path, 1, format!("{stem} says nothing: name the file for what is in it"));
        }
    }
    crates(house)?;
    for (one, other) in TWINS {
        twins(house, one, other);
    }
    Ok(())
}

/// A crate under `crates/` is called as its folder is, and says what it is.
fn crates(house: &mut House) -> Result<()> {
    for manifest in manifests(house) {
        let table: toml::Table = house.read(&manifest)?.parse()?;
        let folder = manifest.parent().unwrap_or(Path::new(""));
        let name = table["package"].get("name").and_then(toml::Value::as_str).unwrap_or_default();
        if folder.starts_with("crates") && folder.file_name().is_none_or(|folder| folder != name) {
            house.found(&manifest, 1, format!("the crate is called {name}, and its folder is not"));
        }
        if table.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool)
            != Some(true)
        {
            house.found(
                &manifest,
                1,
                "does not keep the lints of the workspace: add `[lints] workspace = true`",
            );
        }
        if table["package"].get("description").is_none() {
            house.found(&manifest, 1, "has no description");
        }
    }
    Ok(())
}

/// The manifests of the crates, without the workspace's own.
pub(super) fn manifests(house: &House) -> Vec<PathBuf> {
    let is_manifest = |path: &&PathBuf| path.ends_with("Cargo.toml") && path.components().count() > 1;
    house.files.iter().filter(is_manifest).cloned().collect()
}

fn twins(house: &mut House, one: &str, other: &str) {
    let names = |folder: &str| -> BTreeSet<PathBuf> {
        let inside = house.files.iter().filter_map(|path| path.strip_prefix(folder).ok());
        inside.filter(|path| path.components().count() == 1).map(PathBuf::from).collect()
    };
    let (ours, theirs) = (names(one), names(other));
    if ours.is_empty() || theirs.is_empty() {
        return;
    }
    for name in ours.symmetric_difference(&theirs) {
        if ONLY_ONE_TWIN_HAS.iter().any(|(allowed, _)| name == Path::new(allowed)) {
            continue;
        }
        let (has, lacks) = if ours.contains(name) { (one, other) } else { (other, one) };
        house.found(Path::new(has).join(name), 1, format!("has no twin in {lacks}"));
    }
}
