//! The tables of a generation: how they are made, called and thrown away, and how rows come out of them and go into them.
//!
//! Names come from plans, whose names are all `[a-z][a-z0-9_]*`; they are quoted, for some of them mean something to SQL.
//! Values are never part of the SQL. A cell goes over the wire as what its column is, so that nothing is lost on the way.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut as _, BytesMut};
use flightdeck_core::Timestamp;
use flightdeck_store::Pace;
use flightdeck_store::view::search::words_of;
use flightdeck_store::view::{Column, Kind, Plan, Row, Table, Value};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Error};

use crate::generations::Stored;
use crate::row::Damage;

/// Rows that are looked up, or go into one statement, at the most.
const CHUNK_ROWS: usize = 1_000;
/// Rows that go into one statement of a build: whoever appends beside it waits for the same processors.
const BUILDING_ROWS: usize = 100;
/// Bytes that go into one statement, unless a single row has more.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Statements that are on their way at once.
const AT_ONCE: usize = 3;
/// Columns of an index, by the database's own limit.
const INDEX_COLUMNS_MAX: usize = 32;
/// How much may be listed before the one who lists more has to take it into an index, in KiB. It is taken in long before that;
/// 128 MB were reached at 10,000 appends/s, and whoever folded took it in.
const LISTED_KIB: u32 = 512 * 1024;
/// A tsvector knows its words by their places in 20 bits; what is behind is not found.
const WORDS_BYTES_MAX: usize = 1_000_000;
/// Microseconds from 1970, where our times begin, to 2000, where the database's do.
const TO_2000_MICROS: i64 = 946_684_800_000_000;

/// The tables of a generation, by the names that they have while it serves or does not.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'p> {
    pub(crate) id: i64,
    pub(crate) plan: &'p Plan,
    pub(crate) serving: bool,
}

impl<'p> Tables<'p> {
    pub(crate) fn of(stored: &'p Stored) -> Self {
        Self { id: stored.id, plan: &stored.state.plan, serving: stored.state.serving }
    }

    /// A table's name, quoted.
    pub(crate) fn name(&self, place: usize) -> String {
        match self.plan.tables().get(place).filter(|_| self.serving) {
            Some(table) => quoted(table.name()),
            None => format!("\"fd_view_{}_{place}\"", self.id),
        }
    }

    /// All names, with commas between them.
    fn names(&self) -> String {
        (0..self.plan.tables().len()).map(|place| self.name(place)).collect::<Vec<_>>().join(", ")
    }

    /// The SQL that makes the tables, with no index but the one of the key.
    pub(crate) fn create(&self) -> String {
        let mut sql = String::new();
        for (place, table) in self.plan.tables().iter().enumerate() {
            let mut columns: Vec<String> = table.columns().iter().map(declared).collect();
            if !table.searched().is_empty() {
                columns.push("fd_words tsvector NOT NULL".to_owned());
            }
            let key = names(table.key_columns().iter().map(|column| &*column.name));
            // Writing into a string can't fail; the same goes for all below.
            let _ = write!(
                sql,
                "CREATE TABLE {} ({}, CONSTRAINT \"fd_view_{}_{place}_key\" PRIMARY KEY ({key})) WITH (fillfactor = 80, \
                 autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);",
                self.name(place),
                columns.join(", "),
                self.id
            );
        }
        sql
    }

