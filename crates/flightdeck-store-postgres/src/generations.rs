//! The table of generations: which there are, how far each is folded, who folds it, and how one takes over from another.
//!
//! Whatever makes, renames or drops tables does so alone among all nodes, under one lock. Work does not: it writes rows and then
//! moves the checkpoint, in one transaction, and only if the generation's row still says what it was begun with. Both lock
//! tables first and the row then, so neither ever waits for the other in a circle.

use std::time::{Duration, Instant};

use flightdeck_core::Position;
use flightdeck_store::chain::Hash;
use flightdeck_store::view::{
    Checkpoint, Generation, GenerationState, Halt, Holder, Lease, Mark, Plan, Succession, TakenOver, Value,
    ViewError, ViewName, Work, succession,
};
use flightdeck_store::{Pace, Reason, StoreError, view};
use futures_util::FutureExt as _;
use futures_util::future::join;
use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, GenericClient, Row, Transaction};

use crate::connection::Session;
use crate::fault::kill_point;
use crate::options::Schema;
use crate::row::Damage;
use crate::store::to_error;
use crate::tables::{self, Tables};

/// How often a piece of work looks again for how its tables are called.
const RENAMED_MAX: u32 = 5;
/// The longest that a lease may last. Whoever asks for more means for ever.
const LEASE_SECONDS_MAX: f64 = 1e9;

/// A generation as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// What its tables are named after.
    pub(crate) id: i64,
    pub(crate) token: i64,
    /// Whether it has all its indexes.
    indexed: bool,
    pub(crate) state: GenerationState,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.view, p.number, p.build, p.fingerprint, p.plan, p.ready, p.serving, p.paused, p.position, p.folded, \
             p.hash, p.halt, p.skips, CASE WHEN p.until > clock_timestamp() THEN p.holder END, \
             floor(extract(epoch FROM clock_timestamp() - p.wanted))::bigint, p.token, p.indexed FROM fd_projection p ",
            $rest
        )
    };
}

const ONE: &str = select!("WHERE p.view = $1 AND p.number = $2 AND p.build = $3");
const OF_VIEW: &str = select!("WHERE p.view = $1 ORDER BY p.number, p.build");
/// In an order that all have in common who lock more than one.
const OF_VIEW_LOCKED: &str = select!("WHERE p.view = $1 ORDER BY p.id FOR UPDATE");

/// Every generation, by view, number and build.
pub(crate) async fn all(session: &Session) -> Result<Vec<Stored>, Damage> {
    read_all(&session.query(select!("ORDER BY p.view, p.number, p.build"), &[]).await?)
}

/// Every generation of a view, as a reader sees it.
pub(crate) async fn seen(session: &Session, view: &ViewName) -> Result<Vec<Stored>, Damage> {
    read_all(&session.query(OF_VIEW, &[&view.as_str()]).await?)
}

async fn of_view(client: &impl GenericClient, sql: &str, view: &ViewName) -> Result<Vec<Stored>, NotDone> {
    Ok(read_all(&client.query_typed(sql, &[(&view.as_str(), Type::TEXT)]).await?)?)
}

async fn find(client: &impl GenericClient, of: &Generation) -> Result<Option<Stored>, NotDone> {
    let rows = client.query_typed(ONE, &Named::of(of).values()).await?;
    Ok(read_all(&rows)?.into_iter().next())
}

async fn get(client: &impl GenericClient, of: &Generation) -> Result<Stored, NotDone> {
    find(client, of).await?.ok_or_else(|| unknown(of))
}

fn unknown(of: &Generation) -> NotDone {
    ViewError::Unknown(of.to_string()).into()
}

/// A generation's name as three parameters.
struct Named<'g>(&'g str, i64, i64);

impl<'g> Named<'g> {
    fn of(of: &'g Generation) -> Self {
        Self(of.view.as_str(), i64::from(of.number), i64::from(of.build))
    }

    fn values(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        vec![(&self.0, Type::TEXT), (&self.1, Type::INT8), (&self.2, Type::INT8)]
    }

