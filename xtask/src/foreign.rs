//! The proofs with other people's programs: each installs what it needs, and talks to the binary as it is shipped, on both stores.

mod cloud_events;
mod push;
mod schemathesis;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{check, root, target};
use crate::debian::{install, need};

/// A proof.
struct Proof {
    name: &'static str,
    run: fn(&Ground) -> Result<()>,
}

/// All of them.
const PROOFS: &[Proof] = &[
    Proof { name: "schemathesis", run: schemathesis::run },
    Proof { name: "cloudevents", run: cloud_events::run },
    Proof { name: "push", run: push::run },
];

/// What proofs stand on.
pub(crate) struct Ground {
    /// The binary as it is shipped.
    binary: PathBuf,
    /// A database that is nobody else's.
    postgres: String,
    /// Where things are kept between two runs.
    folder: PathBuf,
}

/// Runs the proofs whose names contain `filter`, or without one those that want no naming; returns how many passed.
pub(crate) fn run(binary: &Path, postgres: &str, filter: Option<&str>) -> Result<u64> {
    let folder = target()?.join("xtask/foreign");
    std::fs::create_dir_all(&folder)?;
    let ground = Ground { binary: binary.to_owned(), postgres: postgres.to_owned(), folder };
    let mut passed = 0;
    let wanted = |proof: &&Proof| filter.is_none_or(|filter| proof.name.contains(filter));
    for proof in PROOFS.iter().filter(wanted) {
        println!("== foreign: {}", proof.name);
        (proof.run)(&ground).with_context(|| format!("the proof with {} failed", proof.name))?;
        passed += 1;
    }
    Ok(passed)
}

impl Ground {
    /// Where a proof keeps its own things, empty.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The programs of a Python that has what a list of packages names; `list` is a file in `tests/foreign`.
    fn python(&self, list: &str) -> Result<PathBuf> {
        let list = root()?.join("tests/foreign").join(list);
        let wanted =
            std::fs::read_to_string(&list).with_context(|| format!("can't read {}", list.display()))?;
        let folder = self.folder.join("python").join(list.file_stem().context("a list has a name")?);
        let (programs, installed) = (folder.join("bin"), folder.join("installed.txt"));
        if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
            return Ok(programs);
        }
        let make = || check(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        if make().is_err() {
            println!("Python has no venv; trying Debian's package");
            install("python3-venv")?;
            make()?;
        }
        let mut pip = Command::new(programs.join("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        check(pip.arg(&list))?;
        std::fs::write(installed, wanted)?;
        Ok(programs)
    }

    /// A folder where node finds what a list of packages names; `list` is a file in `tests/foreign`.
    fn npm(&self, list: &str) -> Result<PathBuf> {
        let list = root()?.join("tests/foreign").join(list);
        let wanted =
            std::fs::read_to_string(&list).with_context(|| format!("can't read {}", list.display()))?;
        let folder = self.folder.join("node").join(list.file_stem().context("a list has a name")?);
        let installed = folder.join("installed.json");
        if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
            return Ok(folder);
        }
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("package.json"), &wanted)?;
        need("npm")?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
        check(npm.current_dir(&folder))?;
        std::fs::write(installed, wanted)?;
        Ok(folder)
    }

    /// A server on that store, as the binary is shipped.
    fn serve(&self, store: &str, log: &Path) -> Result<Served> {
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--store", store]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(log)?);
        let mut child = command.spawn().context("the binary can't be started")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("the server has no output")?).read_line(&mut line)?;
        match line.trim().strip_prefix("flightdeck ready on ") {
            Some(url) => Ok(Served { child, url: url.to_owned() }),
            None => {
                drop(child.kill());
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("the server did not start ({}): {said}", child.wait()?)
            }
        }
    }
}

/// A server, which ends when this is dropped.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    /// Fails when the server is not there any more.
    fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server has ended ({status})"),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