    /// The statements that make all further indexes, and have the tables looked over, so that the first who asks is answered well.
    pub(crate) fn index(&self) -> Vec<String> {
        let mut sql = Vec::new();
        for (place, table) in self.plan.tables().iter().enumerate() {
            let (name, id) = (self.name(place), self.id);
            for (number, columns) in table.indexes().iter().enumerate() {
                let over = indexed(table, columns);
                sql.push(format!("CREATE INDEX \"fd_view_{id}_{place}_{number}\" ON {name} ({over})"));
            }
            // What is not yet in the index is listed, and goes there in one go every few seconds: each entry for itself would cost more
            // than all the rest of the row. The search goes through the list as well.
            let listed = format!("WITH (gin_pending_list_limit = {LISTED_KIB})");
            let lists = table.columns().iter().enumerate().filter(|(_, column)| column.kind == Kind::List);
            for (number, column) in lists {
                let over = quoted(&column.name);
                sql.push(format!(
                    "CREATE INDEX \"fd_view_{id}_{place}_has_{number}\" ON {name} USING gin ({over}) {listed}"
                ));
            }
            if !table.searched().is_empty() {
                sql.push(format!(
                    "CREATE INDEX \"fd_view_{id}_{place}_words\" ON {name} USING gin (fd_words) {listed}"
                ));
            }
            sql.push(format!("ANALYZE {name}"));
        }
        sql
    }

    /// The SQL that has what is only listed taken into the indexes; nothing when there is no such index.
    pub(crate) fn take_listed(&self) -> Option<String> {
        let mut each = Vec::new();
        for (place, table) in self.plan.tables().iter().enumerate() {
            let index =
                |what: &str| format!("gin_clean_pending_list('\"fd_view_{}_{place}_{what}\"')", self.id);
            let lists = table.columns().iter().enumerate().filter(|(_, column)| column.kind == Kind::List);
            each.extend(lists.map(|(number, _)| index(&format!("has_{number}"))));
            if !table.searched().is_empty() {
                each.push(index("words"));
            }
        }
        (!each.is_empty()).then(|| format!("SELECT {}", each.join(", ")))
    }

    /// The SQL that throws the tables away. What somebody has built on them with SQL of their own goes with them: left in
    /// the way, it would keep the old rows for ever.
    pub(crate) fn drop(&self) -> String {
        match self.plan.tables() {
            [] => String::new(),
            _ => format!("DROP TABLE IF EXISTS {} CASCADE;", self.names()),
        }
    }

    /// What the tables are called, with no quotes.
    pub(crate) fn own_names(&self) -> Vec<String> {
        let name = |place| self.name(place).trim_matches('"').to_owned();
        (0..self.plan.tables().len()).map(name).collect()
    }

    /// The SQL that says whether all of them are there: anyone may drop a view.
    pub(crate) fn are_there(&self) -> String {
        let each = (0..self.plan.tables().len())
            .map(|place| format!("to_regclass('{}') IS NOT NULL", self.name(place)));
        let each: Vec<String> = std::iter::once("true".to_owned()).chain(each).collect();
        format!("SELECT {}", each.join(" AND "))
    }

    /// The SQL that keeps everyone else off the tables until the transaction ends.
    pub(crate) fn lock(&self) -> String {
        match self.plan.tables() {
            [] => String::new(),
            _ => format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE;", self.names()),
        }
    }

    /// The SQL that gives the tables the names that they have when the generation serves, or when it does not.
    pub(crate) fn rename(&self, serving: bool) -> String {
        let then = Self { serving, ..*self };
        let each = 0..self.plan.tables().len();
        let each = each.map(|place| {
            format!("ALTER TABLE IF EXISTS {} RENAME TO {};", self.name(place), then.name(place))
        });
        each.collect()
    }