    fn and<'v>(&'v self, more: &[(&'v (dyn ToSql + Sync), Type)]) -> Vec<(&'v (dyn ToSql + Sync), Type)> {
        let mut values = self.values();
        values.extend_from_slice(more);
        values
    }
}

fn read_all(rows: &[Row]) -> Result<Vec<Stored>, Damage> {
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Stored, Damage> {
    let id: i64 = row.try_get(0)?;
    let damaged =
        |what: &dyn std::fmt::Display| Damage::new(format!("the row of projection {id} is damaged: {what}"));
    let number =
        |column: usize| u32::try_from(row.try_get::<_, i64>(column)?).map_err(|error| damaged(&error));
    let view = ViewName::new(row.try_get::<_, &str>(1)?).map_err(|error| damaged(&error))?;
    let of = Generation { number: number(2)?, build: number(3)?, view };
    let fingerprint: &[u8] = row.try_get(4)?;
    let fingerprint = fingerprint.try_into().map_err(|error| damaged(&error))?;
    let plan = Plan::from_stored(&of.view, of.number, row.try_get(5)?, fingerprint);
    let halt: Option<&str> = row.try_get(12)?;
    let halt =
        halt.map(serde_json::from_str).transpose().map_err(|error: serde_json::Error| damaged(&error))?;
    let skips: Vec<i64> = serde_json::from_str(row.try_get(13)?).map_err(|error| damaged(&error))?;
    let skips = skips.into_iter().map(Position::new).collect::<Result<_, _>>();
    let state = GenerationState {
        plan: plan.map_err(|error| damaged(&error))?,
        ready: row.try_get(6)?,
        serving: row.try_get(7)?,
        paused: row.try_get(8)?,
        checkpoint: checkpoint(row, 9)?,
        halt,
        skips: skips.map_err(|error| damaged(&error))?,
        holder: row.try_get::<_, Option<String>>(14)?.map(Holder::from_stored),
        unwanted_seconds: row.try_get::<_, i64>(15)?.max(0),
        of,
    };
    Ok(Stored { id, token: row.try_get(16)?, indexed: row.try_get(17)?, state })
}

/// The checkpoint in three columns: the position, that of the last event, and its hash.
pub(crate) fn checkpoint(row: &Row, first: usize) -> Result<Checkpoint, Damage> {
    let damaged =
        |what: &dyn std::fmt::Display| Damage::new(format!("the checkpoint of a view is damaged: {what}"));
    let position = |number: i64| Position::new(number).map_err(|error| damaged(&error));
    let folded = match (row.try_get(first + 1)?, row.try_get::<_, Option<&[u8]>>(first + 2)?) {
        (Some(at), Some(hash)) => {
            let hash = hash.try_into().map_err(|error| damaged(&error))?;
            Some((position(at)?, Hash::from_bytes(hash)))
        }
        _ => None,
    };
    Ok(Checkpoint { position: position(row.try_get(first)?)?, folded })
}

/// A transaction that no other that makes, renames or drops tables of views runs beside, in this schema. It waits for nobody who
/// uses a table for long, for everyone who comes then waits behind it.
async fn alone<'c>(client: &'c mut Client, schema: &Schema) -> Result<Transaction<'c>, NotDone> {
    let tx = client.transaction().await?;
    // Whoever makes tables is waited for.
    tx.batch_execute("SET LOCAL lock_timeout TO 0").await?;
    let lock = format!("flightdeck views {}", schema.as_str());
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
    tx.query_typed(sql, &[(&lock, Type::TEXT)]).await?;
    tx.batch_execute("SET LOCAL lock_timeout TO '400ms'").await?;
    Ok(tx)
}

/// The newest build of a plan's generation, if it is still the same plan.
async fn newest(tx: &Transaction<'_>, plan: &Plan) -> Result<Option<Stored>, NotDone> {
    let all = of_view(tx, OF_VIEW, plan.view()).await?;
    match all.into_iter().rfind(|stored| stored.state.of.number == plan.number()) {
        Some(stored) if stored.state.plan.fingerprint() != plan.fingerprint() => {
            Err(ViewError::Changed { view: plan.view().clone(), number: plan.number() }.into())
        }
        found => Ok(found),
    }
}

