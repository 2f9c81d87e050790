//! The tables of a generation: making, naming and emptying them, loading rows by their keys, and writing what changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use flightdeck_core::Timestamp;
use flightdeck_store::view::search::words_of;
use flightdeck_store::view::{Changes, Kind, Plan, Row, Table, Value, Wanted};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params_from_iter};

use crate::row::Damage;

/// The tables of one generation, and how they are called.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    id: i64,
    plan: Plan,
    serving: bool,
}

/// Which index of words a change goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// That of the words themselves, at once.
    Now,
    /// The list of rows to look at later.
    Later,
}

impl Tables {
    pub(crate) fn of(id: i64, plan: &Plan, serving: bool) -> Self {
        Self { id, plan: plan.clone(), serving }
    }

    /// What the table at `place` is called in the file.
    pub(crate) fn name(&self, place: usize) -> String {
        match self.serving {
            true => self.plan.tables()[place].name().to_owned(),
            false => self.private(place),
        }
    }

    fn private(&self, place: usize) -> String {
        format!("fd_view_{}_{place}", self.id)
    }

    /// What the index of words of the table at `place` is called.
    pub(crate) fn words(&self, place: usize) -> String {
        format!("fd_view_{}_{place}_words", self.id)
    }

    fn todo(&self, place: usize) -> String {
        format!("fd_view_{}_{place}_todo", self.id)
    }

    /// Makes all tables, under their private names.
    pub(crate) fn create(&self, conn: &Connection) -> rusqlite::Result<()> {
        for (place, table) in self.plan.tables().iter().enumerate() {
            conn.execute_batch(&self.ddl(place, table))?;
        }
        Ok(())
    }

    fn ddl(&self, place: usize, table: &Table) -> String {
        let name = self.private(place);
        let searched = !table.searched().is_empty();
        let mut columns: Vec<String> = Vec::new();
        if searched {
            // Of its own, for the index of words knows rows by it, and VACUUM gives others new numbers.
            columns.push("fd_row INTEGER PRIMARY KEY".to_owned());
        }
        for column in table.columns() {
            let kind = if matches!(column.kind, Kind::Integer | Kind::Boolean) { "INTEGER" } else { "TEXT" };
            let null = if column.nullable { "" } else { " NOT NULL" };
            let check = match column.kind {
                Kind::Boolean => format!(" CHECK (\"{}\" IN (0, 1))", column.name),
                _ => String::new(),
            };
            columns.push(format!("\"{}\" {kind}{null}{check}", column.name));
        }
        let key = if searched { "UNIQUE" } else { "PRIMARY KEY" };
        columns.push(format!(
            "{key} ({})",
            names(table.key_columns().iter().map(|column| column.name.as_str()))
        ));
        let mut sql = format!("CREATE TABLE \"{name}\" ({}) STRICT;\n", columns.join(", "));
        for (number, index) in table.indexes().iter().enumerate() {
            let columns = names(index.iter().map(String::as_str));
            let _infallible = writeln!(sql, "CREATE INDEX \"{name}_{number}\" ON \"{name}\" ({columns});");
        }
        if searched {
            // The words come ready made and with single spaces between them, so that they are the same on every store.
            let _infallible = writeln!(
                sql,
                "CREATE VIRTUAL TABLE \"{}\" USING fts5 (words, content='', contentless_delete=1, detail=none, tokenize='ascii');\n\
                 CREATE TABLE \"{}\" (fd_row INTEGER PRIMARY KEY) STRICT;",
                self.words(place),
                self.todo(place),
            );
        }
        sql
    }

    /// Gives the tables the names that were declared, or takes these from them.
    pub(crate) fn rename(&mut self, conn: &Connection, serving: bool) -> rusqlite::Result<()> {
        if self.serving == serving {
            return Ok(());
        }
        let before: Vec<String> = (0..self.plan.tables().len()).map(|place| self.name(place)).collect();
        self.serving = serving;
        for (place, before) in before.iter().enumerate() {
            conn.execute_batch(&format!("ALTER TABLE \"{before}\" RENAME TO \"{}\"", self.name(place)))?;
        }
        Ok(())
    }

    /// The rows under these keys.
    pub(crate) fn load(&self, conn: &Connection, keys: &Wanted) -> Result<Vec<(usize, Row)>, Damage> {
        let mut found = BTreeMap::new();
        let mut statements: BTreeMap<(usize, usize), String> = BTreeMap::new();
        for (place, key) in keys {
            let Some(table) = self.plan.tables().get(*place) else { continue };
            let sql = statements.entry((*place, key.len())).or_insert_with(|| {
                let columns = names(table.columns().iter().map(|column| column.name.as_str()));
                let same = equal(table, key.len());
                format!("SELECT {columns} FROM \"{}\"{same}", self.name(*place))
            });
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query(params_from_iter(key.iter().map(Cell)))?;
            while let Some(row) = rows.next()? {
                let row = read(table, row, 0)?;
                found.insert((*place, Box::<[Value]>::from(row.key())), row);
            }
        }
        Ok(found.into_iter().map(|((place, _), row)| (place, row)).collect())
    }

