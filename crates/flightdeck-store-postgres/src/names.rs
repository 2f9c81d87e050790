//! Names for numbers: which stream and which type a number in a row stands for.
//!
//! Streams and types never change their names, so what was looked up once stays true as long as the log is the
//! same. The table is bounded: when it is full it is emptied, and fills again with what is used now.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use flightdeck_core::{EventType, StreamId};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::connection::Session;
use crate::row::Damage;

/// Entries a table holds at the most: some 10 MB of names.
const ENTRIES_MAX: usize = 65_536;

/// The names that reads have met so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    streams: RwLock<HashMap<i64, StreamId>>,
    types: RwLock<HashMap<i32, EventType>>,
}

/// The names that the rows of one page need. The shared table may be emptied while they are read; this is not.
pub(crate) struct Known {
    streams: HashMap<i64, StreamId>,
    types: HashMap<i32, EventType>,
}

impl Names {
    /// The names of everything that the rows have numbers for, in columns `stream` and `event_type`.
    pub(crate) async fn of(
        &self,
        session: &Session,
        rows: &[Row],
        stream: usize,
        event_type: usize,
    ) -> Result<Known, Damage> {
        let (mut streams, missing) = split(&self.streams, rows, stream)?;
        if !missing.is_empty() {
            let sql = "SELECT stream, name FROM fd_stream WHERE stream = ANY ($1)";
            let found = session.query(sql, &[&missing]).await?;
            streams.extend(add(&self.streams, &found, |name| StreamId::new(name).ok())?);
        }
        let (mut types, missing) = split(&self.types, rows, event_type)?;
        if !missing.is_empty() {
            let sql = "SELECT type, name FROM fd_type WHERE type = ANY ($1)";
            let found = session.query(sql, &[&missing]).await?;
            types.extend(add(&self.types, &found, |name| EventType::new(name).ok())?);
        }
        Ok(Known { streams, types })
    }

    /// Forgets everything: another history may have given the numbers to others.
    pub(crate) fn forget(&self) {
        self.streams.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.types.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Known {
    /// The stream of that number.
    pub(crate) fn stream(&self, number: i64) -> Result<StreamId, Damage> {
        let found = self.streams.get(&number).cloned();
        found.ok_or_else(|| Damage::new(format!("stream number {number} has no name")))
    }

    /// The event type of that number.
    pub(crate) fn event_type(&self, number: i32) -> Result<EventType, Damage> {
        let found = self.types.get(&number).cloned();
        found.ok_or_else(|| Damage::new(format!("event type number {number} has no name")))
    }
}

/// Splits the numbers in a column into those whose names are known, and those that are to be looked up.
fn split<N, T: Clone>(
    table: &RwLock<HashMap<N, T>>,
    rows: &[Row],
    column: usize,
) -> Result<(HashMap<N, T>, Vec<N>), Damage>
where
    N: Hash + Eq + Copy + for<'r> FromSql<'r>,
{
    let table = table.read().unwrap_or_else(PoisonError::into_inner);
    let (mut known, mut missing) = (HashMap::new(), HashSet::new());
    for row in rows {
        // A row without an event: a page that has nothing on it but its head.
        let Some(number) = row.try_get::<_, Option<N>>(column)? else { continue };
        match table.get(&number) {
            Some(name) if !known.contains_key(&number) => drop(known.insert(number, name.clone())),
            Some(_) => {}
            None => drop(missing.insert(number)),
        }
    }
    Ok((known, missing.into_iter().collect()))
}

/// Takes in what was looked up, and returns it.
fn add<N, T: Clone>(
    table: &RwLock<HashMap<N, T>>,
    rows: &[Row],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<(N, T)>, Damage>
where
    N: Hash + Eq + Copy + for<'r> FromSql<'r>,
{
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let name: &str = row.try_get(1)?;
        let parsed = parse(name).ok_or_else(|| Damage::new(format!("the name {name:?} is not legal")))?;
        found.push((row.try_get(0)?, parsed));
    }
    let mut table = table.write().unwrap_or_else(PoisonError::into_inner);
    if table.len() + found.len() > ENTRIES_MAX {
        table.clear();
    }
    table.extend(found.iter().cloned());
    Ok(found)
}