/// Refuses a plan with a table whose name is another view's, or that of something in the schema which is no view's.
async fn check_names(tx: &Transaction<'_>, plan: &Plan) -> Result<(), NotDone> {
    let taken = |table: &str| ViewError::TableTaken { table: table.to_owned() }.into();
    let all = read_all(&tx.query_typed(select!(""), &[]).await?)?;
    let (own, others): (Vec<&Stored>, Vec<&Stored>) =
        all.iter().partition(|stored| stored.state.of.view == *plan.view());
    let mut theirs = others.iter().flat_map(|stored| stored.state.plan.tables());
    if let Some(table) = theirs.find(|table| plan.table(table.name()).is_some()) {
        return Err(taken(table.name()));
    }
    let names: Vec<&str> = plan.tables().iter().map(|table| table.name()).collect();
    let sql = "SELECT c.relname::text FROM pg_class c
               WHERE c.relnamespace = current_schema()::regnamespace AND c.relname::text = ANY ($1)";
    for row in tx.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await? {
        let name: &str = row.try_get(0)?;
        if !own.iter().any(|stored| stored.state.serving && stored.state.plan.table(name).is_some()) {
            return Err(taken(name));
        }
    }
    Ok(())
}

async fn are_there(tx: &Transaction<'_>, stored: &Stored) -> Result<bool, NotDone> {
    let rows = tx.query_typed(&Tables::of(stored).are_there(), &[]).await?;
    Ok(rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)))
}

/// Refuses to build a view whose tables belong to a role that this one is not, and is no member of: it could never take over from
/// them, and they could never take over from it.
async fn check_owner(tx: &Transaction<'_>, plan: &Plan) -> Result<(), NotDone> {
    let all = of_view(tx, OF_VIEW, plan.view()).await?;
    let names: Vec<String> = all.iter().flat_map(|stored| Tables::of(stored).own_names()).collect();
    let sql = "SELECT c.relname::text, pg_get_userbyid(c.relowner)::text FROM pg_class c
               WHERE c.relnamespace = current_schema()::regnamespace AND c.relname::text = ANY ($1)
                 AND NOT pg_has_role(c.relowner, 'USAGE') LIMIT 1";
    match tx.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await?.first() {
        Some(row) => Err(ViewError::NotOurs { table: row.try_get(0)?, owner: row.try_get(1)? }.into()),
        None => Ok(()),
    }
}

/// Makes a generation, with its tables. What the one before was told holds for it as well.
async fn make(
    tx: &Transaction<'_>,
    plan: &Plan,
    build: u32,
    before: Option<&Stored>,
) -> Result<Stored, NotDone> {
    check_owner(tx, plan).await?;
    let of = Generation { view: plan.view().clone(), number: plan.number(), build };
    let skips = before.map_or(&[][..], |before| &before.state.skips);
    let paused = before.is_some_and(|before| before.state.paused);
    let skips: Vec<i64> = skips.iter().map(|position| position.get()).collect();
    let skips = serde_json::to_string(&skips).map_err(|error| Damage::new(error.to_string()))?;
    let (fingerprint, stored) = (plan.fingerprint().as_slice(), plan.to_stored());
    let sql = "INSERT INTO fd_projection (view, number, build, fingerprint, plan, skips, paused)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let named = Named::of(&of);
    let values = named.and(&[
        (&fingerprint, Type::BYTEA),
        (&stored, Type::TEXT),
        (&skips, Type::TEXT),
        (&paused, Type::BOOL),
    ]);
    tx.execute_typed(sql, &values).await?;
    // No token of a generation that was thrown away is ever good for another of the same name.
    let sql = "UPDATE fd_projection SET token = id << 24 WHERE view = $1 AND number = $2 AND build = $3";
    tx.execute_typed(sql, &named.values()).await?;
    let made = get(tx, &of).await?;
    let tables = Tables::of(&made);
    tx.batch_execute(&tables.create()).await?;
    if !plan.tables().is_empty() {
        let grants = tx.query_typed(&tables.grants(), &[]).await?;
        let grants = grants.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<String, _>>()?;
        tx.batch_execute(&grants).await?;
    }
    Ok(made)
}

