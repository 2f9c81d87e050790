//! The table of generations: which there are, how far each is folded, and what each was told.

use flightdeck_core::{Position, Timestamp};
use flightdeck_store::chain::Hash;
use flightdeck_store::view::{
    Checkpoint, Generation, GenerationState, Halt, InvalidPlan, Plan, ViewError, ViewName,
};
use rusqlite::{Connection, Row, params};

use crate::row::Damage;

/// A generation as the file has it. Who holds it is known in memory only: a process that is gone holds nothing.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// What its tables are named after.
    pub(crate) id: i64,
    pub(crate) state: GenerationState,
    /// Where it will be once all that is staged for it is in its tables.
    pub(crate) staged: Option<Checkpoint>,
}

const SELECT: &str = "SELECT id, view, number, build, fingerprint, plan, ready, serving, paused, position, folded, hash, halt, \
                      skips, wanted, staged FROM fd_projection WHERE gone = 0";

/// Every generation, by view, number and build.
pub(crate) fn all(conn: &Connection, now: Timestamp) -> Result<Vec<Stored>, Damage> {
    select(conn, "ORDER BY view, number, build", params![], now)
}

/// Every generation of a view, by number and build.
pub(crate) fn of_view(conn: &Connection, view: &ViewName, now: Timestamp) -> Result<Vec<Stored>, Damage> {
    select(conn, "AND view = ?1 ORDER BY number, build", params![view.as_str()], now)
}

/// One generation.
pub(crate) fn find(conn: &Connection, of: &Generation) -> Result<Option<Stored>, Damage> {
    let rest = "AND view = ?1 AND number = ?2 AND build = ?3";
    // For how long nobody has wanted it is of no interest here.
    let now = Timestamp::from_micros(0).unwrap_or_else(|_| unreachable!("1970 is a time"));
    let found = select(conn, rest, params![of.view.as_str(), of.number, of.build], now)?;
    Ok(found.into_iter().next())
}

/// What the tables of a generation are named after, its plan, and whether they have the names that were declared.
pub(crate) type Named = (i64, Result<Plan, InvalidPlan>, bool);

/// Every generation there is, those included that are being thrown away.
pub(crate) fn every_one(conn: &Connection) -> rusqlite::Result<Vec<Named>> {
    let there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'fd_projection')";
    if !conn.query_row(there, [], |row| row.get::<_, bool>(0))? {
        return Ok(Vec::new());
    }
    let mut statement =
        conn.prepare("SELECT id, view, number, fingerprint, plan, serving FROM fd_projection")?;
    let found = statement.query_map([], |row| {
        let (view, tables): (String, String) = (row.get(1)?, row.get(4)?);
        let (number, fingerprint) = (row.get(2)?, row.get(3)?);
        let plan =
            ViewName::new(view).and_then(|view| Plan::from_stored(&view, number, &tables, fingerprint));
        Ok((row.get(0)?, plan, row.get(5)?))
    });
    found?.collect()
}

/// One generation, which must be there.
pub(crate) fn get(conn: &Connection, of: &Generation) -> Result<Stored, NotDone> {
    find(conn, of)?.ok_or_else(|| ViewError::Unknown(of.to_string()).into())
}

fn select(
    conn: &Connection,
    rest: &str,
    values: &[&dyn rusqlite::ToSql],
    now: Timestamp,
) -> Result<Vec<Stored>, Damage> {
    let mut statement = conn.prepare_cached(&format!("{SELECT} {rest}"))?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row, now)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>, now: Timestamp) -> Result<Stored, Damage> {
    let id: i64 = row.get(0)?;
    let damaged =
        |what: &dyn std::fmt::Display| Damage::new(format!("the row of projection {id} is damaged: {what}"));
    let view = ViewName::new(row.get::<_, String>(1)?).map_err(|error| damaged(&error))?;
    let of = Generation { view: view.clone(), number: row.get(2)?, build: row.get(3)? };
    let plan = Plan::from_stored(&view, of.number, &row.get::<_, String>(5)?, row.get(4)?);
    let position = |number: i64| Position::new(number).map_err(|error| damaged(&error));
    let folded = match (row.get::<_, Option<i64>>(10)?, row.get::<_, Option<[u8; 32]>>(11)?) {
        (Some(at), Some(hash)) => Some((position(at)?, Hash::from_bytes(hash))),
        _ => None,
    };
    let halt: Option<String> = row.get(12)?;
    let halt: Option<Halt> =
        halt.map(|halt| serde_json::from_str(&halt)).transpose().map_err(|error| damaged(&error))?;
    let skips: Vec<i64> =
        serde_json::from_str(&row.get::<_, String>(13)?).map_err(|error| damaged(&error))?;
    let state = GenerationState {
        plan: plan.map_err(|error| damaged(&error))?,
        ready: row.get(6)?,
        serving: row.get(7)?,
        paused: row.get(8)?,
        checkpoint: Checkpoint { position: position(row.get(9)?)?, folded },
        halt,
        skips: skips.into_iter().map(position).collect::<Result<_, _>>()?,
        holder: None,
        unwanted_seconds: (now.micros() - row.get::<_, i64>(14)?).max(0) / 1_000_000,
        of,
    };
    let staged: Option<String> = row.get(15)?;
    let staged =
        staged.map(|staged| staged_at(&staged).ok_or_else(|| damaged(&"what is staged"))).transpose()?;
    Ok(Stored { id, state, staged })
}

/// Adds a generation, and returns what its tables are named after.
pub(crate) fn insert(
    conn: &Connection,
    plan: &Plan,
    build: u32,
    skips: &[Position],
    now: Timestamp,
) -> Result<i64, Damage> {
    let sql = "INSERT INTO fd_projection (view, number, build, fingerprint, plan, skips, wanted)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (view, stored) = (plan.view().as_str(), plan.to_stored());
    let values =
        params![view, plan.number(), build, plan.fingerprint(), stored, to_json(skips), now.micros()];
    conn.execute(sql, values)?;
    Ok(conn.last_insert_rowid())
}