    /// The SQL that says what SQL would give the tables to whoever may read which generations there are.
    pub(crate) fn grants(&self) -> String {
        let names: Vec<String> =
            (0..self.plan.tables().len()).map(|place| format!("('{}')", self.name(place))).collect();
        format!(
            "SELECT format('GRANT SELECT ON %s TO %s;', t.name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
             FROM (VALUES {}) t(name), pg_class c, aclexplode(c.relacl) a
             WHERE c.oid = 'fd_projection'::regclass AND a.privilege_type = 'SELECT'
               AND a.grantee <> c.relowner AND a.grantee <> current_user::regrole",
            names.join(", ")
        )
    }
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Quoted names with commas between them.
fn names<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

fn declared(column: &Column) -> String {
    let kind = match column.kind {
        Kind::Text => "text COLLATE \"C\"",
        Kind::Integer => "bigint",
        Kind::Boolean => "boolean",
        Kind::Time => "timestamptz",
        Kind::List => "jsonb",
        Kind::Json => "json",
    };
    format!("\"{}\" {kind}{}", column.name, if column.nullable { "" } else { " NOT NULL" })
}

/// What an index is over: its columns, and the key behind them, so that pages in the order of the key come out of it as they
/// are. Nothing comes first, as it does in what is asked; read backwards it comes last.
fn indexed(table: &Table, columns: &[String]) -> String {
    let mut over: Vec<&str> = columns.iter().map(String::as_str).collect();
    for key in table.key_columns() {
        if !over.contains(&&*key.name) {
            over.push(&key.name);
        }
    }
    let each = over.into_iter().take(INDEX_COLUMNS_MAX).map(|name| {
        let nullable = table.place(name).is_some_and(|place| table.columns()[place].nullable);
        format!("\"{name}\"{}", if nullable { " NULLS FIRST" } else { "" })
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A value on its way into a column.
#[derive(Debug)]
pub(crate) struct Cell<'v>(pub(crate) &'v Value);

impl ToSql for Cell<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        if *self.0 != Value::Null && kind_of(ty).is_none_or(|kind| !self.0.is_of(kind)) {
            return Err(format!("{:?} is no {ty}", self.0).into());
        }
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Boolean(yes) => out.put_u8(u8::from(*yes)),
            Value::Integer(number) => out.put_i64(*number),
            Value::Time(time) => out.put_i64(time.micros() - TO_2000_MICROS),
            Value::Text(text) | Value::Json(text) => out.put_slice(text.as_bytes()),
            Value::List(texts) => {
                // The version of the form that jsonb has on the wire: its text.
                out.put_u8(1);
                serde_json::to_writer(out.writer(), texts.as_ref())?;
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        kind_of(ty).is_some()
    }

    to_sql_checked!();
}

/// A value that came out of a column.
struct Found(Value);

impl<'r> FromSql<'r> for Found {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let kind = kind_of(ty).ok_or("a column of a kind that no view has")?;
        Ok(Self(match kind {
            Kind::Boolean => bool::from_sql(ty, raw)?.into(),
            Kind::Integer => i64::from_sql(ty, raw)?.into(),
            Kind::Time => {
                let micros = i64::from_be_bytes(raw.try_into()?).saturating_add(TO_2000_MICROS);
                Timestamp::from_micros(micros)?.into()
            }
            Kind::Text => std::str::from_utf8(raw)?.into(),
            Kind::Json => Value::Json(std::str::from_utf8(raw)?.into()),
            Kind::List => {
                let text = raw.strip_prefix(&[1]).ok_or("a list in a form that is not known")?;
                Value::List(serde_json::from_slice::<Vec<Box<str>>>(text)?.into())
            }
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(ty: &Type) -> bool {
        kind_of(ty).is_some()
    }
}

fn kind_of(ty: &Type) -> Option<Kind> {
    Some(match *ty {
        Type::TEXT => Kind::Text,
        Type::INT8 => Kind::Integer,
        Type::BOOL => Kind::Boolean,
        Type::TIMESTAMPTZ => Kind::Time,
        Type::JSONB => Kind::List,
        Type::JSON => Kind::Json,
        _ => return None,
    })
}

/// What a cell of that kind is bound as.
pub(crate) const fn bound(kind: Kind) -> Type {
    match kind {
        Kind::Text => Type::TEXT,
        Kind::Integer => Type::INT8,
        Kind::Boolean => Type::BOOL,
        Kind::Time => Type::TIMESTAMPTZ,
        Kind::List => Type::JSONB,
        Kind::Json => Type::JSON,
    }
}

/// What many cells of that kind are bound as, and what SQL calls it.
pub(crate) const fn many(kind: Kind) -> (Type, &'static str) {
    match kind {
        Kind::Text => (Type::TEXT_ARRAY, "text[]"),
        Kind::Integer => (Type::INT8_ARRAY, "bigint[]"),
        Kind::Boolean => (Type::BOOL_ARRAY, "boolean[]"),
        Kind::Time => (Type::TIMESTAMPTZ_ARRAY, "timestamptz[]"),
        Kind::List => (Type::JSONB_ARRAY, "jsonb[]"),
        Kind::Json => (Type::JSON_ARRAY, "json[]"),
    }
}

/// Whether there is a character in it that the database's texts can't have, and so no cell has.
pub(crate) fn is_nowhere(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.contains('\0'))
}

/// The columns of a table that goes by the name of `t`, in the order in which [`read`] takes them.
pub(crate) fn columns(table: &Table) -> String {
    let each = table.columns().iter().map(|column| format!("t.\"{}\"", column.name));
    each.collect::<Vec<_>>().join(", ")
}

/// The row in the columns from `first` on; nothing where an outer join found none, for keys always hold something.
pub(crate) fn read(
    table: &Arc<Table>,
    found: &tokio_postgres::Row,
    first: usize,
) -> Result<Option<Row>, Damage> {
    let mut values = Vec::with_capacity(table.columns().len());
    for place in 0..table.columns().len() {
        let Found(value) = found.try_get(first + place)?;
        if place == 0 && value == Value::Null {
            return Ok(None);
        }
        values.push(value);
    }
    Row::new(table, values).map(Some).map_err(|error| Damage::new(error.to_string()))
}

/// Keys as columns: the arrays, their types, and the SQL that makes rows of them again, from parameter `$from` on.
struct Keys<'k> {
    arrays: Vec<Vec<Cell<'k>>>,
    types: Vec<Type>,
    from: String,
    on: String,
}

impl<'k> Keys<'k> {
    /// All of the same length.
    fn of(table: &Table, keys: impl IntoIterator<Item = &'k [Value]>, length: usize, from: usize) -> Self {
        let columns = &table.key_columns()[..length];
        let mut arrays: Vec<Vec<Cell<'_>>> = columns.iter().map(|_| Vec::new()).collect();
        for key in keys {
            arrays.iter_mut().zip(key).for_each(|(array, value)| array.push(Cell(value)));
        }
        let (types, casts): (Vec<Type>, Vec<String>) = columns
            .iter()
            .enumerate()
            .map(|(place, column)| (many(column.kind), place + from))
            .map(|((ty, name), place)| (ty, format!("${place}::{name}")))
            .unzip();
        let names = names(columns.iter().map(|column| &*column.name));
        let on = columns.iter().map(|column| format!("t.\"{0}\" = k.\"{0}\"", column.name));
        let on = on.collect::<Vec<_>>().join(" AND ");
        Self { arrays, types, from: format!("unnest({}) k({names})", casts.join(", ")), on }
    }

    fn values(&self) -> impl Iterator<Item = (&(dyn ToSql + Sync), Type)> {
        self.arrays.iter().zip(&self.types).map(|(array, ty)| (array as &(dyn ToSql + Sync), ty.clone()))
    }
}

/// The rows under keys, and under beginnings of keys. `None`: its tables have other names by now, or are gone.
pub(crate) async fn load(
    client: &Client,
    of: &Stored,
    keys: &[(usize, Box<[Value]>)],
) -> Result<Option<Vec<(usize, Row)>>, Damage> {
    let plan = &of.state.plan;
    // Those of one length are looked up at once, each only once.
    let mut alike: BTreeMap<(usize, usize), BTreeSet<&[Value]>> = BTreeMap::new();
    for (place, key) in keys {
        let Some(table) = plan.tables().get(*place) else { continue };
        let fits = key.len() <= table.key_columns().len()
            && key.iter().zip(table.columns()).all(|(value, column)| value.is_of(column.kind));
        if fits && !key.iter().any(is_nowhere) {
            alike.entry((*place, key.len())).or_default().insert(key);
        }
    }
    let (mut rows, mut seen) = (Vec::new(), HashSet::new());
    for ((place, length), keys) in &alike {
        let table = &plan.tables()[*place];
        let once = !alike.keys().any(|(other, others)| other == place && others != length);
        let keys: Vec<&[Value]> = keys.iter().copied().collect();
        for keys in keys.chunks(CHUNK_ROWS) {
            let Some(found) = lookup(client, of, *place, keys, *length).await? else { return Ok(None) };
            for found in found {
                let Some(row) = read(table, &found, 1)? else { continue };
                // A beginning may stand for a row that is asked for in another way as well.
                if once || seen.insert((*place, Box::<[Value]>::from(row.key()))) {
                    rows.push((*place, row));
                }
            }
        }
    }
    Ok(Some(rows))
}

/// One statement that looks keys up, and proves that the table it looks into is the generation's: the database takes the snapshot
/// that it reads by after it has locked the table that it found under the name, so a generation that is still called so in that
/// snapshot was so when the name was looked up.
async fn lookup(
    client: &Client,
    of: &Stored,
    place: usize,
    keys: &[&[Value]],
    length: usize,
) -> Result<Option<Vec<tokio_postgres::Row>>, Damage> {
    let table = &of.state.plan.tables()[place];
    let (columns, name) = (columns(table), Tables::of(of).name(place));
    let keys = Keys::of(table, keys.iter().copied(), length, 3);
    let rows = match length {
        0 => format!("SELECT {columns} FROM {name} t"),
        _ => format!("SELECT {columns} FROM {} JOIN {name} t ON {}", keys.from, keys.on),
    };
    let sql = format!(
        "SELECT g.id, r.* FROM (SELECT p.id FROM fd_projection p WHERE p.id = $1 AND p.serving = $2) g LEFT JOIN ({rows}) r ON true"
    );
    let mut values: Vec<(&(dyn ToSql + Sync), Type)> =
        vec![(&of.id, Type::INT8), (&of.state.serving, Type::BOOL)];
    values.extend(keys.values());
    match client.query_typed(&sql, &values).await {
        Ok(rows) => Ok(Some(rows).filter(|rows| !rows.is_empty())),
        Err(error) if is_of_names(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a statement failed because the tables are not what they were: they have other names, or are gone.
pub(crate) fn is_of_names(error: &Error) -> bool {
    // Class 42 is all that a statement can be wrong in; 42501 is that the role may not.
    error.code().is_some_and(|code| code.code().starts_with("42") && code.code() != "42501")
}

/// The statements that remove and put rows, in their order. Each is made only when it is sent.
pub(crate) fn writes<'w>(
    client: &'w Client,
    tables: Tables<'w>,
    changes: &'w flightdeck_store::view::Changes,
    is_asked: bool,
) -> Vec<BoxFuture<'w, Result<u64, Error>>> {
    let (most, mut writes) = (if is_asked { CHUNK_ROWS } else { BUILDING_ROWS }, Vec::new());
    for changes in changes {
        let Some((place, table)) = tables.plan.table(changes.table.name()) else { continue };
        for keys in changes.gone.chunks(most) {
            writes.push(remove(client, tables.name(place), table, keys).boxed());
        }
        for rows in chunks(&changes.put, most) {
            writes.push(put(client, tables.name(place), table, rows).boxed());
        }
    }
    writes
}

/// Sends statements, a few at a time, and returns how many rows the last one changed.
pub(crate) async fn send(
    mut writes: Vec<BoxFuture<'_, Result<u64, Error>>>,
    pace: &mut Pace,
) -> Result<u64, Error> {
    let mut last = 0;
    while !writes.is_empty() {
        let (begun, behind) = (Instant::now(), writes.split_off(pace.at_once(AT_ONCE).min(writes.len())));
        // They go onto the wire in this order, whatever is answered when: a connection does one after the other.
        let changed: Vec<u64> = stream::iter(writes).buffered(AT_ONCE).try_collect().await?;
        last = changed.last().copied().unwrap_or_default();
        writes = behind;
        if !writes.is_empty() {
            pace.give_way(begun.elapsed()).await;
        }
    }
    Ok(last)
}

fn chunks(rows: &[Row], most: usize) -> impl Iterator<Item = &[Row]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(most).take_while(|row| {
            let first = bytes == 0;
            bytes += row.bytes();
            first || bytes <= CHUNK_BYTES
        });
        let (chunk, behind) = rest.split_at(fits.count());
        rest = behind;
        (!chunk.is_empty()).then_some(chunk)
    })
}

async fn remove(client: &Client, name: String, table: &Table, keys: &[Box<[Value]>]) -> Result<u64, Error> {
    let length = table.key_columns().len();
    let keys =
        keys.iter().map(AsRef::as_ref).filter(|key| key.len() == length && !key.iter().any(is_nowhere));
    let keys = Keys::of(table, keys, length, 1);
    let sql = format!("DELETE FROM {name} t USING {} WHERE {}", keys.from, keys.on);
    client.execute_typed(&sql, &keys.values().collect::<Vec<_>>()).await
}

async fn put(client: &Client, name: String, table: &Table, rows: &[Row]) -> Result<u64, Error> {
    let columns = table.columns();
    let mut arrays: Vec<Vec<Cell<'_>>> = columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        arrays.iter_mut().zip(row.values()).for_each(|(array, value)| array.push(Cell(value)));
    }
    let words: Vec<String> = match table.searched() {
        [] => Vec::new(),
        _ => rows.iter().map(|row| cut(words_of(table, row).unwrap_or_default())).collect(),
    };
    let mut values: Vec<(&(dyn ToSql + Sync), Type)> = arrays
        .iter()
        .zip(columns)
        .map(|(array, column)| (array as &(dyn ToSql + Sync), many(column.kind).0))
        .collect();
    let mut casts: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(place, column)| format!("${}::{}", place + 1, many(column.kind).1))
        .collect();
    let own = names(columns.iter().map(|column| &*column.name));
    let (mut into, mut from) = (own.clone(), own.clone());
    let mut set: Vec<String> = columns[table.key_columns().len()..]
        .iter()
        .map(|column| format!("\"{0}\" = EXCLUDED.\"{0}\"", column.name))
        .collect();
    if !table.searched().is_empty() {
        values.push((&words, Type::TEXT_ARRAY));
        casts.push(format!("${}::text[]", columns.len() + 1));
        into.push_str(", fd_words");
        from.push_str(", array_to_tsvector(string_to_array(fd_words, ' '))");
        set.push("fd_words = EXCLUDED.fd_words".to_owned());
    }
    let key = names(table.key_columns().iter().map(|column| &*column.name));
    let update = match set.is_empty() {
        true => "NOTHING".to_owned(),
        false => format!("UPDATE SET {}", set.join(", ")),
    };
    let sql = format!(
        "INSERT INTO {name} ({into}) SELECT {from} FROM unnest({}) r({into}) ON CONFLICT ({key}) DO {update}",
        casts.join(", ")
    );
    client.execute_typed(&sql, &values).await
}

/// Words as far as a tsvector has room for them.
fn cut(mut words: String) -> String {
    if words.len() > WORDS_BYTES_MAX {
        let end = words.as_bytes()[..WORDS_BYTES_MAX].iter().rposition(|byte| *byte == b' ');
        words.truncate(end.unwrap_or_default());
    }
    words
}