/// Throws a generation away, with its tables.
async fn throw_away(tx: &Transaction<'_>, stored: &Stored) -> Result<(), NotDone> {
    tx.batch_execute(&Tables::of(stored).drop()).await?;
    tx.execute_typed("DELETE FROM fd_projection WHERE id = $1", &[(&stored.id, Type::INT8)]).await?;
    Ok(())
}

/// Makes the first build, or finds the newest.
pub(crate) async fn prepare(
    client: &mut Client,
    schema: &Schema,
    plan: &Plan,
) -> Result<GenerationState, NotDone> {
    let tx = alone(client, schema).await?;
    let before = newest(&tx, plan).await?;
    if let Some(stored) = &before {
        if are_there(&tx, stored).await? {
            let sql = "UPDATE fd_projection SET wanted = clock_timestamp() WHERE id = $1";
            tx.execute_typed(sql, &[(&stored.id, Type::INT8)]).await?;
            tx.commit().await?;
            return Ok(stored.state.clone());
        }
        // Views can be deleted at any time: what somebody has dropped is built anew.
        throw_away(&tx, stored).await?;
    }
    check_names(&tx, plan).await?;
    let build = before.as_ref().map_or(1, |before| before.state.of.build + 1);
    let made = make(&tx, plan, build, before.as_ref()).await?;
    tx.commit().await?;
    Ok(made.state)
}

/// Begins a further build.
pub(crate) async fn begin_build(
    client: &mut Client,
    schema: &Schema,
    plan: &Plan,
) -> Result<GenerationState, NotDone> {
    let tx = alone(client, schema).await?;
    check_names(&tx, plan).await?;
    let before = newest(&tx, plan).await?;
    let build = before.as_ref().map_or(1, |before| before.state.of.build + 1);
    if let Some(before) = before.as_ref().filter(|before| !before.state.ready) {
        throw_away(&tx, before).await?;
    }
    let made = make(&tx, plan, build, before.as_ref()).await?;
    tx.commit().await?;
    Ok(made.state)
}

/// Throws a generation away.
pub(crate) async fn discard(client: &mut Client, schema: &Schema, of: &Generation) -> Result<(), NotDone> {
    let tx = alone(client, schema).await?;
    let stored = get(&tx, of).await?;
    throw_away(&tx, &stored).await?;
    Ok(tx.commit().await?)
}

/// Gives a generation the indexes that it was folded without. It is not asked yet, so this may take as long as it takes.
pub(crate) async fn index(client: &mut Client, lease: &Lease, mut pace: Pace) -> Result<(), NotDone> {
    let tx = client.transaction().await?;
    tx.batch_execute("SET LOCAL statement_timeout TO 0; SET LOCAL lock_timeout TO 0; SET LOCAL max_parallel_maintenance_workers TO 0").await?;
    // One at a time also of those who have lost the lease.
    let lock = format!("flightdeck view {}", lease.of);
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || $1, 0))";
    tx.query_typed(sql, &[(&lock, Type::TEXT)]).await?;
    let stored = get(&tx, &lease.of).await?;
    if stored.token != lease.token {
        return Err(ViewError::Fenced.into());
    }
    if stored.indexed {
        return Ok(());
    }
    for sql in Tables::of(&stored).index() {
        let begun = Instant::now();
        tx.batch_execute(&sql).await?;
        pace.give_way(begun.elapsed()).await;
    }
    let sql = "UPDATE fd_projection SET indexed = true WHERE id = $1";
    tx.execute_typed(sql, &[(&stored.id, Type::INT8)]).await?;
    Ok(tx.commit().await?)
}

