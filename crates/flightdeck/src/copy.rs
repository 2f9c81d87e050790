//! `flightdeck copy`: a log to another store, with its positions, times and hashes as they are.

use clap::Args;
use flightdeck_store::transfer;
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::SqliteStore;

use crate::backup::{finish, said};
use crate::exit::Failure;
use crate::eyes::{Bar, Eyes};
use crate::settings::Settings;
use crate::stores::{self, postgres_options, sqlite_options};
use crate::target::Target;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The store to copy
    #[arg(long, value_name = "URL")]
    from: Target,
    /// The store to copy it to, with no events of its own
    #[arg(long, value_name = "URL", required_unless_present = "reopen")]
    to: Option<Target>,
    /// Move it: the source is sealed before the last events are copied, and the log keeps its epoch
    #[arg(long = "move", requires = "to")]
    moves: bool,
    /// Take the seal off the source again, for a move that was given up; a new epoch begins there
    #[arg(long, conflicts_with_all = ["to", "moves"])]
    reopen: bool,
}

pub(crate) async fn run(arguments: Arguments, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let from = settings.of(arguments.from);
    let Some(to) = arguments.to else {
        return reopen(&from).await;
    };
    let to = settings.of(to);
    if from.store.value == to.store.value {
        return Err(Failure::usage("--from and --to are the same store".to_owned()));
    }
    let bar = Bar::new();
    let source = stores::read(&from).await?;
    let target = stores::fill(&to).await?;
    let mut head = source.head().await?;
    transfer::events(&*source, &*target, head.cursor.position(), &bar).await?;
    if arguments.moves {
        // Most of it is there: whoever appends has to wait for the rest only.
        head = seal(&from, &to.store.value.url()).await?;
        transfer::events(&*source, &*target, head.cursor.position(), &bar).await?;
    }
    transfer::beside(&*source, &*target, head.cursor.position(), &bar).await?;
    let epoch = arguments.moves.then(|| head.cursor.epoch().clone());
    let (head, events) = finish(&*target, &head, epoch, source.secret().await?, &bar).await?;
    drop(bar);
    said(&head, events, &to, eyes)
}

async fn seal(from: &Settings, to: &str) -> Result<flightdeck_store::Head, Failure> {
    Ok(match &from.store.value {
        Target::Sqlite(path) => SqliteStore::seal_off(path, &sqlite_options(from), to)?,
        Target::Postgres(url) => PostgresStore::seal_off(url, &postgres_options(from), to).await?,
    })
}

async fn reopen(from: &Settings) -> Result<(), Failure> {
    match &from.store.value {
        Target::Sqlite(path) => SqliteStore::take_seal_off(path, &sqlite_options(from))?,
        Target::Postgres(url) => PostgresStore::take_seal_off(url, &postgres_options(from)).await?,
    }
    println!("{} takes appends again, in a new epoch", from.store.value.url());
    Ok(())
}
