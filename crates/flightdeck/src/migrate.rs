//! `flightdeck migrate`: bring a store's schema up, or say where it stands.

use std::time::Duration;

use flightdeck_store::Step;
use flightdeck_store_sqlite::{Options, SqliteStore};

use crate::exit::Failure;
use crate::target::Target;

/// How long it waits for another one that migrates: that takes a moment; a server holds the store for ever.
const WAIT: Duration = Duration::from_secs(3);

fn options() -> Options {
    Options { lock_wait: WAIT, ..Options::default() }
}

/// Takes every step that is still to come.
pub(crate) fn run(store: &Target) -> Result<(), Failure> {
    let Target::Sqlite(path) = store;
    let taken = SqliteStore::migrate(path, &options())?;
    for step in &taken {
        println!("{:04} {:<20} applied", step.number, step.name);
    }
    match taken.len() {
        0 => println!("{} is up to date", path.display()),
        some => println!("{} is up to date after {some} steps", path.display()),
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
    let Target::Sqlite(path) = store;
    Ok(SqliteStore::migrations(path, &options())?)
}