/// Has what is only listed taken into the indexes of a generation that has them.
pub(crate) async fn take_listed(client: &Client, of: &Generation) -> Result<(), NotDone> {
    let stored = get(client, of).await?;
    if let Some(sql) = Tables::of(&stored).take_listed().filter(|_| stored.indexed) {
        // Nobody waits for it.
        client.batch_execute("SET statement_timeout TO 0").await?;
        client.query_typed(&sql, &[]).await?;
    }
    Ok(())
}

/// What taking over comes to, among all of the view.
fn decide(all: &[Stored], lease: &Lease) -> Result<Succession, NotDone> {
    let own = all.iter().find(|stored| stored.state.of == lease.of).ok_or_else(|| unknown(&lease.of))?;
    if own.token != lease.token {
        return Err(ViewError::Fenced.into());
    }
    let states: Vec<GenerationState> = all.iter().map(|stored| stored.state.clone()).collect();
    succession(&states, &lease.of).ok_or_else(|| unknown(&lease.of))
}

/// Makes a generation ready, and gives its tables the names that SQL knows, all in one transaction.
pub(crate) async fn take_over(
    client: &mut Client,
    schema: &Schema,
    lease: &Lease,
) -> Result<TakenOver, NotDone> {
    let tx = alone(client, schema).await?;
    // Which tables it is about changes only under the lock that is held here, so what is locked by this is what is needed below.
    let all = of_view(&tx, OF_VIEW, &lease.of.view).await?;
    let (serves, served, gone) = match decide(&all, lease)? {
        Succession::Behind(ahead) => return Ok(TakenOver::Behind(ahead)),
        Succession::Ready { serves, served, gone } => (serves, served, gone),
    };
    let ends =
        |stored: &&Stored| served.as_ref() == Some(&stored.state.of) || gone.contains(&stored.state.of);
    let begins = |stored: &&Stored| stored.state.of == lease.of && serves && !stored.state.serving;
    let mut locks = String::new();
    for stored in all.iter().filter(|one| ends(one) || begins(one)) {
        // What somebody has dropped can't be locked, and need not be.
        if are_there(&tx, stored).await? {
            locks.push_str(&Tables::of(stored).lock());
        }
    }
    tx.batch_execute(&locks).await?;
    // Whoever wrote into them is through now; what they came to decides.
    let all = of_view(&tx, OF_VIEW_LOCKED, &lease.of.view).await?;
    if let Succession::Behind(ahead) = decide(&all, lease)? {
        return Ok(TakenOver::Behind(ahead));
    }
    for stored in all.iter().filter(ends) {
        match gone.contains(&stored.state.of) {
            true => throw_away(&tx, stored).await?,
            false => {
                tx.batch_execute(&Tables::of(stored).rename(false)).await?;
                let sql = "UPDATE fd_projection SET serving = false WHERE id = $1";
                tx.execute_typed(sql, &[(&stored.id, Type::INT8)]).await?;
            }
        }
    }
    for stored in all.iter().filter(begins) {
        tx.batch_execute(&Tables::of(stored).rename(true)).await.map_err(|error| taken(error, stored))?;
    }
    let sql =
        "UPDATE fd_projection SET ready = true, serving = $4 WHERE view = $1 AND number = $2 AND build = $3";
    tx.execute_typed(sql, &Named::of(&lease.of).and(&[(&serves, Type::BOOL)])).await?;
    tx.commit().await?;
    Ok(TakenOver::Done)
}

/// Somebody has made a table of that name since the generation was prepared.
fn taken(error: Error, stored: &Stored) -> NotDone {
    match error.code() {
        Some(code) if *code == SqlState::DUPLICATE_TABLE => {
            let named = error.as_db_error().map(tokio_postgres::error::DbError::message).unwrap_or_default();
            let tables = stored.state.plan.tables();
            let table = tables.iter().find(|table| named.contains(&tables::quoted(table.name())));
            let table = table.map_or_else(String::new, |table| table.name().to_owned());
            ViewError::TableTaken { table }.into()
        }
        _ => error.into(),
    }
}

