//! The chores of the repository: `cargo xtask` lists them.

mod cargo;
mod ci;
mod db;
mod debian;
mod deny;
mod foreign;
mod table;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cargo::{cargo, root};

const CHORES: &str = "\
cargo xtask test [--foreign] [FILTER]   run all tests; --foreign adds the proofs with other people's programs
cargo xtask ci                          everything that CI runs
cargo xtask tidy                        check layers, first lines, file sizes, names
cargo xtask codegen [--check]           write (or check) the generated documents
cargo xtask deny                        check licences, bans and sources of the dependencies
cargo xtask db                          a PostgreSQL server to try things with, until Ctrl-D; says how to reach it
cargo xtask migrate [ARGS]              bring a store's schema up: runs the binary
cargo xtask bench store [ARGS]          measure the store beside its floors (--append, --read, --growth, --quick)
cargo xtask bench domain                 measure how fast a content of 10,000 changes is folded
cargo xtask bench postgres [ARGS]       measure the store on PostgreSQL beside its own function (--append, --read, --quick)
cargo xtask bench operator [ARGS]       measure verify, read, export and their like on a million events (--quick)
cargo xtask bench http [ARGS]           measure durable appends, reads and the start over HTTP (--sqlite, --postgres, --read, --start, --quick)
cargo xtask bench push [ARGS]           measure how events reach those who follow (--fanout, --latency, --memory, --stalled, --storm, --drought, --no-websocket, --quick)
cargo xtask bench projections [ARGS]    measure building views anew, and how far they are behind (--sqlite, --postgres, --events N, --quick)
cargo xtask bench views [ARGS]          measure the views of what visitors did (--sqlite, --postgres, --facts N, --keep DIR, --only PART, --quick)
cargo xtask torture [CYCLES]            the long form of the crash tests (default 2000 cycles)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = arguments.split_first().map_or(("", &[][..]), |(chore, rest)| (chore.as_str(), rest));
    match run(chore, rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &str, rest: &[String]) -> Result<()> {
    match chore {
        "" | "help" | "--help" | "-h" => {
            println!("{CHORES}");
            Ok(())
        }
        "test" => {
            let foreign = rest.iter().any(|argument| argument == "--foreign");
            let filter = rest.iter().find(|argument| !argument.starts_with("--"));
            let summary = test::run(filter.map(String::as_str), foreign)?;
            println!("{summary}");
            Ok(())
        }
        "ci" => ci::run(),
        "tidy" => tidy::run(&root()?),
        "codegen" => codegen(rest.iter().any(|argument| argument == "--check")),
        "db" => db::by_hand(),
        "deny" => deny::run(),
        "migrate" => {
            let mut command = cargo(["run", "--quiet", "--package", "flightdeck", "--", "migrate"])?;
            let status = command.args(rest).status()?;
            std::process::exit(status.code().unwrap_or(1));
        }
        "bench" => bench(rest),
        "torture" => {
            let cycles = rest.first().map_or("2000", String::as_str);
            let mut command = cargo([
                "test",
                "--release",
                "--package",
                "flightdeck-tests",
                "--",
                "torture",
                "--nocapture",
            ])?;
            cargo::check(command.env("FLIGHTDECK_TORTURE_CYCLES", cycles))
        }
        other => bail!("there is no chore {other:?}; these there are:\n{CHORES}"),
    }
}

fn bench(rest: &[String]) -> Result<()> {
    match rest.split_first() {
        Some((what, rest)) if what == "store" => {
            let mut command =
                cargo(["bench", "--package", "flightdeck-store-sqlite", "--bench", "store", "--"])?;
            cargo::check(command.args(rest))
        }
        Some((what, rest)) if what == "domain" => {
            let mut command = cargo(["bench", "--package", "flightdeck-domain", "--bench", "fold", "--"])?;
            cargo::check(command.args(rest))
        }
        Some((what, rest)) if what == "postgres" => {
            let server = db::Server::start()?;
            let mut command =
                cargo(["bench", "--package", "flightdeck-store-postgres", "--bench", "postgres", "--"])?;
            cargo::check(command.args(rest).env(db::VARIABLE, server.url()))
        }
        Some((what, rest)) if what == "operator" || what == "http" => {
            cargo::check(&mut cargo(["build", "--release", "--package", "flightdeck", "--locked"])?)?;
            let server = db::Server::start()?;
            let mut command = cargo(["bench", "--package", "flightdeck-tests", "--bench", what, "--"])?;
            command.args(rest).env(db::VARIABLE, server.url());
            cargo::check(command.env("FLIGHTDECK_BIN", cargo::target()?.join("release/flightdeck")))
        }
        Some((what, rest)) if what == "push" => {
            cargo::check(&mut cargo(["build", "--release", "--package", "flightdeck", "--locked"])?)?;
            let mut command = cargo(["bench", "--package", "flightdeck-tests", "--bench", "push", "--"])?;
            command.args(rest);
            cargo::check(command.env("FLIGHTDECK_BIN", cargo::target()?.join("release/flightdeck")))
        }
        Some((what, rest)) if what == "projections" || what == "views" => {
            let mut command = cargo(["bench", "--package", "flightdeck-tests", "--bench", what, "--"])?;
            command.args(rest);
            // One that outlives the run, for what is kept there.
            if std::env::var_os(db::VARIABLE).is_some() {
                return cargo::check(&mut command);
            }
            let server = db::Server::start()?;
            cargo::check(command.env(db::VARIABLE, server.url()))
        }
        _ => bail!(
            "what is to be measured? There are `cargo xtask bench store`, `… domain`, `… postgres`, `… operator`, `… http`, `… push`, `… projections` and `… views`"
        ),
    }
}

/// Generated documents are held against the code by tests named `codegen_…`; with this variable they write instead.
pub(crate) fn codegen(check: bool) -> Result<()> {
    let mut command = cargo(["test", "--workspace", "--exclude", "xtask", "--quiet", "codegen_"])?;
    if !check {
        command.env("FLIGHTDECK_CODEGEN", "write");
    }
    cargo::check(&mut command)
}