    /// Writes what changed.
    pub(crate) fn write(&self, conn: &Connection, changes: &Changes, words: Words) -> Result<(), Damage> {
        for changed in changes {
            let Some((place, table)) = self.plan.table(changed.table.name()) else {
                return Err(Damage::new(format!("the view has no table {}", changed.table.name())));
            };
            let searched = !table.searched().is_empty();
            if !changed.gone.is_empty() {
                let returning = if searched { " RETURNING fd_row" } else { "" };
                let sql = format!(
                    "DELETE FROM \"{}\"{}{returning}",
                    self.name(place),
                    equal(table, table.key_columns().len())
                );
                for key in &changed.gone {
                    let mut statement = conn.prepare_cached(&sql)?;
                    let values = params_from_iter(key.iter().map(Cell));
                    match searched {
                        true => {
                            let row: Option<i64> =
                                statement.query_row(values, |row| row.get(0)).optional()?;
                            row.map_or(Ok(()), |row| self.set_words(conn, place, row, None, words))?;
                        }
                        false => drop(statement.execute(values)?),
                    }
                }
            }
            if !changed.put.is_empty() {
                let sql = self.upsert(place, table);
                for row in &changed.put {
                    let mut statement = conn.prepare_cached(&sql)?;
                    let values = params_from_iter(row.values().iter().map(Cell));
                    match words_of(table, row) {
                        Some(text) => {
                            let number: i64 = statement.query_row(values, |row| row.get(0))?;
                            self.set_words(conn, place, number, Some(text), words)?;
                        }
                        None => drop(statement.execute(values)?),
                    }
                }
            }
        }
        Ok(())
    }

    fn upsert(&self, place: usize, table: &Table) -> String {
        let all = || table.columns().iter().map(|column| column.name.as_str());
        let key = names(table.key_columns().iter().map(|column| column.name.as_str()));
        let others: Vec<String> = table.columns()[table.key_columns().len()..]
            .iter()
            .map(|column| format!("\"{0}\" = excluded.\"{0}\"", column.name))
            .collect();
        let update = match others.is_empty() {
            true => format!("\"{0}\" = excluded.\"{0}\"", table.key_columns()[0].name),
            false => others.join(", "),
        };
        let places: Vec<String> = (1..=table.columns().len()).map(|place| format!("?{place}")).collect();
        let returning = if table.searched().is_empty() { "" } else { " RETURNING fd_row" };
        format!(
            "INSERT INTO \"{}\" ({}) VALUES ({}) ON CONFLICT ({key}) DO UPDATE SET {update}{returning}",
            self.name(place),
            names(all()),
            places.join(", "),
        )
    }

    /// Puts a row's words into their index, or takes them out of it.
    fn set_words(
        &self,
        conn: &Connection,
        place: usize,
        row: i64,
        text: Option<String>,
        when: Words,
    ) -> rusqlite::Result<()> {
        let words = self.words(place);
        match (when, text) {
            (Words::Later, _) => {
                let sql = format!("INSERT OR IGNORE INTO \"{}\" (fd_row) VALUES (?1)", self.todo(place));
                conn.prepare_cached(&sql)?.execute([row])?;
            }
            (Words::Now, Some(text)) => {
                let sql = format!("INSERT OR REPLACE INTO \"{words}\" (rowid, words) VALUES (?1, ?2)");
                conn.prepare_cached(&sql)?.execute((row, text))?;
            }
            (Words::Now, None) => {
                conn.prepare_cached(&format!("DELETE FROM \"{words}\" WHERE rowid = ?1"))?.execute([row])?;
            }
        }
        Ok(())
    }