/// Takes the lease, or keeps it, by the database's clock.
pub(crate) async fn lease(
    client: &Client,
    of: &Generation,
    holder: &Holder,
    lasting: Duration,
) -> Result<Option<Lease>, NotDone> {
    // A row that somebody is just writing is passed over, for the next look: nobody waits, and no other view's lease does.
    let sql = "WITH got AS (
                 UPDATE fd_projection p SET token = p.token + (p.holder IS DISTINCT FROM $4)::int, holder = $4,
                   until = clock_timestamp() + make_interval(secs => $5)
                 WHERE p.id = (SELECT f.id FROM fd_projection f WHERE f.view = $1 AND f.number = $2 AND f.build = $3
                     AND (f.holder IS NULL OR f.holder = $4 OR f.until <= clock_timestamp()) FOR UPDATE SKIP LOCKED)
                 RETURNING p.token
               ) SELECT got.token FROM fd_projection p LEFT JOIN got ON true
               WHERE p.view = $1 AND p.number = $2 AND p.build = $3";
    let seconds = lasting.as_secs_f64().min(LEASE_SECONDS_MAX);
    let named = Named::of(of);
    let who = holder.as_str();
    let values = named.and(&[(&who, Type::TEXT), (&seconds, Type::FLOAT8)]);
    let rows = client.query_typed(sql, &values).await?;
    let row = rows.first().ok_or_else(|| unknown(of))?;
    let token: Option<i64> = row.try_get(0)?;
    Ok(token.map(|token| Lease { of: of.clone(), holder: holder.clone(), token }))
}

/// Gives a lease back, if it is still held.
pub(crate) async fn give_back(client: &Client, lease: &Lease) -> Result<(), NotDone> {
    let sql = "UPDATE fd_projection SET holder = NULL, until = NULL
               WHERE view = $1 AND number = $2 AND build = $3 AND token = $4";
    let values = Named::of(&lease.of);
    if client.execute_typed(sql, &values.and(&[(&lease.token, Type::INT8)])).await? == 0 {
        get(client, &lease.of).await?;
    }
    Ok(())
}

/// Says that generations are wanted now.
pub(crate) async fn want(client: &Client, wanted: &[Generation]) -> Result<(), NotDone> {
    let sql = "UPDATE fd_projection SET wanted = clock_timestamp() WHERE id IN (
                 SELECT p.id FROM fd_projection p JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) w(view, number, build)
                   ON p.view = w.view AND p.number = w.number AND p.build = w.build
                 FOR UPDATE OF p SKIP LOCKED)";
    let views: Vec<&str> = wanted.iter().map(|of| of.view.as_str()).collect();
    let numbers: Vec<i64> = wanted.iter().map(|of| i64::from(of.number)).collect();
    let builds: Vec<i64> = wanted.iter().map(|of| i64::from(of.build)).collect();
    let values: [(&(dyn ToSql + Sync), Type); 3] =
        [(&views, Type::TEXT_ARRAY), (&numbers, Type::INT8_ARRAY), (&builds, Type::INT8_ARRAY)];
    client.execute_typed(sql, &values).await?;
    Ok(())
}

/// Keeps why a generation does not go on.
pub(crate) async fn halt(client: &Client, lease: &Lease, halt: &Halt) -> Result<(), NotDone> {
    let halt = serde_json::to_string(halt).map_err(|error| Damage::new(error.to_string()))?;
    let sql =
        "UPDATE fd_projection SET halt = $5 WHERE view = $1 AND number = $2 AND build = $3 AND token = $4";
    let named = Named::of(&lease.of);
    let values = named.and(&[(&lease.token, Type::INT8), (&halt, Type::TEXT)]);
    if client.execute_typed(sql, &values).await? == 0 {
        get(client, &lease.of).await?;
        return Err(ViewError::Fenced.into());
    }
    Ok(())
}

