//! What CI runs, in order; the tests come last, and their summary is the last line.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cargo::{cargo, check, root, target};
use crate::{codegen, deny, test, tidy};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 7] = [
    ("format", || check(&mut cargo(["fmt", "--all", "--check"])?)),
    ("tidy", || tidy::run(&root()?)),
    ("clippy", || {
        check(&mut cargo(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"])?)
    }),
    ("codegen", || codegen(true)),
    ("docs", || {
        let mut doc = cargo(["doc", "--workspace", "--no-deps", "--locked"])?;
        check(doc.env("RUSTDOCFLAGS", "--deny warnings"))
    }),
    ("package", || {
        // That each crate can be published by itself: what is in the package, and that it names all it needs.
        forget_packages()?;
        let mut package = cargo(["package", "--workspace", "--locked", "--allow-dirty"])?;
        check(package.args(
            ["xtask", "flightdeck-tests", "flightdeck-test-postgres"].map(|name| format!("--exclude={name}")),
        ))
    }),
    ("deny", deny::run),
];

/// Cargo keeps what it has unpacked and built, and takes it for the package of that version for ever; ours change under one
/// version until they are published.
fn forget_packages() -> Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut folders = vec![target()?.join("debug/.fingerprint")];
    if let Ok(registries) = home.context("where is cargo's home?")?.join("registry/src").read_dir() {
        folders.extend(registries.flatten().map(|registry| registry.path()));
    }
    for package in folders.iter().flat_map(std::fs::read_dir).flatten() {
        let package = package?;
        if package.file_name().to_string_lossy().starts_with("flightdeck") {
            std::fs::remove_dir_all(package.path())?;
        }
    }
    Ok(())
}

pub(crate) fn run() -> Result<()> {
    let mut times = Vec::new();
    for (name, step) in STEPS {
        println!("== {name}");
        let begin = Instant::now();
        step().with_context(|| format!("{name} failed"))?;
        times.push((name, begin.elapsed()));
    }
    println!("== tests");
    let begin = Instant::now();
    let summary = test::run(None, true).context("tests failed")?;
    times.push(("tests", begin.elapsed()));
    for (name, took) in times {
        println!("{name:<8} {:>6.1} s", took.as_secs_f64());
    }
    println!("{summary}");
    Ok(())
}
