//! Bringing a store's tables up, step by step.
//!
//! Each step is one transaction with its number inside, so that a step that was interrupted is as if it had
//! never begun. The checksum of each file is kept: a step that was edited after it ran is noticed. Two that
//! migrate at once take turns, and the second finds the work done.

use flightdeck_core::Timestamp;
use flightdeck_migrations::Migration;
use flightdeck_store::Source;
use flightdeck_store::chain::sha256;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use thiserror::Error;

use crate::fault::kill_point;

/// The format of store that this program reads and writes.
pub const FORMAT: i64 = 1;

/// `FLDT`: how a SQLite file says that it is a store of ours.
pub(crate) const APPLICATION_ID: i64 = 0x464c_4454;

/// A migration, and whether the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// When it was applied; `None` when it is still to come.
    pub applied: Option<Timestamp>,
}

/// Why a store can't be brought up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// A newer program made this store, and this one may not touch it.
    #[error("the store is of format {needed}, and this program knows format {FORMAT}: use a newer one")]
    TooNew {
        /// The format that a program must know.
        needed: i64,
    },
    /// The file is a database of someone else's.
    #[error("the file is a SQLite database, but not a FlightDeck store")]
    Foreign,
    /// A step that the store has is not the one that this program has.
    #[error("migration {number} is not the one that this store was built with")]
    Edited {
        /// The step.
        number: i64,
    },
    /// SQLite could not do it.
    #[error("migration failed")]
    Storage(#[source] Source),
}

impl From<rusqlite::Error> for MigrateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// Whether this program may read, and write, a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Refuses a store that this program does not know: one of someone else's, or one that is newer.
pub(crate) fn check_format(conn: &Connection, access: Access) -> Result<(), MigrateError> {
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(MigrateError::Foreign);
    }
    if !has_table(conn, "fd_meta")? {
        return Ok(());
    }
    let names: &[&str] = match access {
        Access::Read => &["min_reader"],
        Access::Write => &["min_reader", "min_writer"],
    };
    for name in names {
        let sql = "SELECT value FROM fd_meta WHERE name = ?1";
        let needed: Option<i64> = conn.query_row(sql, [name], |row| row.get(0)).optional()?;
        if let Some(needed) = needed.filter(|needed| *needed > FORMAT) {
            return Err(MigrateError::TooNew { needed });
        }
    }
    Ok(())
}

fn has_table(conn: &Connection, name: &str) -> rusqlite::Result<bool> {
    conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)",
        [name],
        |row| row.get(0),
    )
}

/// Every step there is, and which of them the store has. Changes nothing.
pub(crate) fn status(conn: &Connection, migrations: &[Migration]) -> Result<Vec<Step>, MigrateError> {
    let known = has_table(conn, "fd_migration")?;
    let applied = |migration: &Migration| match known {
        true => applied(conn, migration),
        false => Ok(None),
    };
    let step = |migration: &Migration| {
        Ok(Step { number: migration.number, name: migration.name.to_owned(), applied: applied(migration)? })
    };
    migrations.iter().map(step).collect()
}

/// When the store got a step, if it has it.
fn applied(conn: &Connection, migration: &Migration) -> Result<Option<Timestamp>, MigrateError> {
    let sql = "SELECT checksum, applied FROM fd_migration WHERE number = ?1";
    let found: Option<(Vec<u8>, i64)> =
        conn.query_row(sql, [migration.number], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((checksum, applied)) = found else {
        return Ok(None);
    };
    if checksum != sha256(migration.sql.as_bytes()) {
        return Err(MigrateError::Edited { number: migration.number });
    }
    Ok(Timestamp::from_micros(applied).ok())
}

/// Takes every step that is still to come, and returns those.
pub(crate) fn run(
    conn: &mut Connection,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<Vec<Step>, MigrateError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS fd_migration (
           number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL, applied INTEGER NOT NULL
         ) STRICT",
    )?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.commit()?;
    let mut taken = Vec::new();
    for migration in migrations {
        // The look and the step are in one transaction: whoever migrates at the same time waits, and finds it done.
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if applied(&tx, migration)?.is_some() {
            continue;
        }
        tx.execute_batch(migration.sql)?;
        kill_point!("migration-step");
        tx.execute(
            "INSERT INTO fd_migration (number, name, checksum, applied) VALUES (?1, ?2, ?3, ?4)",
            params![migration.number, migration.name, sha256(migration.sql.as_bytes()), now.micros()],
        )?;
        tx.commit()?;
        taken.push(Step { number: migration.number, name: migration.name.to_owned(), applied: Some(now) });
    }
    Ok(taken)
}

#[cfg(test)]
mod tests;
