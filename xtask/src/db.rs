//! A PostgreSQL server for as long as it is needed: for the tests, for benchmarks, and for a developer by hand.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::cargo;
use crate::debian;

/// The environment variable by which tests find the server that was started for them.
pub(crate) const VARIABLE: &str = "FLIGHTDECK_TEST_POSTGRES";

/// How the program ends that starts a server where PostgreSQL is not installed.
const NO_PROGRAMS: i32 = 69;

/// A server, which ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts a server; installs PostgreSQL first where there is none and that can be done.
    pub(crate) fn start() -> Result<Self> {
        match Self::try_start()? {
            Ok(server) => Ok(server),
            Err(Some(NO_PROGRAMS)) => {
                install()?;
                Self::try_start()?.ok().context("postgresql is installed, and does not start")
            }
            Err(_) => bail!("no PostgreSQL server for the tests"),
        }
    }

    /// `Err` is the exit code of a program that gave up.
    fn try_start() -> Result<Result<Self, Option<i32>>> {
        let mut command = cargo(["run", "--quiet", "--locked", "--package", "flightdeck-test-postgres"])?;
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().context("the server's program has no output")?)
            .read_line(&mut url)?;
        if url.is_empty() {
            return Ok(Err(child.wait()?.code()));
        }
        Ok(Ok(Self { child, url: url.trim().to_owned() }))
    }

    /// Where it is reached.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input is its order to end.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// Installs Debian's package.
fn install() -> Result<()> {
    println!("PostgreSQL is not installed; trying Debian's package");
    debian::install("postgresql").context("install PostgreSQL, or put its programs on the PATH")
}

/// A server to try things with, until the end of input.
pub(crate) fn by_hand() -> Result<()> {
    let run = || -> Result<Option<i32>> {
        let mut command = cargo(["run", "--quiet", "--package", "flightdeck-test-postgres"])?;
        Ok(command.status()?.code())
    };
    let mut code = run()?;
    if code == Some(NO_PROGRAMS) {
        install()?;
        code = run()?;
    }
    match code {
        Some(0) => Ok(()),
        _ => bail!("the server did not start"),
    }
}
