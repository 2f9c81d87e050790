//! What CI runs, in order; the tests come last, and their summary is the last line.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::cargo::{cargo, check, root};
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
        let package = ["package", "--workspace", "--exclude", "xtask", "--exclude", "flightdeck-tests"];
        check(cargo(package)?.args(["--locked", "--allow-dirty"]))
    }),
    ("deny", deny::run),
];

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
