//! The tables of a generation: making, naming and emptying them, loading rows by their keys, and writing what changed.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::Timestamp;
use flightdeck_store::view::search::words_of;
use flightdeck_store::view::{Cell, Changes, Kind, Plan, Row, Table, TableChanges, Value, Wanted};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params_from_iter};

use crate::row::Damage;

/// How many pieces of an index of words there may be of one size before they are made one: each is asked, and making them one is what costs.
const SEGMENTS: u32 = 8;
/// At how many SQLite would make them one by itself, all at once and within a commit: never, as long as that is done bit by bit.
const SEGMENTS_MAX: u32 = 256;
/// Pages of an index of words that are made one at a time.
const MERGED_PAGES: u32 = 16;

/// The tables of one generation, and how they are called.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    id: i64,
    plan: Plan,
    serving: bool,
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

    pub(crate) fn todo(&self, place: usize) -> String {
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
            // The key behind it, so that rows that are alike come out of it in their order.
            let key = table.key_columns().iter().map(|column| &column.name);
            let behind = key.filter(|name| !index.contains(name));
            let columns = names(index.iter().chain(behind).map(String::as_str));
            let _infallible = writeln!(sql, "CREATE INDEX \"{name}_{number}\" ON \"{name}\" ({columns});");
        }
        if searched {
            // The words come ready made and with single spaces between them, so that they are the same on every store.
            let _infallible = writeln!(
                sql,
                "CREATE VIRTUAL TABLE \"{0}\" USING fts5 (words, content='', contentless_delete=1, detail=none, tokenize='ascii');\n\
                 {2}\
                 CREATE TABLE \"{1}\" (fd_row INTEGER PRIMARY KEY) STRICT;",
                self.words(place),
                self.todo(place),
                set_up_words(&self.words(place)),
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
            // Somebody may have dropped it.
            if !is_there(conn, before)? {
                continue;
            }
            conn.execute_batch(&format!("ALTER TABLE \"{before}\" RENAME TO \"{}\"", self.name(place)))?;
        }
        Ok(())
    }

    /// Whether all of them are there: anyone may drop a view.
    pub(crate) fn are_there(&self, conn: &Connection) -> rusqlite::Result<bool> {
        for place in 0..self.plan.tables().len() {
            if !is_there(conn, &self.name(place))? {
                return Ok(false);
            }
        }
        Ok(true)
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
            let mut rows = statement.query(params_from_iter(key.iter().map(Bound)))?;
            while let Some(row) = rows.next()? {
                let row = read(table, row, 0)?;
                found.insert((*place, Box::<[Value]>::from(row.key())), row);
            }
        }
        Ok(found.into_iter().map(|((place, _), row)| (place, row)).collect())
    }

    /// Writes what changed. The index of words is brought up to date later: it costs more than all the rest, and less in larger
    /// pieces.
    pub(crate) fn write(&self, conn: &Connection, changes: &Changes) -> Result<(), Damage> {
        for changed in changes {
            let Some((place, table)) = self.plan.table(changed.table.name()) else {
                return Err(Damage::new(format!("the view has no table {}", changed.table.name())));
            };
            let searched = !table.searched().is_empty();
            let worded = searched.then(|| self.worded(conn, place)).transpose()?;
            for key in &changed.gone {
                if let Some(row) = self.row_number(conn, place, table, key)? {
                    let sql = format!("DELETE FROM \"{}\" WHERE rowid = ?1", self.name(place));
                    conn.prepare_cached(&sql)?.execute([row])?;
                    self.remember(conn, place, row, worded)?;
                }
            }
            let mut statements = Statements::of(self.name(place), table);
            for row in &changed.put {
                let Some((number, before)) = statements.row(conn, row.key())? else {
                    let values = params_from_iter(row.values().iter().map(Bound));
                    conn.prepare_cached(&statements.insert)?.execute(values)?;
                    self.remember(conn, place, conn.last_insert_rowid(), worded)?;
                    continue;
                };
                let differ = Differ::between(before.as_ref(), row);
                if differ.is_nothing() {
                    continue;
                }
                let at = Value::Integer(number);
                let values = differ.of(row.values()).chain(std::iter::once(&at)).map(Bound);
                conn.prepare_cached(statements.update(differ))?.execute(params_from_iter(values))?;
                if differ.meets(statements.searched) {
                    self.remember(conn, place, number, worded)?;
                }
            }
        }
        Ok(())
    }

    /// The number of the row with that key, if it is there.
    fn row_number(
        &self,
        conn: &Connection,
        place: usize,
        table: &Table,
        key: &[Value],
    ) -> rusqlite::Result<Option<i64>> {
        let sql = format!("SELECT rowid FROM \"{}\"{}", self.name(place), equal(table, key.len()));
        let mut statement = conn.prepare_cached(&sql)?;
        statement.query_row(params_from_iter(key.iter().map(Bound)), |row| row.get(0)).optional()
    }

    /// The last row whose words have been looked at: those behind it have never been.
    pub(crate) fn worded(&self, conn: &Connection, place: usize) -> rusqlite::Result<i64> {
        let sql = format!("SELECT ifnull(max(id), 0) FROM \"{}_docsize\"", self.words(place));
        conn.prepare_cached(&sql)?.query_row([], |row| row.get(0))
    }

    /// Remembers that a row's words are to be looked at again; `worded` is nothing where there are no words.
    fn remember(
        &self,
        conn: &Connection,
        place: usize,
        row: i64,
        worded: Option<i64>,
    ) -> rusqlite::Result<()> {
        if worded.is_none_or(|worded| row > worded) {
            return Ok(());
        }
        let sql = format!("INSERT OR IGNORE INTO \"{}\" (fd_row) VALUES (?1)", self.todo(place));
        conn.prepare_cached(&sql)?.execute([row]).map(drop)
    }

    /// Puts a row's words into their index, or takes them out of it when there is no such row any more.
    fn set_words(
        &self,
        conn: &Connection,
        place: usize,
        row: i64,
        text: Option<String>,
    ) -> rusqlite::Result<()> {
        let words = self.words(place);
        match text {
            Some(text) => {
                let sql = format!("INSERT OR REPLACE INTO \"{words}\" (rowid, words) VALUES (?1, ?2)");
                conn.prepare_cached(&sql)?.execute((row, text))?;
            }
            None => {
                conn.prepare_cached(&format!("DELETE FROM \"{words}\" WHERE rowid = ?1"))?.execute([row])?;
            }
        }
        Ok(())
    }

    /// Whether there are rows whose words are to be looked at.
    pub(crate) fn has_todo(&self, conn: &Connection) -> Result<bool, Damage> {
        for (place, table) in self.plan.tables().iter().enumerate() {
            if !table.searched().is_empty() {
                let sql = format!(
                    "SELECT EXISTS (SELECT 1 FROM \"{}\") OR EXISTS (SELECT 1 FROM \"{}\" WHERE fd_row > ?1)",
                    self.todo(place),
                    self.name(place)
                );
                let worded = self.worded(conn, place)?;
                if conn.prepare_cached(&sql)?.query_row([worded], |row| row.get(0))? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Brings each index of words up to date, for about as long as is given, and makes some of its pieces one. Says whether all of that
    /// came to an end.
    pub(crate) fn tend(&self, conn: &Connection, time: Duration) -> Result<bool, Damage> {
        let mut all = true;
        for (place, table) in self.plan.tables().iter().enumerate() {
            if table.searched().is_empty() {
                continue;
            }
            let begin = Instant::now();
            all &= self.put_words(conn, place, table, || begin.elapsed() < time / 2)?;
            // At least once: however long the words took, they do not make pieces faster than these are made one.
            let mut goes_on = self.merge_words(conn, place)?;
            while goes_on && begin.elapsed() < time {
                goes_on = self.merge_words(conn, place)?;
            }
            all &= !goes_on;
        }
        Ok(all)
    }

    /// Has pieces of the indexes of words be made one by [`tend`](Self::tend) alone.
    pub(crate) fn set_up_words(&self, conn: &Connection) -> rusqlite::Result<()> {
        for (place, table) in self.plan.tables().iter().enumerate() {
            if !table.searched().is_empty() {
                conn.execute_batch(&set_up_words(&self.words(place)))?;
            }
        }
        Ok(())
    }

    /// Puts words into their index that are not there yet. Says whether that came to an end.
    fn put_words(
        &self,
        conn: &Connection,
        place: usize,
        table: &Arc<Table>,
        goes_on: impl Fn() -> bool,
    ) -> Result<bool, Damage> {
        let columns = names(table.columns().iter().map(|column| column.name.as_str()));
        let select = format!("SELECT {columns} FROM \"{}\" WHERE fd_row = ?1", self.name(place));
        let delete = format!("DELETE FROM \"{}\" WHERE fd_row = ?1", self.todo(place));
        let next_changed = format!("SELECT min(fd_row) FROM \"{}\"", self.todo(place));
        let next_new = format!("SELECT min(fd_row) FROM \"{}\" WHERE fd_row > ?1", self.name(place));
        let mut worded = self.worded(conn, place)?;
        loop {
            // What is new first: it is in the order of its numbers, so that it is known how far that has come.
            let mut next: Option<i64> =
                conn.prepare_cached(&next_new)?.query_row([worded], |row| row.get(0))?;
            let is_new = next.is_some();
            if !is_new {
                next = conn.prepare_cached(&next_changed)?.query_row([], |row| row.get(0))?;
            }
            let Some(number) = next else { return Ok(true) };
            let text = {
                let mut statement = conn.prepare_cached(&select)?;
                let mut rows = statement.query([number])?;
                match rows.next()? {
                    Some(row) => words_of(table, &read(table, row, 0)?),
                    None => None,
                }
            };
            self.set_words(conn, place, number, text)?;
            if is_new {
                worded = number;
            }
            conn.prepare_cached(&delete)?.execute([number])?;
            if !goes_on() {
                return Ok(false);
            }
        }
    }

    /// Makes some pieces of an index of words one, a bit at a time. Says whether there may be more to do.
    fn merge_words(&self, conn: &Connection, place: usize) -> rusqlite::Result<bool> {
        let before = conn.total_changes();
        let sql = format!(
            "INSERT INTO \"{0}\" (\"{0}\", rank) VALUES ('merge', {MERGED_PAGES})",
            self.words(place)
        );
        conn.prepare_cached(&sql)?.execute([])?;
        // The statement itself counts as one change.
        Ok(conn.total_changes() - before > 1)
    }
}

/// Has an index of words leave its pieces as they are, unless it is told otherwise.
fn set_up_words(words: &str) -> String {
    format!(
        "INSERT INTO \"{words}\" (\"{words}\", rank)\
         VALUES ('automerge', 0), ('usermerge', {SEGMENTS}), ('crisismerge', {SEGMENTS_MAX});\n"
    )
}

/// The statements that write rows into a table. They fail by FAIL: by ABORT, SQLite would copy every page that they touch, for
/// taking back a single statement.
struct Statements<'t> {
    name: String,
    table: &'t Arc<Table>,
    select: String,
    insert: String,
    updates: HashMap<u64, String>,
    searched: Differ,
}

impl<'t> Statements<'t> {
    fn of(name: String, table: &'t Arc<Table>) -> Self {
        let places: Vec<String> = (1..=table.columns().len()).map(|place| format!("?{place}")).collect();
        let all = names(table.columns().iter().map(|column| column.name.as_str()));
        let same = equal(table, table.key_columns().len());
        let select = format!("SELECT rowid, {all} FROM \"{name}\"{same}");
        let insert = format!("INSERT OR FAIL INTO \"{name}\" ({all}) VALUES ({})", places.join(", "));
        let searched = table.searched().iter().filter_map(|column| table.place(column));
        let searched = Differ(searched.fold(0, |all, place| all | (1 << place)));
        Self { name, table, select, insert, updates: HashMap::new(), searched }
    }

    /// The row with that key and its number, if it is there; of a row that can't be read, as somebody has left it, only the number.
    fn row(&self, conn: &Connection, key: &[Value]) -> rusqlite::Result<Option<(i64, Option<Row>)>> {
        let mut statement = conn.prepare_cached(&self.select)?;
        let found = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, read(self.table, row, 1).ok()));
        statement.query_row(params_from_iter(key.iter().map(Bound)), found).optional()
    }

    /// What changes these cells of a row. SQLite takes a row out of every index over a column that is set and puts it in again,
    /// whether or not it holds something else then.
    fn update(&mut self, differ: Differ) -> &str {
        self.updates.entry(differ.0).or_insert_with(|| {
            let set = differ.of(self.table.columns()).enumerate();
            let set: Vec<String> =
                set.map(|(at, column)| format!("\"{}\" = ?{}", column.name, at + 1)).collect();
            format!(
                "UPDATE OR FAIL \"{}\" SET {} WHERE rowid = ?{}",
                self.name,
                set.join(", "),
                set.len() + 1
            )
        })
    }
}

