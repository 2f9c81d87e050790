//! Programs that a chore needs and this machine may not have: they come as Debian's packages.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo::check;

/// Installs a package, which only root may.
pub(crate) fn install(package: &str) -> Result<()> {
    let apt = |arguments: &[&str]| {
        check(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])
        .and_then(|()| apt(&["install", "-y", "-qq", "--no-install-recommends", package]))
        .with_context(|| format!("install {package} (on Debian: apt-get install {package})"))
}

/// Sees to it that a program is there whose package has its name.
pub(crate) fn need(program: &str) -> Result<()> {
    let mut ask = Command::new(program);
    ask.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if ask.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("{program} is not installed; trying Debian's package");
    install(program)
}
