//! Licences, bans and sources of the dependencies, by cargo-deny. Advisories need a network of their own and are not asked.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo, check, root, target};

const VERSION: &str = "0.20.2";

pub(crate) fn run() -> Result<()> {
    let program = find()?;
    check(
        Command::new(program).current_dir(root()?).args(["--locked", "check", "licenses", "bans", "sources"]),
    )
}

/// The program: on the path, or built once beside everything else that is built.
fn find() -> Result<PathBuf> {
    let there = Command::new("cargo-deny").arg("--version").output();
    if there.is_ok_and(|output| output.status.success()) {
        return Ok("cargo-deny".into());
    }
    let tools = target()?.join("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        let mut install = cargo(["install", "cargo-deny", "--version", VERSION, "--locked", "--root"])?;
        check(install.arg(&tools))?;
    }
    Ok(program)
}