/// In which columns a row differs from what it was: a bit for each, of which there are at most 64.
#[derive(Debug, Clone, Copy)]
struct Differ(u64);

impl Differ {
    /// In all of them, if it is not known what it was.
    fn between(before: Option<&Row>, now: &Row) -> Self {
        let differs =
            |place: usize, value: &Value| before.is_none_or(|before| before.values()[place] != *value);
        let each = now.values().iter().enumerate();
        Self(each.fold(0, |all, (place, value)| all | (u64::from(differs(place, value)) << place)))
    }

    const fn is_nothing(self) -> bool {
        self.0 == 0
    }

    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those of a row's values, or columns, in which it differs.
    fn of<T>(self, each: &[T]) -> impl Iterator<Item = &T> {
        each.iter().enumerate().filter(move |(place, _)| self.0 >> place & 1 == 1).map(|(_, each)| each)
    }
}

/// What is staged for a generation that is being built: rows in the order in which they go into its tables.
pub(crate) struct Stage<'t>(pub(crate) &'t Tables);

impl Stage<'_> {
    fn name(&self) -> String {
        format!("fd_view_{}_stage", self.0.id)
    }

    /// Nothing is staged, whatever an earlier attempt has left. The table stays until the generation is built: each time that one comes
    /// or goes, every statement of every connection is prepared anew.
    pub(crate) fn begin(&self, conn: &Connection) -> rusqlite::Result<()> {
        let name = self.name();
        match is_there(conn, &name)? {
            true => conn.execute(&format!("DELETE FROM \"{name}\""), []).map(drop),
            false => conn.execute_batch(&format!(
                "CREATE TABLE \"{name}\" (number INTEGER PRIMARY KEY, place INTEGER NOT NULL, cells TEXT NOT NULL) STRICT"
            )),
        }
    }

    /// Nothing will be staged any more.
    pub(crate) fn end(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.execute_batch(&format!("DROP TABLE IF EXISTS \"{}\"", self.name()))
    }

    /// Stages rows, as [`staged`] has written them.
    pub(crate) fn put(&self, conn: &Connection, rows: &[(i64, String)]) -> rusqlite::Result<()> {
        let sql = format!("INSERT INTO \"{}\" (place, cells) VALUES (?1, ?2)", self.name());
        let mut insert = conn.prepare_cached(&sql)?;
        for (place, cells) in rows {
            insert.execute((place, cells))?;
        }
        Ok(())
    }

    /// Takes what is staged into the tables, for as long as it is told to go on. Says whether all of it is there.
    pub(crate) fn take(&self, conn: &Connection, goes_on: impl Fn() -> bool) -> Result<bool, Damage> {
        let name = self.name();
        while goes_on() {
            let sql = format!("SELECT number, place, cells FROM \"{name}\" ORDER BY number LIMIT 20");
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            let (mut changes, mut last) = (Changes::new(), None);
            while let Some(row) = rows.next()? {
                last = Some(row.get::<_, i64>(0)?);
                self.add(&mut changes, row.get(1)?, row.get_ref(2)?.as_str().unwrap_or_default())?;
            }
            drop(rows);
            let Some(last) = last else { return Ok(true) };
            self.0.write(conn, &changes)?;
            conn.prepare_cached(&format!("DELETE FROM \"{name}\" WHERE number <= ?1"))?.execute([last])?;
        }
        Ok(false)
    }

    fn add(&self, changes: &mut Changes, place: i64, cells: &str) -> Result<(), Damage> {
        let damaged = || Damage::new("what is staged for a view is damaged");
        let cells: Vec<Cell> = serde_json::from_str(cells).map_err(|_| damaged())?;
        let values: Vec<Value> =
            cells.into_iter().map(Cell::value).collect::<Option<_>>().ok_or_else(damaged)?;
        let gone = place < 0;
        let place = usize::try_from(if gone { -1 - place } else { place }).map_err(|_| damaged())?;
        let table = self.0.plan.tables().get(place).ok_or_else(damaged)?;
        if changes.last().is_none_or(|last| last.table.name() != table.name()) {
            changes.push(TableChanges { table: Arc::clone(table), put: Vec::new(), gone: Vec::new() });
        }
        if let Some(last) = changes.last_mut() {
            match gone {
                true => last.gone.push(values.into()),
                false => last.put.push(Row::new(table, values).map_err(|_| damaged())?),
            }
        }
        Ok(())
    }
}

/// What changed, as it is staged: a negative place says that the rows with these keys go.
pub(crate) fn staged(plan: &Plan, changes: &Changes) -> Vec<(i64, String)> {
    let mut rows = Vec::new();
    for changed in changes {
        let Some((place, _)) = plan.table(changed.table.name()) else { continue };
        let place = i64::try_from(place).unwrap_or(0);
        let written = |values: &[Value]| {
            serde_json::to_string(&values.iter().map(Cell::from).collect::<Vec<_>>()).unwrap_or_default()
        };
        rows.extend(changed.gone.iter().map(|key| (-1 - place, written(key))));
        rows.extend(changed.put.iter().map(|row| (place, written(row.values()))));
    }
    rows
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
    conn.execute_batch(&format!("DROP TABLE IF EXISTS \"fd_view_{id}_stage\""))?;
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
pub(crate) struct Bound<'v>(pub(crate) &'v Value);

impl ToSql for Bound<'_> {
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
