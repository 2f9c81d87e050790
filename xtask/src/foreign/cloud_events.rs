//! The CloudEvents SDKs of Python and npm read our log and write events into it, on both stores.

use std::process::Command;

use anyhow::{Context, Result};

use super::Ground;
use crate::cargo::{check, root};
use crate::debian;

pub(super) fn run(ground: &Ground) -> Result<()> {
    let (python, node) = (ground.python("cloud_events.txt")?, npm(ground)?);
    let scripts = root()?.join("tests/foreign");
    let folder = ground.fresh("cloudevents")?;
    let sqlite = format!("sqlite:{}", folder.join("store.db").display());
    for (name, store) in [("sqlite", sqlite.as_str()), ("postgres", ground.postgres.as_str())] {
        let mut server = ground.serve(store, &folder.join(format!("{name}.log")))?;
        check(Command::new(python.join("python")).arg(scripts.join("cloud_events.py")).arg(&server.url))?;
        let mut script = Command::new("node");
        check(script.current_dir(&node).arg(scripts.join("cloud_events.mjs")).arg(&server.url))?;
        server.still_runs()?;
    }
    Ok(())
}

/// Where the SDK of npm is installed, as `tests/foreign/cloud_events.json` names it.
fn npm(ground: &Ground) -> Result<std::path::PathBuf> {
    let list = root()?.join("tests/foreign/cloud_events.json");
    let wanted = std::fs::read_to_string(&list).with_context(|| format!("can't read {}", list.display()))?;
    let folder = ground.folder.join("node/cloudevents");
    let installed = folder.join("installed.json");
    if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), &wanted)?;
    let npm = || {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder);
        check(&mut npm)
    };
    debian::need("npm")?;
    npm()?;
    std::fs::write(installed, wanted)?;
    Ok(folder)
}
