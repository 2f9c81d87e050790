//! `flightdeck migrate`: bring a store's schema up, or say where it stands.

use flightdeck_store::Step;
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::SqliteStore;

use crate::exit::Failure;
use crate::settings::Settings;
use crate::stores::{postgres_options, sqlite_options};
use crate::target::Target;

/// Takes every step that is still to come.
pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let store = &settings.store.value;
    let taken = match store {
        Target::Sqlite(path) => SqliteStore::migrate(path, &sqlite_options(settings))?,
        Target::Postgres(url) => Box::pin(PostgresStore::migrate(url, &postgres_options(settings))).await?,
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
pub(crate) async fn status(settings: &Settings) -> Result<(), Failure> {
    for step in steps(settings).await? {
        match step.applied {
            Some(at) => println!("{:04} {:<20} applied {at}", step.number, step.name),
            None => println!("{:04} {:<20} pending", step.number, step.name),
        }
    }
    Ok(())
}

/// Says what would be done.
pub(crate) async fn dry_run(settings: &Settings) -> Result<(), Failure> {
    let pending: Vec<Step> =
        steps(settings).await?.into_iter().filter(|step| step.applied.is_none()).collect();
    for step in &pending {
        println!("{:04} {:<20} would be applied", step.number, step.name);
    }
    if pending.is_empty() {
        println!("nothing to do");
    }
    Ok(())
}

async fn steps(settings: &Settings) -> Result<Vec<Step>, Failure> {
    Ok(match &settings.store.value {
        Target::Sqlite(path) => SqliteStore::migrations(path, &sqlite_options(settings))?,
        Target::Postgres(url) => {
            Box::pin(PostgresStore::migrations(url, &postgres_options(settings))).await?
        }
    })
}
