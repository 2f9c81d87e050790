//! Browsers and clients of npm follow the log while the server is killed: each gets every event exactly once and in order.

use std::process::Command;

use anyhow::Result;

use super::Ground;
use crate::cargo::{check, root};
use crate::debian;

pub(super) fn run(ground: &Ground) -> Result<()> {
    let node = ground.npm("push.json")?;
    let mut script = Command::new("node");
    script.current_dir(&node).arg(root()?.join("tests/foreign/push.mjs"));
    script.arg(&ground.binary).arg(ground.fresh("push")?);
    debian::need("chromium")?;
    script.env("CHROMIUM", "chromium").env_remove("FIREFOX");
    match debian::need("firefox-esr") {
        Ok(()) => {
            script.env("FIREFOX", "firefox-esr");
        }
        Err(error) => println!("Firefox can't be had here, and is left out: {error:#}"),
    }
    check(&mut script)
}
