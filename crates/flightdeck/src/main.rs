//! FlightDeck, the binary: it reads the command line, picks the store, and says what happened by its exit code.
//!
//! So far it migrates a store and tells its versions; the server comes with the HTTP API.

mod exit;
mod migrate;
mod target;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::exit::Failure;
use crate::target::Target;

#[derive(Parser)]
#[command(
    name = "flightdeck",
    version,
    about = "An event-sourced platform in one binary",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a store's schema up; make the store when there is none
    Migrate {
        /// Where the store is
        #[arg(long, env = "FLIGHTDECK_STORE", default_value = Target::DEFAULT, value_name = "URL")]
        store: Target,
        /// Say which steps the store has, and change nothing
        #[arg(long)]
        status: bool,
        /// Say what would be done, and change nothing
        #[arg(long, conflicts_with = "status")]
        dry_run: bool,
    },
    /// Tell the versions of this program and of what it is built with
    Version,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("flightdeck: {failure}");
            failure.code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Migrate { store, status: true, .. } => migrate::status(&store),
        Command::Migrate { store, dry_run: true, .. } => migrate::dry_run(&store),
        Command::Migrate { store, .. } => migrate::run(&store),
        Command::Version => {
            println!("flightdeck {}", env!("CARGO_PKG_VERSION"));
            println!("store format {}", flightdeck_store::migrate::FORMAT);
            println!("sqlite {}", flightdeck_store_sqlite::sqlite_version());
            Ok(())
        }
    }
}

/// Help that was asked for is no failure; a command line that makes no sense is one of its own kind.
fn usage(error: &clap::Error) -> ExitCode {
    drop(error.print());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(exit::USAGE),
    }
}
