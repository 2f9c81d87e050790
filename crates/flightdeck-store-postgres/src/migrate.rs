//! Bringing a store's tables up, step by step.
//!
//! Each step is one transaction with its number inside, so that a step that was interrupted is as if it had
//! never begun. The checksum of each file is kept: a step that was edited after it ran is noticed. Two nodes that
//! migrate at once take turns, by a lock that ends with the transaction, and the second finds the work done.

use flightdeck_core::Timestamp;
use flightdeck_migrations::Migration;
use flightdeck_store::chain::sha256;
use flightdeck_store::migrate::{Access, FORMAT, MigrateError, Step};
use tokio_postgres::{Client, Error, GenericClient, Transaction};

use crate::fault::kill_point;
use crate::options::Schema;
use crate::whole::standing;

/// A failure of the database's, as one of migrating.
fn failed(error: Error) -> MigrateError {
    MigrateError::Storage(error.into())
}

/// Refuses a schema that this program does not know: one of someone else's, or one that is newer.
pub(crate) async fn check_format(
    client: &Client,
    schema: &Schema,
    access: Access,
) -> Result<(), MigrateError> {
    // One statement, and so one moment: another node may be making the store right now.
    let sql = "SELECT count(*) FILTER (WHERE tablename = 'fd_meta'), count(*) FILTER (WHERE tablename <> 'fd_migration')
               FROM pg_tables WHERE schemaname = $1";
    let row = client.query_one(sql, &[&schema.as_str()]).await.map_err(failed)?;
    let (ours, tables): (i64, i64) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    match (ours, tables) {
        (0, 0) => return Ok(()),
        (0, _) => return Err(MigrateError::Foreign),
        _ => {}
    }
    for name in access.needs() {
        let sql = "SELECT value::bigint FROM fd_meta WHERE name = $1";
        let row = client.query_opt(sql, &[name]).await.map_err(failed)?;
        let needed: Option<i64> = row.map(|row| row.try_get(0)).transpose().map_err(failed)?;
        if let Some(needed) = needed.filter(|needed| *needed > FORMAT) {
            return Err(MigrateError::TooNew { needed });
        }
    }
    access.check(standing(client).await.map_err(failed)?)
}

async fn has_table(client: &Client, schema: &Schema, name: &str) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = $2)";
    client.query_one(sql, &[&schema.as_str(), &name]).await?.try_get(0)
}

/// Every step there is, and which of them the store has. Changes nothing.
pub(crate) async fn status(
    client: &Client,
    schema: &Schema,
    migrations: &[Migration],
) -> Result<Vec<Step>, MigrateError> {
    let known = has_table(client, schema, "fd_migration").await.map_err(failed)?;
    let mut steps = Vec::new();
    for migration in migrations {
        let applied = if known { applied(client, migration).await? } else { None };
        steps.push(Step { number: migration.number, name: migration.name.to_owned(), applied });
    }
    Ok(steps)
}

/// When the store got a step, if it has it.
async fn applied(
    client: &impl GenericClient,
    migration: &Migration,
) -> Result<Option<Timestamp>, MigrateError> {
    let sql = "SELECT checksum, applied FROM fd_migration WHERE number = $1";
    let Some(row) = client.query_opt(sql, &[&migration.number]).await.map_err(failed)? else {
        return Ok(None);
    };
    let checksum: &[u8] = row.try_get(0).map_err(failed)?;
    if checksum != sha256(migration.sql.as_bytes()) {
        return Err(MigrateError::Edited { number: migration.number });
    }
    Ok(Timestamp::from_micros(row.try_get(1).map_err(failed)?).ok())
}

/// Takes every step that is still to come, and returns those. Where nothing is to come, nothing is written, so that a role
/// that may not alter the schema can open a store that is up to date.
pub(crate) async fn run(
    client: &mut Client,
    schema: &Schema,
    migrations: &[Migration],
) -> Result<Vec<Step>, MigrateError> {
    if status(client, schema, migrations).await?.iter().all(|step| step.applied.is_some()) {
        return Ok(Vec::new());
    }
    begin(client, schema).await.map_err(failed)?;
    let mut taken = Vec::new();
    for migration in migrations {
        // The look and the step are in one transaction: whoever migrates at the same time waits, and finds it done.
        let tx = alone(client, schema).await.map_err(failed)?;
        if applied(&tx, migration).await?.is_none() {
            let at = take(tx, migration).await.map_err(failed)?;
            let applied = Timestamp::from_micros(at).ok();
            taken.push(Step { number: migration.number, name: migration.name.to_owned(), applied });
        }
    }
    Ok(taken)
}

/// A transaction that no other that migrates this schema runs beside.
async fn alone<'c>(client: &'c mut Client, schema: &Schema) -> Result<Transaction<'c>, Error> {
    let tx = client.transaction().await?;
    // A step on a log that is large takes as long as it takes, also for whoever waits for another that takes it.
    tx.batch_execute("SET LOCAL statement_timeout TO 0").await?;
    let lock = format!("flightdeck migrates {}", schema.as_str());
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&lock]).await?;
    Ok(tx)
}

/// Makes the schema and the table of steps.
async fn begin(client: &mut Client, schema: &Schema) -> Result<(), Error> {
    let tx = alone(client, schema).await?;
    // Asked first: whoever may not create a schema may still fill one that was created for them.
    let there = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";
    if !tx.query_one(there, &[&schema.as_str()]).await?.try_get::<_, bool>(0)? {
        tx.batch_execute(&format!("CREATE SCHEMA \"{}\"", schema.as_str())).await?;
    }
    tx.batch_execute(
        "CREATE TABLE IF NOT EXISTS fd_migration (
           number bigint PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL, applied bigint NOT NULL
         )",
    )
    .await?;
    tx.commit().await
}

/// Takes one step, with its number inside, and says when it was.
async fn take(tx: Transaction<'_>, migration: &Migration) -> Result<i64, Error> {
    tx.batch_execute(migration.sql).await?;
    kill_point!("migration-step");
    let sql = "INSERT INTO fd_migration (number, name, checksum, applied)
               VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) RETURNING applied";
    let checksum = sha256(migration.sql.as_bytes());
    let row = tx.query_one(sql, &[&migration.number, &migration.name, &checksum.as_slice()]).await?;
    let applied = row.try_get(0)?;
    tx.commit().await?;
    Ok(applied)
}
