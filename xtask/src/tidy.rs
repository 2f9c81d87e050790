//! What a machine can check about the house: layers, names, first lines, sizes. Every finding says what to do.

mod house;
mod layers;
mod text;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    path: PathBuf,
    line: usize,
    what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.what)
    }
}

/// The repository, as far as tidy looks at it.
pub(crate) struct House {
    root: PathBuf,
    /// Every file that git tracks or would track, relative to the root.
    files: Vec<PathBuf>,
    findings: Vec<Finding>,
}

impl House {
    fn new(root: &Path, files: Vec<PathBuf>) -> Self {
        Self { root: root.to_owned(), files, findings: Vec::new() }
    }

    fn found(&mut self, path: impl Into<PathBuf>, line: usize, what: impl Into<String>) {
        self.findings.push(Finding { path: path.into(), line, what: what.into() });
    }

    fn read(&self, path: &Path) -> Result<String> {
        let path = self.root.join(path);
        std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
    }

    fn files_ending(&self, ending: &str) -> Vec<PathBuf> {
        self.files
            .iter()
            .filter(|path| path.extension().is_some_and(|found| found == ending))
            .cloned()
            .collect()
    }

    fn check(&mut self) -> Result<()> {
        house::check(self)?;
        layers::check(self)?;
        text::check(self)
    }
}

/// Checks the repository at `root`, and fails with everything that is not as it should be.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut house = House::new(root, files(root)?);
    house.check()?;
    for finding in &house.findings {
        eprintln!("{finding}");
    }
    match house.findings.len() {
        0 => {
            println!("tidy: {} files are in order", house.files.len());
            Ok(())
        }
        some => bail!("tidy found {some} things to mend"),
    }
}

/// What git tracks, and what it would track if it were added.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let list = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .output();
    let list = list.context("git can't be run")?;
    if !list.status.success() {
        bail!("git does not list the files: {}", String::from_utf8_lossy(&list.stderr));
    }
    let names = String::from_utf8(list.stdout)?;
    let files = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(files.filter(|path| root.join(path).exists()).collect())
}
