//! Names for numbers: which stream and which type a number in a row stands for.
//!
//! Streams and types never change their names, so what was looked up once stays true. The table is bounded:
//! when it is full it is emptied, and fills again with what is used now.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use flightdeck_core::{EventType, StreamId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::row::Damage;

/// Entries a table holds at the most: some 10 MB of names.
const ENTRIES_MAX: usize = 65_536;

/// The names that reads have met so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    streams: RwLock<HashMap<i64, StreamId>>,
    types: RwLock<HashMap<i64, EventType>>,
}

impl Names {
    /// The stream of that number.
    pub(crate) fn stream(&self, conn: &Connection, number: i64) -> Result<StreamId, Damage> {
        let sql = "SELECT name FROM fd_stream WHERE stream = ?1";
        look_up(&self.streams, number, || name(conn, sql, number, "stream"), |name| StreamId::new(name).ok())
    }

    /// The event type of that number.
    pub(crate) fn event_type(&self, conn: &Connection, number: i64) -> Result<EventType, Damage> {
        let sql = "SELECT name FROM fd_type WHERE type = ?1";
        look_up(
            &self.types,
            number,
            || name(conn, sql, number, "event type"),
            |name| EventType::new(name).ok(),
        )
    }
}

fn look_up<T: Clone>(
    table: &RwLock<HashMap<i64, T>>,
    number: i64,
    read: impl FnOnce() -> Result<String, Damage>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Damage> {
    if let Some(found) = table.read().unwrap_or_else(PoisonError::into_inner).get(&number) {
        return Ok(found.clone());
    }
    let name = read()?;
    let found =
        parse(&name).ok_or_else(|| Damage::new(format!("the name of number {number} is not legal")))?;
    let mut table = table.write().unwrap_or_else(PoisonError::into_inner);
    if table.len() >= ENTRIES_MAX {
        table.clear();
    }
    table.insert(number, found.clone());
    Ok(found)
}

fn name(conn: &Connection, sql: &str, number: i64, what: &str) -> Result<String, Damage> {
    let found = conn.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?;
    found.ok_or_else(|| Damage::new(format!("{what} number {number} has no name")))
}