/// Marks a generation.
pub(crate) async fn mark(client: &Client, of: &Generation, mark: &Mark) -> Result<(), NotDone> {
    let set = match mark {
        Mark::Pause => "paused = true",
        Mark::Resume => "paused = false, halt = NULL",
        Mark::Skip(position) => return skip(client, of, *position).await,
    };
    let sql = format!("UPDATE fd_projection SET {set} WHERE view = $1 AND number = $2 AND build = $3");
    match client.execute_typed(&sql, &Named::of(of).values()).await? {
        0 => Err(unknown(of)),
        _ => Ok(()),
    }
}

/// Has an event left out, if the generation stands before it, and still does so when that is written.
async fn skip(client: &Client, of: &Generation, position: Position) -> Result<(), NotDone> {
    let named = Named::of(of);
    let sql = "SELECT p.halt FROM fd_projection p WHERE p.view = $1 AND p.number = $2 AND p.build = $3";
    let rows = client.query_typed(sql, &named.values()).await?;
    let halt: Option<&str> = rows.first().ok_or_else(|| unknown(of))?.try_get(0)?;
    let stands = halt.and_then(|halt| serde_json::from_str::<Halt>(halt).ok());
    if stands.is_none_or(|halt| !halt.may_be_skipped_at(position)) {
        return Err(ViewError::NotHalted(position).into());
    }
    let sql = "UPDATE fd_projection SET halt = NULL, skips = (skips::jsonb || to_jsonb($5::bigint))::text
               WHERE view = $1 AND number = $2 AND build = $3 AND halt = $4";
    let position_number = position.get();
    let values = named.and(&[(&halt, Type::TEXT), (&position_number, Type::INT8)]);
    match client.execute_typed(sql, &values).await? {
        0 => Err(ViewError::NotHalted(position).into()),
        _ => Ok(()),
    }
}

/// Nobody waits for the disk here: rows and checkpoint are lost together, and folded again. What they were folded from is on it, for
/// that was written before.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit TO off";

/// Puts and removes rows and moves the checkpoint, in one transaction.
pub(crate) async fn apply(
    client: &Client,
    work: &Work,
    head: &watch::Receiver<Position>,
) -> Result<(), NotDone> {
    let mut attempt = 1;
    loop {
        let (begun, stored) = join(client.batch_execute(BEGIN), find(client, &work.lease.of)).await;
        begun?;
        let tried = match check(stored?, work) {
            Ok(stored) => {
                kill_point!("view-before-rows");
                write(client, &stored, work, head).await
            }
            Err(refused) => Err(refused),
        };
        match tried {
            Ok(true) => break,
            // It has other names by now, or another checkpoint: the next look tells which.
            Ok(false) => client.batch_execute("ROLLBACK").await?,
            Err(error) => {
                let back = client.batch_execute("ROLLBACK").await;
                if attempt == RENAMED_MAX || !error.is_of_names() || back.is_err() {
                    return Err(error);
                }
            }
        }
        if attempt == RENAMED_MAX {
            return Err(ViewError::failed(Reason::Busy, None).into());
        }
        attempt += 1;
    }
    kill_point!("view-before-commit");
    client.batch_execute("COMMIT").await?;
    kill_point!("view-after-commit");
    Ok(())
}

/// Refuses work that begins elsewhere, before any of it is written.
fn check(stored: Option<Stored>, work: &Work) -> Result<Stored, NotDone> {
    let stored = stored.ok_or_else(|| unknown(&work.lease.of))?;
    match stored.token == work.lease.token && stored.state.checkpoint == work.from {
        true => Ok(stored),
        false => Err(ViewError::Fenced.into()),
    }
}

/// Writes rows, and then moves the checkpoint if the generation's row is as it was. This is the fence: it comes last, so that
/// whoever wants the lease does not wait for the rows; two who write the same rows meet there, and only one of them here.
async fn write(
    client: &Client,
    stored: &Stored,
    work: &Work,
    head: &watch::Receiver<Position>,
) -> Result<bool, NotDone> {
    // What can be asked is folded as soon as it can be.
    let mut pace = if stored.state.ready { Pace::full() } else { Pace::beside(head.clone()) };
    let mut writes = tables::writes(client, Tables::of(stored), &work.changes, stored.state.ready);
    writes.push(advance(client, stored, work).boxed());
    let moved = tables::send(writes, &mut pace).await?;
    kill_point!("view-after-rows");
    Ok(moved == 1)
}