    /// Whether there are rows whose words are to be looked at.
    pub(crate) fn has_todo(&self, conn: &Connection) -> Result<bool, Damage> {
        for (place, table) in self.plan.tables().iter().enumerate() {
            if !table.searched().is_empty() {
                let sql = format!("SELECT EXISTS (SELECT 1 FROM \"{}\")", self.todo(place));
                if conn.prepare_cached(&sql)?.query_row([], |row| row.get(0))? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Brings the words of up to `most` rows up to date that were left for later. Says how many it looked at.
    pub(crate) fn tend(&self, conn: &Connection, most: usize) -> Result<usize, Damage> {
        let mut done = 0;
        for (place, table) in self.plan.tables().iter().enumerate() {
            if table.searched().is_empty() || done >= most {
                continue;
            }
            let sql = format!("SELECT fd_row FROM \"{}\" LIMIT {}", self.todo(place), most - done);
            let todo: Vec<i64> =
                conn.prepare_cached(&sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let columns = names(table.columns().iter().map(|column| column.name.as_str()));
            let select = format!("SELECT {columns} FROM \"{}\" WHERE fd_row = ?1", self.name(place));
            let delete = format!("DELETE FROM \"{}\" WHERE fd_row = ?1", self.todo(place));
            for number in todo {
                let text = {
                    let mut statement = conn.prepare_cached(&select)?;
                    let mut rows = statement.query([number])?;
                    match rows.next()? {
                        Some(row) => words_of(table, &read(table, row, 0)?),
                        None => None,
                    }
                };
                self.set_words(conn, place, number, text, Words::Now)?;
                conn.prepare_cached(&delete)?.execute([number])?;
                done += 1;
            }
        }
        Ok(done)
    }
}

/// Takes up to `most` rows out of tables that nobody sees any more, and then the tables. `true`: nothing of them is left.
pub(crate) fn empty(conn: &Connection, id: i64, tables: usize, most: usize) -> rusqlite::Result<bool> {
    let mut left = most;
    for place in 0..tables {
        for name in [format!("fd_view_{id}_{place}_todo"), format!("fd_view_{id}_{place}")] {
            if !is_there(conn, &name)? {
                continue;
            }
            let sql =
                format!("DELETE FROM \"{name}\" WHERE rowid IN (SELECT rowid FROM \"{name}\" LIMIT {left})");
            let gone = conn.execute(&sql, [])?;
            if gone == left {
                return Ok(false);
            }
            left -= gone;
            conn.execute_batch(&format!("DROP TABLE \"{name}\""))?;
        }
        conn.execute_batch(&format!("DROP TABLE IF EXISTS \"fd_view_{id}_{place}_words\""))?;
    }
    Ok(true)
}

/// Whether the file has a table of that name, however it is written.
pub(crate) fn is_there(conn: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE)";
    conn.prepare_cached(sql)?.query_row([name], |row| row.get(0))
}

/// Names of columns, one behind the other.
pub(crate) fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// The condition that the first columns of the key are as they are said to be.
fn equal(table: &Table, many: usize) -> String {
    let columns = table.key_columns().iter().take(many).enumerate();
    let same: Vec<String> =
        columns.map(|(at, column)| format!("\"{}\" = ?{}", column.name, at + 1)).collect();
    if same.is_empty() { String::new() } else { format!(" WHERE {}", same.join(" AND ")) }
}

/// A value on its way into a cell.
pub(crate) struct Cell<'v>(pub(crate) &'v Value);

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Boolean(value) => (i64::from(*value)).into(),
            Value::Integer(value) => (*value).into(),
            Value::Time(value) => value.to_string().into(),
            Value::Text(text) | Value::Json(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::List(list) => serde_json::to_string(&**list).unwrap_or_else(|_| "[]".to_owned()).into(),
        })
    }
}

/// The row that stands in the columns from `first` on.
pub(crate) fn read(table: &Arc<Table>, row: &rusqlite::Row<'_>, first: usize) -> Result<Row, Damage> {
    let mut values = Vec::with_capacity(table.columns().len());
    for (at, column) in table.columns().iter().enumerate() {
        let damaged = || Damage::new(format!("a row of the view's table {} is damaged", table.name()));
        let cell = row.get_ref(first + at)?;
        let value = match (cell, column.kind) {
            (ValueRef::Null, _) => Value::Null,
            (ValueRef::Integer(number), Kind::Boolean) => Value::Boolean(number != 0),
            (ValueRef::Integer(number), Kind::Integer) => Value::Integer(number),
            (ValueRef::Text(bytes), kind) => {
                let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
                match kind {
                    Kind::Time => text.parse::<Timestamp>().map_err(|_| damaged())?.into(),
                    Kind::List => {
                        Value::List(serde_json::from_str::<Vec<_>>(text).map_err(|_| damaged())?.into())
                    }
                    Kind::Json => Value::Json(text.into()),
                    Kind::Text => text.into(),
                    Kind::Integer | Kind::Boolean => return Err(damaged()),
                }
            }
            _ => return Err(damaged()),
        };
        values.push(value);
    }
    Row::new(table, values).map_err(|error| Damage::new(error.to_string()))
}
