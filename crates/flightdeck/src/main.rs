//! FlightDeck, the binary: it reads the command line, picks the store, and says what happened by its exit code.
//!
//! Named without a command, it serves (`serve.rs`). What an operator needs beside that is here too: looking into a store, following
//! it, proving it, saving it, moving it. A command is a file of its own; `stores.rs` opens whichever store is meant.

mod append;
mod away;
mod backup;
mod config;
mod copy;
mod doctor;
mod door;
mod exit;
mod export;
mod eyes;
mod follow;
mod line;
mod migrate;
mod projections;
mod read;
mod remote;
mod serve;
mod settings;
mod socket;
mod sse;
mod stores;
mod target;
mod token;
mod traces;
mod verify;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use serde_json::json;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::exit::Failure;
use crate::eyes::Eyes;
use crate::settings::{Given, Log, Settings};

#[derive(Parser)]
#[command(name = "flightdeck", version, about = "An event-sourced platform in one binary")]
struct Cli {
    #[command(flatten)]
    given: Given,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the store over HTTP; what happens when no command is named
    Serve,
    /// Bring a store's schema up; make the store when there is none
    Migrate {
        /// Say which steps the store has, and change nothing
        #[arg(long)]
        status: bool,
        /// Say what would be done, and change nothing
        #[arg(long, conflicts_with = "status")]
        dry_run: bool,
    },
    /// Append an event, or a file of them
    Append(append::Arguments),
    /// Read the log, or a stream
    Read(read::ReadArguments),
    /// Follow the log as it grows
    Tail(read::TailArguments),
    /// Tell how far the views are; build one anew, let it wait or go on
    Projections(projections::Arguments),
    /// Check a whole store: the chain, the checksums, and everything beside the log
    Verify,
    /// Save a store into a file, and check it
    Backup(backup::BackupArguments),
    /// Make a store from a backup or an export, in a new epoch
    Restore(backup::RestoreArguments),
    /// Write a log to a file, line by line
    Export(export::ExportArguments),
    /// Read a log from a file: as it was, or appended afresh
    Import(export::ImportArguments),
    /// Carry a log to another store, with its positions, times and hashes
    Copy(copy::Arguments),
    /// Make the credentials by which it is known who asks, list them, take them back
    Token(token::Arguments),
    /// Look what is wrong with this installation, and say how to mend it
    Doctor,
    /// Tell the settings, and where each comes from
    Config,
    /// Tell the versions of this program and of what it is built with
    Version,
    /// Look at a backup; `restore` runs this as a process of its own
    #[command(hide = true)]
    CheckBackup { file: PathBuf },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match begin(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read what we wrote has had enough.
        Err(failure) if failure.is_nobody_there() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("flightdeck: {failure}");
            failure.code()
        }
    }
}

fn begin(cli: Cli) -> Result<(), Failure> {
    let eyes = Eyes::of(&cli.given);
    let command = cli.command.unwrap_or(Command::Serve);
    let settings = match &command {
        // Whoever runs this has read the settings.
        Command::CheckBackup { .. } => Settings::built_in()?,
        _ => Settings::read(&cli.given)?,
    };
    begin_to_log(settings.log.value);
    flightdeck_store_sqlite::survive_file_size_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::machine(&error))?;
    runtime.block_on(run(command, &settings, &eyes))
}

/// What is said on standard error, panics among it. What actix says of requests that are none is for whoever looks closer: strangers have it said as often as they like.
fn begin_to_log(Log { level, json }: Log) {
    let of_others = if level >= tracing::Level::DEBUG { level.into() } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(level).with_target("actix_http", of_others);
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match json {
        true => tracing_subscriber::registry().with(log.json().with_filter(targets)).init(),
        false => tracing_subscriber::registry().with(log.with_filter(targets)).init(),
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "the program has met a fault of its own")));
}

async fn run(command: Command, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    match command {
        Command::Serve => Box::pin(serve::run(settings)).await,
        Command::Migrate { status: true, .. } => migrate::status(settings, eyes).await,
        Command::Migrate { dry_run: true, .. } => migrate::dry_run(settings, eyes).await,
        Command::Migrate { .. } => migrate::run(settings, eyes).await,
        Command::Append(arguments) => Box::pin(append::run(arguments, settings, eyes)).await,
        Command::Read(arguments) => Box::pin(read::read(arguments, settings, eyes)).await,
        Command::Tail(arguments) => Box::pin(read::tail(arguments, settings, eyes)).await,
        Command::Projections(arguments) => Box::pin(projections::run(arguments, settings, eyes)).await,
        Command::Verify => Box::pin(verify::run(settings, eyes)).await,
        Command::Backup(arguments) => Box::pin(backup::backup(arguments, settings, eyes)).await,
        Command::Restore(arguments) => Box::pin(backup::restore(arguments, settings, eyes)).await,
        Command::Export(arguments) => Box::pin(export::export(arguments, settings, eyes)).await,
        Command::Import(arguments) => Box::pin(export::import(arguments, settings, eyes)).await,
        Command::Copy(arguments) => Box::pin(copy::run(arguments, settings, eyes)).await,
        Command::Token(arguments) => Box::pin(token::run(arguments, settings, eyes)).await,
        Command::Doctor => Box::pin(doctor::run(settings, eyes)).await,
        Command::Config => config::run(settings, eyes),
        Command::CheckBackup { file } => Box::pin(backup::check(&file, settings)).await,
        Command::Version => {
            let mut out = eyes.out();
            let (own, format) = (env!("CARGO_PKG_VERSION"), flightdeck_store::migrate::FORMAT);
            let sqlite = flightdeck_store_sqlite::sqlite_version();
            match eyes.asked_json {
                true => writeln!(
                    out,
                    "{}",
                    json!({ "flightdeck": own, "storeFormat": format, "sqlite": sqlite })
                )?,
                false => writeln!(out, "flightdeck {own}\nstore format {format}\nsqlite {sqlite}")?,
            }
            Ok(out.flush()?)
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
