//! The test command: all tests of the workspace, on a database server of their own, and one summary at the end.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, check, target, text};
use crate::db::{self, Server};
use crate::debian;
use crate::foreign;
use crate::table::Table;

/// What the runs came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl Summary {
    /// Adds what a line of a test runner says, if it is one of its closing lines.
    fn read(&mut self, line: &str) {
        let Some(counts) = line.trim().strip_prefix("test result: ") else { return };
        for part in counts.split(['.', ';']) {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Runs all tests whose names contain `filter`. The summary is the caller's to print, last of all.
pub(crate) fn run(filter: Option<&str>, foreign: bool) -> Result<Summary> {
    // The README's commands are run as they stand there.
    debian::need("curl")?;
    let binaries = real_binaries()?;
    let server = Server::start()?;
    let (mut summary, mut table) = (Summary::default(), Table::default());
    let mut broken = Vec::new();
    let most = ["test", "--workspace", "--exclude", "flightdeck-tests", "--locked", "--no-fail-fast"];
    let runs: [(&[&str], &[&str]); 3] = [
        (&most, &["--lib", "--bins", "--tests", "--examples"]),
        (&most, &["--doc"]),
        (&["test", "--package", "flightdeck-tests", "--locked", "--no-fail-fast"], &[]),
    ];
    for (what, kinds) in runs {
        let mut command = cargo(what.iter().chain(kinds).copied())?;
        command.args(filter).envs(binaries.clone()).env(db::VARIABLE, server.url());
        if !count(&mut command, &mut summary, &mut table)? {
            broken.push(text(&command));
        }
    }
    if !table.is_empty() {
        println!("{table}");
        // With a filter, rules are left out on purpose.
        if filter.is_none() {
            table.check()?;
        }
    }
    if foreign {
        let [(_, binary), _] = &binaries;
        summary.passed += foreign::run(binary, server.url(), filter)?;
    }
    if !broken.is_empty() {
        bail!("{summary}; these failed: {}", broken.join(", "));
    }
    if summary.ignored > 0 {
        bail!("{} tests are ignored, and an ignored test counts as missing", summary.ignored);
    }
    if summary.passed == 0 {
        bail!("no test ran");
    }
    Ok(summary)
}

/// Builds the binary as it is shipped, and once more with kill points in it, and puts both where no later build replaces them.
fn real_binaries() -> Result<[(&'static str, PathBuf); 2]> {
    let folder = target()?.join("xtask");
    std::fs::create_dir_all(&folder)?;
    let build = |name: &str, features: &[&str]| {
        check(cargo(["build", "--package", "flightdeck", "--locked"])?.args(features))?;
        let (from, to) = (target()?.join("debug/flightdeck"), folder.join(name));
        std::fs::copy(&from, &to).with_context(|| format!("can't copy {}", from.display()))?;
        anyhow::Ok(to)
    };
    Ok([
        ("FLIGHTDECK_BIN", build("flightdeck", &[])?),
        ("FLIGHTDECK_BIN_FAULTS", build("flightdeck-faults", &["--features", "faults"])?),
    ])
}

/// Runs a command, shows what it says, and counts its tests. `false` when it failed.
fn count(command: &mut Command, summary: &mut Summary, table: &mut Table) -> Result<bool> {
    println!("$ {}", text(command));
    // One pipe for both: which program's tests a line is about, only the order of the lines says.
    let (output, into) = std::io::pipe()?;
    let mut child = command.stdout(into.try_clone()?).stderr(into).spawn()?;
    // The command holds the pipe's other end as well, and lines end only when nobody does.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(output).lines() {
        let line = line?;
        summary.read(&line);
        table.read(&line);
        println!("{line}");
    }
    Ok(child.wait()?.success())
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn closing_lines_are_added_up() {
        let mut summary = Summary::default();
        summary.read(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        );
        summary.read("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        summary.read("test a ... ok");
        assert_eq!(summary, Summary { passed: 13, failed: 2, ignored: 1 });
        assert_eq!(summary.to_string(), "13 passed, 2 failed");
    }
}
