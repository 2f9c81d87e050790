//! Bringing a store's tables up, step by step.
//!
//! Each step is one transaction with its number inside, so that a step that was interrupted is as if it had
//! never begun. The checksum of each file is kept: a step that was edited after it ran is noticed. Two that
//! migrate at once take turns, and the second finds the work done.

use flightdeck_core::Timestamp;
use flightdeck_migrations::Migration;
use flightdeck_store::Standing;
use flightdeck_store::chain::sha256;
use flightdeck_store::migrate::{Access, FORMAT, MigrateError, Step};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::fault::kill_point;

/// `FLDT`: how a SQLite file says that it is a store of ours.
pub(crate) const APPLICATION_ID: i64 = 0x464c_4454;

/// A failure of SQLite's, as one of migrating.
fn failed(error: rusqlite::Error) -> MigrateError {
    MigrateError::Storage(error.into())
}

/// Refuses a store that this program does not know: one of someone else's, or one that is newer.
pub(crate) fn check_format(conn: &Connection, access: Access) -> Result<(), MigrateError> {
    let (application, tables) = signature(conn).map_err(failed)?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(MigrateError::Foreign);
    }
    if !has_table(conn, "fd_meta").map_err(failed)? {
        return Ok(());
    }
    for name in access.needs() {
        let sql = "SELECT value FROM fd_meta WHERE name = ?1";
        let needed: Option<i64> = conn.query_row(sql, [name], |row| row.get(0)).optional().map_err(failed)?;
        if let Some(needed) = needed.filter(|needed| *needed > FORMAT) {
            return Err(MigrateError::TooNew { needed });
        }
    }
    access.check(standing(conn).map_err(failed)?)
}

/// Whether there is a store in the file: one that was made to its end has an epoch.
pub(crate) fn is_made(conn: &Connection) -> rusqlite::Result<bool> {
    if !has_table(conn, "fd_meta")? {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM fd_meta WHERE name = 'epoch')";
    conn.query_row(sql, [], |row| row.get(0))
}

/// What a store of ours is, as a whole.
pub(crate) fn standing(conn: &Connection) -> rusqlite::Result<Standing> {
    let sql = "SELECT value FROM fd_meta WHERE name = 'state'";
    let stored: Option<String> = conn.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(Standing::from_stored(stored.as_deref()))
}

/// Says what a store is from here on.
pub(crate) fn set_standing(conn: &Connection, standing: &Standing) -> rusqlite::Result<()> {
    match standing.to_stored() {
        Some(state) => {
            let sql = "INSERT INTO fd_meta (name, value) VALUES ('state', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1";
            conn.execute(sql, [state])?;
        }
        None => drop(conn.execute("DELETE FROM fd_meta WHERE name = 'state'", [])?),
    }
    Ok(())
}

/// Whose file it is, and how many tables and indexes it has.
fn signature(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    let application = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok((application, conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?))
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
    let known = has_table(conn, "fd_migration").map_err(failed)?;
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
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found: Option<(Vec<u8>, i64)> =
        conn.query_row(sql, [migration.number], read).optional().map_err(failed)?;
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
    begin(conn).map_err(failed)?;
    let mut taken = Vec::new();
    for migration in migrations {
        // The look and the step are in one transaction: whoever migrates at the same time waits, and finds it done.
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if applied(&tx, migration)?.is_none() {
            take(tx, migration, now).map_err(failed)?;
            taken.push(Step {
                number: migration.number,
                name: migration.name.to_owned(),
                applied: Some(now),
            });
        }
    }
    Ok(taken)
}

/// Makes the table of steps, and the file ours.
fn begin(conn: &mut Connection) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS fd_migration (
           number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL, applied INTEGER NOT NULL
         ) STRICT",
    )?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.commit()
}

/// Takes one step, with its number inside.
fn take(tx: Transaction<'_>, migration: &Migration, now: Timestamp) -> rusqlite::Result<()> {
    tx.execute_batch(migration.sql)?;
    kill_point!("migration-step");
    tx.execute(
        "INSERT INTO fd_migration (number, name, checksum, applied) VALUES (?1, ?2, ?3, ?4)",
        params![migration.number, migration.name, sha256(migration.sql.as_bytes()), now.micros()],
    )?;
    tx.commit()
}

#[cfg(test)]
mod tests;