async fn advance(client: &Client, stored: &Stored, work: &Work) -> Result<u64, Error> {
    let sql = "UPDATE fd_projection SET position = $3, folded = $4, hash = $5, halt = NULL
               WHERE id = $1 AND token = $2 AND position = $6 AND folded IS NOT DISTINCT FROM $7
                 AND hash IS NOT DISTINCT FROM $8 AND serving = $9";
    let place =
        |checkpoint: &Checkpoint| (checkpoint.position.get(), checkpoint.folded.map(|(at, _)| at.get()));
    let ((to, to_folded), (from, from_folded)) = (place(&work.to), place(&work.from));
    let to_hash = work.to.folded.as_ref().map(|(_, hash)| hash.as_bytes().as_slice());
    let from_hash = work.from.folded.as_ref().map(|(_, hash)| hash.as_bytes().as_slice());
    let values: [(&(dyn ToSql + Sync), Type); 9] = [
        (&stored.id, Type::INT8),
        (&work.lease.token, Type::INT8),
        (&to, Type::INT8),
        (&to_folded, Type::INT8),
        (&to_hash, Type::BYTEA),
        (&from, Type::INT8),
        (&from_folded, Type::INT8),
        (&from_hash, Type::BYTEA),
        (&stored.state.serving, Type::BOOL),
    ];
    client.execute_typed(sql, &values).await
}

/// The rows under keys.
pub(crate) async fn load(
    client: &Client,
    of: &Generation,
    keys: &[(usize, Box<[Value]>)],
) -> Result<Vec<(usize, view::Row)>, NotDone> {
    for _ in 0..RENAMED_MAX {
        let stored = get(client, of).await?;
        if let Some(rows) = tables::load(client, &stored, keys).await? {
            return Ok(rows);
        }
    }
    // No renaming takes that long: somebody has dropped them.
    Err(Damage::new(format!("tables of the view {of} are not there")).into())
}

/// Why something was not done to a view: it is refused, or the database failed.
#[derive(Debug)]
pub(crate) enum NotDone {
    Refused(ViewError),
    Failed(Damage),
}

impl NotDone {
    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Failed(Damage::Sql(error)) => error.code(),
            _ => None,
        }
    }

    /// Whether someone else was in the way, who will not be for long.
    pub(crate) fn is_in_the_way(&self) -> bool {
        let (lock, deadlock, other) = (
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
        );
        self.code().is_some_and(|code| *code == lock || *code == deadlock || *code == other)
    }

    /// Whether tables are not called, or not made, as they were a moment ago.
    pub(crate) fn is_of_names(&self) -> bool {
        matches!(self, Self::Failed(Damage::Sql(error)) if tables::is_of_names(error))
    }
}

impl From<ViewError> for NotDone {
    fn from(error: ViewError) -> Self {
        Self::Refused(error)
    }
}

impl From<Damage> for NotDone {
    fn from(damage: Damage) -> Self {
        Self::Failed(damage)
    }
}

impl From<Error> for NotDone {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<NotDone> for ViewError {
    fn from(error: NotDone) -> Self {
        let reason = match error.code() {
            _ if error.is_in_the_way() => Some(Reason::Busy),
            Some(code) if *code == SqlState::DISK_FULL => Some(Reason::Full),
            Some(code)
                if *code == SqlState::READ_ONLY_SQL_TRANSACTION
                    || *code == SqlState::INSUFFICIENT_PRIVILEGE =>
            {
                Some(Reason::ReadOnly)
            }
            _ => None,
        };
        match (error, reason) {
            (NotDone::Refused(error), _) => error,
            (NotDone::Failed(Damage::Sql(error)), Some(reason)) => {
                StoreError::Failed { reason, source: Some(error.into()) }.into()
            }
            (NotDone::Failed(damage), _) => to_error(damage).into(),
        }
    }
}
