//! The layers: which crate may use which, and which may know a database or a web framework.

use std::path::Path;

use anyhow::Result;

use super::House;
use super::house::manifests;

/// Every crate of ours, and which of ours it may use. The table of ARCHITECTURE.md, for the machine.
const ALLOWED: [(&str, &[&str]); 18] = [
    ("flightdeck-core", &[]),
    ("flightdeck-migrations", &[]),
    ("flightdeck-domain", &["flightdeck-core"]),
    ("flightdeck-analytics", &["flightdeck-core"]),
    ("flightdeck-sync", &["flightdeck-core"]),
    ("flightdeck-store", &["flightdeck-core"]),
    ("flightdeck-store-contract", &["flightdeck-store", "flightdeck-core"]),
    ("flightdeck-projections", &["flightdeck-store", "flightdeck-core"]),
    (
        "flightdeck-views",
        &[
            "flightdeck-projections",
            "flightdeck-domain",
            "flightdeck-analytics",
            "flightdeck-sync",
            "flightdeck-store",
            "flightdeck-core",
        ],
    ),
    ("flightdeck-store-sqlite", &["flightdeck-store", "flightdeck-core", "flightdeck-migrations"]),
    ("flightdeck-store-postgres", &["flightdeck-store", "flightdeck-core", "flightdeck-migrations"]),
    ("flightdeck-wire", &["flightdeck-core"]),
    (
        "flightdeck-server",
        &[
            "flightdeck-wire",
            "flightdeck-views",
            "flightdeck-projections",
            "flightdeck-domain",
            "flightdeck-analytics",
            "flightdeck-sync",
            "flightdeck-store",
            "flightdeck-core",
        ],
    ),
    ("flightdeck-client", &["flightdeck-wire", "flightdeck-store", "flightdeck-core"]),
    ("flightdeck-test-postgres", &[]),
    ("flightdeck", &[EVERYTHING]),
    ("flightdeck-tests", &[EVERYTHING]),
    ("xtask", &[]),
];

const EVERYTHING: &str = "*";

/// What only some crates may use: the beginning of a dependency's name, and who may.
const RESERVED: [(&str, &[&str]); 8] = [
    ("rusqlite", &["flightdeck-store-sqlite", "flightdeck-tests"]),
    ("r2d2", &["flightdeck-store-sqlite"]),
    ("libsqlite3-sys", &["flightdeck-store-sqlite"]),
    ("tokio-postgres", &["flightdeck-store-postgres", "flightdeck-tests"]),
    ("deadpool", &["flightdeck-store-postgres"]),
    ("actix", &["flightdeck-server", "flightdeck"]),
    ("sqlx", &[]),
    ("diesel", &[]),
];

/// Crates that do no IO and are not async, and what they therefore may not use.
const PURE: [&str; 4] = ["flightdeck-core", "flightdeck-domain", "flightdeck-analytics", "flightdeck-sync"];
const NOT_PURE: [&str; 6] = ["tokio", "async-trait", "futures", "rand", "getrandom", "reqwest"];

/// What must not be in the tree at all: name and the beginning of its version.
const FORBIDDEN: [(&str, &str); 6] = [
    ("openssl-sys", ""),
    ("aws-lc-sys", ""),
    ("chrono", ""),
    ("serde_yaml", ""),
    ("actix-governor", ""),
    ("h2", "0.3"),
];

pub(super) fn check(house: &mut House) -> Result<()> {
    for manifest in manifests(house) {
        let text = house.read(&manifest)?;
        let table: toml::Table = text.parse()?;
        let name = table["package"].get("name").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            house.found(&manifest, 1, format!("{name} is not in the table of layers: give it a place there"));
            continue;
        };
        for dependency in dependencies(&table) {
            let line = line_of(&text, &dependency);
            if let Some(problem) = problem(&name, allowed, &dependency) {
                house.found(&manifest, line, problem);
            }
        }
    }
    lock(house)?;
    reasons(house)
}

/// Names of what a crate is built with. What only its tests use is not looked at: tests may know everything.
fn dependencies(table: &toml::Table) -> Vec<String> {
    let tables =
        ["dependencies", "build-dependencies"].into_iter().filter_map(|kind| table.get(kind)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

fn problem(name: &str, allowed: &[&str], dependency: &str) -> Option<String> {
    let ours = ALLOWED.iter().any(|(known, _)| *known == dependency) || dependency.starts_with("flightdeck");
    if ours && !allowed.contains(&dependency) && !allowed.contains(&EVERYTHING) {
        return Some(format!("{name} may not use {dependency}: it lies above or beside it"));
    }
    let reserved = RESERVED.iter().find(|(prefix, _)| dependency.starts_with(prefix));
    if reserved.is_some_and(|(_, may)| !may.contains(&name)) {
        return Some(format!(
            "{name} may not use {dependency}: only an adapter knows a database, only the server the web"
        ));
    }
    let impure = NOT_PURE.iter().any(|prefix| dependency.starts_with(prefix));
    (PURE.contains(&name) && impure).then(|| format!("{name} is pure, and {dependency} is not"))
}

fn line_of(text: &str, what: &str) -> usize {
    text.lines().position(|line| line.starts_with(what)).map_or(1, |line| line + 1)
}

/// What the lock file says is linked in the end.
fn lock(house: &mut House) -> Result<()> {
    let path = Path::new("Cargo.lock");
    if !house.root.join(path).exists() {
        return Ok(());
    }
    let lock: toml::Table = house.read(path)?.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    for package in packages {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let (name, version) = (text("name"), text("version"));
        if FORBIDDEN.iter().any(|(forbidden, from)| *forbidden == name && version.starts_with(from)) {
            house.found(path, 1, format!("{name} {version} is not allowed in: see ARCHITECTURE.md"));
        }
    }
    Ok(())
}

/// Every dependency of the workspace has its reason in ARCHITECTURE.md.
fn reasons(house: &mut House) -> Result<()> {
    let (manifest, why) = (Path::new("Cargo.toml"), Path::new("ARCHITECTURE.md"));
    if !house.root.join(manifest).exists() || !house.root.join(why).exists() {
        return Ok(());
    }
    let (text, why) = (house.read(manifest)?, house.read(why)?);
    let table: toml::Table = text.parse()?;
    let all = table.get("workspace").and_then(|workspace| workspace.get("dependencies")?.as_table()).cloned();
    for name in all.unwrap_or_default().keys().filter(|name| !name.starts_with("flightdeck")) {
        if !why.contains(&format!("`{name}`")) {
            house.found(manifest, line_of(&text, name), format!("{name} has no reason in ARCHITECTURE.md"));
        }
    }
    Ok(())
}
