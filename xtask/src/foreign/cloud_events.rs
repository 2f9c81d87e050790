//! The CloudEvents SDKs of Python and npm read our log and write events into it, on both stores.

use std::process::Command;

use anyhow::Result;

use super::Ground;
use crate::cargo::{check, root};

pub(super) fn run(ground: &Ground) -> Result<()> {
    let (python, node) = (ground.python("cloud_events.txt")?, ground.npm("cloud_events.json")?);
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
