//! Schemathesis: makes requests of the OpenAPI document, good ones and bad ones and chains of them, and holds every answer against it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Ground;
use crate::cargo::{root, text};

/// How many of a hundred answers must be successes: else only refusals would be tried.
const SUCCESSES_PERCENT_MIN: u64 = 30;

pub(super) fn run(ground: &Ground) -> Result<()> {
    let programs = ground.python("schemathesis.txt")?;
    let folder = ground.fresh("schemathesis")?;
    let sqlite = format!("sqlite:{}", folder.join("store.db").display());
    let all = ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "100"];
    // On PostgreSQL the same routes stand on the same port; what differs is found with less.
    let some = ["--phases", "examples,fuzzing,stateful", "--max-examples", "10"];
    for (name, store, how) in [("sqlite", sqlite.as_str(), all), ("postgres", ground.postgres.as_str(), some)]
    {
        let log = folder.join(format!("{name}.log"));
        let mut served = ground.serve(store, &log)?;
        let report = folder.join(format!("{name}.har"));
        let mut command = Command::new(programs.join("st"));
        command.arg("--config-file").arg(root()?.join("tests/foreign/schemathesis.toml"));
        command.args(["run", &format!("{}/api/openapi.json", served.url)]).args(how);
        command.args(["--report", "har", "--report-har-path"]).arg(&report).current_dir(&folder);
        println!("$ {}", text(&command));
        let status = command.status().context("schemathesis can't be run")?;
        let counted = count(&report)?;
        println!("{name}: {counted}");
        served.still_runs()?;
        if !status.success() {
            bail!("schemathesis found something on {name}; the server's log is {}", log.display());
        }
        if counted.successes() * 100 < counted.all() * SUCCESSES_PERCENT_MIN {
            bail!("fewer than {SUCCESSES_PERCENT_MIN} % of the answers on {name} are successes");
        }
    }
    Ok(())
}

/// How often which status was answered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted(BTreeMap<u64, u64>);

impl Counted {
    fn all(&self) -> u64 {
        self.0.values().sum()
    }

    fn successes(&self) -> u64 {
        self.0.range(200..300).map(|(_, many)| many).sum()
    }
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = (self.successes() * 100).checked_div(self.all()).unwrap_or(0);
        write!(f, "{} answers, {percent} % successes (", self.all())?;
        for (place, (status, many)) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { ", " };
            write!(f, "{between}{status}: {many}")?;
        }
        f.write_str(")")
    }
}

/// Counts the answers in a report.
fn count(report: &Path) -> Result<Counted> {
    let bytes = std::fs::read(report).with_context(|| format!("there is no report {}", report.display()))?;
    of(&serde_json::from_slice(&bytes).context("the report is no JSON")?)
}

fn of(report: &Value) -> Result<Counted> {
    let entries = report["log"]["entries"].as_array().context("the report has no entries")?;
    let mut counted = Counted::default();
    for entry in entries {
        let status = entry["response"]["status"].as_u64().context("an entry has no status")?;
        *counted.0.entry(status).or_default() += 1;
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn answers_are_counted_by_their_status() {
        let entry = |status: u64| json!({ "response": { "status": status } });
        let report = json!({ "log": { "entries": [entry(200), entry(404), entry(201), entry(400)] } });
        let counted = super::of(&report).unwrap();
        assert_eq!((counted.all(), counted.successes()), (4, 2));
        assert_eq!(counted.to_string(), "4 answers, 50 % successes (200: 1, 201: 1, 400: 1, 404: 1)");
        assert!(super::of(&json!({})).is_err());
    }
}