/// The build after all that there were, those included that are being thrown away.
pub(crate) fn next_build(conn: &Connection, plan: &Plan) -> Result<u32, Damage> {
    let sql = "SELECT ifnull(max(build), 0) + 1 FROM fd_projection WHERE view = ?1 AND number = ?2";
    Ok(conn.query_row(sql, params![plan.view().as_str(), plan.number()], |row| row.get(0))?)
}

/// Moves the checkpoint, if it is where it should be. What goes on has not come to a halt.
pub(crate) fn advance(
    conn: &Connection,
    id: i64,
    from: &Checkpoint,
    to: &Checkpoint,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE fd_projection SET position = ?2, folded = ?3, hash = ?4, halt = NULL
               WHERE id = ?1 AND position = ?5 AND folded IS ?6 AND hash IS ?7";
    let place = |checkpoint: &Checkpoint| checkpoint.folded.map(|(at, hash)| (at.get(), *hash.as_bytes()));
    let (new, old) = (place(to), place(from));
    let moved = conn.prepare_cached(sql)?.execute(params![
        id,
        to.position.get(),
        new.map(|new| new.0),
        new.map(|new| new.1),
        from.position.get(),
        old.map(|old| old.0),
        old.map(|old| old.1),
    ])?;
    Ok(moved == 1)
}

/// Keeps where a generation will be once all that is staged for it is in its tables; nothing when it is.
pub(crate) fn set_staged(conn: &Connection, id: i64, to: Option<&Checkpoint>) -> rusqlite::Result<()> {
    let staged = to.map(|to| {
        let folded = to.folded.map(|(at, hash)| (at.get(), *hash.as_bytes()));
        serde_json::json!([to.position.get(), folded]).to_string()
    });
    conn.execute("UPDATE fd_projection SET staged = ?2 WHERE id = ?1", params![id, staged]).map(drop)
}

fn staged_at(text: &str) -> Option<Checkpoint> {
    let (position, folded): (i64, Option<(i64, [u8; 32])>) = serde_json::from_str(text).ok()?;
    let folded = match folded {
        Some((at, hash)) => Some((Position::new(at).ok()?, Hash::from_bytes(hash))),
        None => None,
    };
    Some(Checkpoint { position: Position::new(position).ok()?, folded })
}

/// Keeps why a generation does not go on, or that it does.
pub(crate) fn set_halt(conn: &Connection, id: i64, halt: Option<&Halt>) -> rusqlite::Result<()> {
    let halt = halt.and_then(|halt| serde_json::to_string(halt).ok());
    conn.prepare_cached("UPDATE fd_projection SET halt = ?2 WHERE id = ?1")?
        .execute(params![id, halt])
        .map(drop)
}

/// Keeps whether a generation waits.
pub(crate) fn set_paused(conn: &Connection, id: i64, paused: bool) -> rusqlite::Result<()> {
    conn.execute("UPDATE fd_projection SET paused = ?2 WHERE id = ?1", params![id, paused]).map(drop)
}

/// Keeps what a generation leaves out.
pub(crate) fn set_skips(conn: &Connection, id: i64, skips: &[Position]) -> rusqlite::Result<()> {
    conn.execute("UPDATE fd_projection SET skips = ?2 WHERE id = ?1", params![id, to_json(skips)]).map(drop)
}

/// Keeps whether a generation is ready and serves.
pub(crate) fn set_serving(conn: &Connection, id: i64, ready: bool, serving: bool) -> rusqlite::Result<()> {
    let sql = "UPDATE fd_projection SET ready = ?2, serving = ?3 WHERE id = ?1";
    conn.execute(sql, params![id, ready, serving]).map(drop)
}

/// Says that a generation is wanted now.
pub(crate) fn want(conn: &Connection, of: &Generation, now: Timestamp) -> rusqlite::Result<bool> {
    let sql =
        "UPDATE fd_projection SET wanted = ?4 WHERE view = ?1 AND number = ?2 AND build = ?3 AND gone = 0";
    Ok(conn.execute(sql, params![of.view.as_str(), of.number, of.build, now.micros()])? > 0)
}

/// From here on nobody sees it; its tables are emptied bit by bit.
pub(crate) fn set_gone(conn: &Connection, id: i64) -> rusqlite::Result<()> {
    conn.execute("UPDATE fd_projection SET gone = 1, serving = 0 WHERE id = ?1", [id]).map(drop)
}

/// One that is being thrown away, with its tables.
pub(crate) fn next_gone(conn: &Connection) -> Result<Option<(i64, usize)>, Damage> {
    let mut statement = conn.prepare_cached("SELECT id, plan FROM fd_projection WHERE gone = 1 LIMIT 1")?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let tables: Vec<serde_json::Value> = serde_json::from_str(&row.get::<_, String>(1)?).unwrap_or_default();
    Ok(Some((row.get(0)?, tables.len())))
}

/// The last of it.
pub(crate) fn forget(conn: &Connection, id: i64) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM fd_projection WHERE id = ?1", [id]).map(drop)
}

fn to_json(positions: &[Position]) -> String {
    let numbers: Vec<i64> = positions.iter().map(|position| position.get()).collect();
    serde_json::to_string(&numbers).unwrap_or_else(|_| "[]".to_owned())
}

/// Why something was not done to a view: it is refused, or the file failed.
#[derive(Debug)]
pub(crate) enum NotDone {
    Refused(ViewError),
    Failed(Damage),
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

impl From<rusqlite::Error> for NotDone {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}
