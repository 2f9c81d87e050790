//! `flightdeck migrate`: bring a store's schema up, or say where it stands.

use std::io::Write;

use flightdeck_store::Step;
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::SqliteStore;
use serde_json::json;

use crate::exit::Failure;
use crate::eyes::Eyes;
use crate::settings::Settings;
use crate::stores::{postgres_options, sqlite_options};
use crate::target::Target;

/// Takes every step that is still to come.
pub(crate) async fn run(settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let mut out = eyes.out();
    let store = &settings.store.value;
    let taken = match store {
        Target::Sqlite(path) => SqliteStore::migrate(path, &sqlite_options(settings))?,
        Target::Postgres(url) => Box::pin(PostgresStore::migrate(url, &postgres_options(settings))).await?,
    };
    if eyes.asked_json {
        return steps_as_json(&mut out, &taken);
    }
    for step in &taken {
        writeln!(out, "{:04} {:<20} applied", step.number, step.name)?;
    }
    match taken.len() {
        0 => writeln!(out, "{store} is up to date")?,
        some => writeln!(out, "{store} is up to date after {some} steps")?,
    }
    Ok(out.flush()?)
}

/// Steps for programs: one a line.
fn steps_as_json(out: &mut impl Write, steps: &[Step]) -> Result<(), Failure> {
    for step in steps {
        let applied = step.applied.map(|at| at.to_string());
        writeln!(out, "{}", json!({ "number": step.number, "name": step.name, "applied": applied }))?;
    }
    Ok(out.flush()?)
}

/// Says which steps the store has.
pub(crate) async fn status(settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let mut out = eyes.out();
    let steps = steps(settings).await?;
    if eyes.asked_json {
        return steps_as_json(&mut out, &steps);
    }
    for step in steps {
        match step.applied {
            Some(at) => writeln!(out, "{:04} {:<20} applied {at}", step.number, step.name)?,
            None => writeln!(out, "{:04} {:<20} pending", step.number, step.name)?,
        }
    }
    Ok(out.flush()?)
}

/// Says what would be done.
pub(crate) async fn dry_run(settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let mut out = eyes.out();
    let pending: Vec<Step> =
        steps(settings).await?.into_iter().filter(|step| step.applied.is_none()).collect();
    if eyes.asked_json {
        return steps_as_json(&mut out, &pending);
    }
    for step in &pending {
        writeln!(out, "{:04} {:<20} would be applied", step.number, step.name)?;
    }
    if pending.is_empty() {
        writeln!(out, "nothing to do")?;
    }
    Ok(out.flush()?)
}

async fn steps(settings: &Settings) -> Result<Vec<Step>, Failure> {
    Ok(match &settings.store.value {
        Target::Sqlite(path) => SqliteStore::migrations(path, &sqlite_options(settings))?,
        Target::Postgres(url) => {
            Box::pin(PostgresStore::migrations(url, &postgres_options(settings))).await?
        }
    })
}
