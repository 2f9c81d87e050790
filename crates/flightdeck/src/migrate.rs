//! `flightdeck migrate`: bring a store's schema up, or say where it stands.

use std::time::Duration;

use flightdeck_store::Step;
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::SqliteStore;

use crate::exit::Failure;
use crate::target::Target;

/// How long it waits for another one that migrates: that takes a moment; a server holds a file for ever.
const WAIT: Duration = Duration::from_secs(3);

fn sqlite_options() -> flightdeck_store_sqlite::Options {
    flightdeck_store_sqlite::Options { lock_wait: WAIT, ..flightdeck_store_sqlite::Options::default() }
}

/// Runs what talks to a database, on a runtime for just that.
fn block_on<T, E>(ask: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::machine(&error))?;
    Ok(runtime.block_on(ask)?)
}

/// Takes every step that is still to come.
pub(crate) fn run(store: &Target) -> Result<(), Failure> {
    let taken = match store {
        Target::Sqlite(path) => SqliteStore::migrate(path, &sqlite_options())?,
        Target::Postgres(url) => {
            block_on(PostgresStore::migrate(url, &flightdeck_store_postgres::Options::default()))?
        }
    };
    for step in &taken {
        println!("{:04} {:<20} applied", step.number, step.name);
    }
    match taken.len() {
        0 => println!("{store} is up to date"),
        some => println!("{store} is up to date after {some} steps"),
    }
    Ok(())
}

/// Says which steps the store has.
pub(crate) fn status(store: &Target) -> Result<(), Failure> {
    for step in steps(store)? {
        match step.applied {
            Some(at) => println!("{:04} {:<20} applied {at}", step.number, step.name),
            None => println!("{:04} {:<20} pending", step.number, step.name),
        }
    }
    Ok(())
}

/// Says what would be done.
pub(crate) fn dry_run(store: &Target) -> Result<(), Failure> {
    let pending: Vec<Step> = steps(store)?.into_iter().filter(|step| step.applied.is_none()).collect();
    for step in &pending {
        println!("{:04} {:<20} would be applied", step.number, step.name);
    }
    if pending.is_empty() {
        println!("nothing to do");
    }
    Ok(())
}

fn steps(store: &Target) -> Result<Vec<Step>, Failure> {
    Ok(match store {
        Target::Sqlite(path) => SqliteStore::migrations(path, &sqlite_options())?,
        Target::Postgres(url) => {
            block_on(PostgresStore::migrations(url, &flightdeck_store_postgres::Options::default()))?
        }
    })
}
