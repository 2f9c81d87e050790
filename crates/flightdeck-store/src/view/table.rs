//! What a view is made of: tables with columns of a few kinds, declared once.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use flightdeck_core::Category;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::chain::sha256;

/// Characters of a name of a view, a table or a column.
const NAME_CHARS_MAX: usize = 40;
/// Columns of a table.
const COLUMNS_MAX: usize = 64;
/// Tables of a view.
const TABLES_MAX: usize = 16;
/// Columns of a key.
const KEYS_MAX: usize = 16;
/// Names of columns that a database has in every table already.
const RESERVED_COLUMNS: [&str; 8] = ["cmax", "cmin", "ctid", "oid", "rowid", "tableoid", "xmax", "xmin"];
/// Names that mean something else to someone: the tables of the common SQL protocol, in whatever case.
const RESERVED: [&str; 3] = ["entities", "events", "projections"];

/// The name of a view: `content`, `site_analytics`. Lower case, for SQL knows it by the same name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ViewName(Arc<str>);

impl ViewName {
    /// A name of up to 40 characters of `[a-z0-9_]` that begins with a letter, and not with `fd_`.
    ///
    /// # Errors
    /// When it is not like that.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidPlan> {
        let name = name.as_ref();
        check_name(name)?;
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ViewName {
    type Error = InvalidPlan;
    fn try_from(name: String) -> Result<Self, InvalidPlan> {
        Self::new(name)
    }
}

impl From<ViewName> for String {
    fn from(name: ViewName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for ViewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ViewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViewName({})", self.0)
    }
}

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Text, sorted by its bytes.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// Yes or no.
    Boolean,
    /// A moment, to the microsecond.
    Time,
    /// Texts in an order: a JSON array for whoever reads the table with SQL.
    List,
    /// Any JSON.
    Json,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its cells hold.
    pub kind: Kind,
    /// Whether they may hold nothing.
    pub nullable: bool,
}

/// A table of a view: its columns, by which of them a row is known, and by which it is found.
///
/// ```
/// use flightdeck_store::view::{Kind, Table};
/// let pages = Table::named("pages").key("path", Kind::Text).column("views", Kind::Integer).index(&["views"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    name: String,
    columns: Vec<Column>,
    /// How many of the columns, from the first on, are the key.
    keys: usize,
    indexes: Vec<Vec<String>>,
    search: Vec<String>,
    /// The category of the streams that rows are of, and the column with the rest of the stream's name.
    stream: Option<(String, String)>,
}

impl Table {
    /// A table without columns.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let (columns, indexes, search) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: name.to_owned(), columns, keys: 0, indexes, search, stream: None }
    }

    fn with(mut self, name: &str, kind: Kind, nullable: bool) -> Self {
        self.columns.push(Column { name: name.to_owned(), kind, nullable });
        self
    }

    /// The same table with a key column more: no two rows have the same in all of them. They come before all others.
    #[must_use]
    pub fn key(mut self, name: &str, kind: Kind) -> Self {
        self.columns.insert(self.keys, Column { name: name.to_owned(), kind, nullable: false });
        self.keys += 1;
        self
    }

    /// The same table with a column more.
    #[must_use]
    pub fn column(self, name: &str, kind: Kind) -> Self {
        self.with(name, kind, false)
    }

    /// The same table with a column more whose cells may hold nothing.
    #[must_use]
    pub fn nullable(self, name: &str, kind: Kind) -> Self {
        self.with(name, kind, true)
    }

    /// The same table with an index over these columns.
    #[must_use]
    pub fn index(mut self, columns: &[&str]) -> Self {
        self.indexes.push(columns.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// The same table, whose rows are found by the words in these columns.
    #[must_use]
    pub fn search(mut self, columns: &[&str]) -> Self {
        self.search = columns.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The same table, whose rows are each of one stream: `category-` and what stands in the column.
    /// Who may read only some streams sees the rows of those; the rows of a table that says nothing are for who may read all.
    #[must_use]
    pub fn of_stream(mut self, category: &str, column: &str) -> Self {
        self.stream = Some((category.to_owned(), column.to_owned()));
        self
    }

    /// The same table under another name.
    #[must_use]
    pub fn renamed(&self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    /// The name, which is also what SQL knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All columns, those of the key first.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns of the key.
    #[must_use]
    pub fn key_columns(&self) -> &[Column] {
        &self.columns[..self.keys]
    }

    /// The columns of each index.
    #[must_use]
    pub fn indexes(&self) -> &[Vec<String>] {
        &self.indexes
    }

    /// The columns whose words rows are found by.
    #[must_use]
    pub fn searched(&self) -> &[String] {
        &self.search
    }

    /// The category of the streams that rows are of, and the column with the rest of the name.
    #[must_use]
    pub fn stream(&self) -> Option<(&str, &str)> {
        self.stream.as_ref().map(|(category, column)| (category.as_str(), column.as_str()))
    }

    /// Where a column stands.
    #[must_use]
    pub fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    fn check(&self) -> Result<(), InvalidPlan> {
        check_name(&self.name)?;
        if RESERVED.contains(&self.name.as_str()) {
            return Err(InvalidPlan::Reserved(self.name.clone()));
        }
        let wrong = |what: &'static str| InvalidPlan::Table { table: self.name.clone(), what };
        if self.keys == 0 || self.keys > self.columns.len() {
            return Err(wrong("has no key"));
        }
        if self.columns.len() > COLUMNS_MAX || self.keys > KEYS_MAX {
            return Err(wrong("has more than 64 columns, or more than 16 in its key"));
        }
        let mut names = BTreeSet::new();
        for (place, column) in self.columns.iter().enumerate() {
            check_name(&column.name)?;
            if RESERVED_COLUMNS.contains(&column.name.as_str()) {
                return Err(InvalidPlan::Reserved(column.name.clone()));
            }
            if !names.insert(&column.name) {
                return Err(wrong("has a column twice"));
            }
            let scalar = !matches!(column.kind, Kind::List | Kind::Json);
            if place < self.keys && (column.nullable || !scalar) {
                return Err(wrong("has a key that is a list, JSON, or may be nothing"));
            }
        }
        let kind_of = |name: &String| self.place(name).map(|place| self.columns[place].kind);
        for column in self.indexes.iter().flatten() {
            match kind_of(column) {
                None => return Err(wrong("has an index over a column that it does not have")),
                Some(Kind::List | Kind::Json) => return Err(wrong("has an index over a list or JSON")),
                Some(_) => {}
            }
        }
        if self.indexes.iter().any(Vec::is_empty) {
            return Err(wrong("has an index over nothing"));
        }
        if self.search.iter().any(|column| !matches!(kind_of(column), Some(Kind::Text | Kind::List))) {
            return Err(wrong("searches a column that is no text"));
        }
        if let Some((category, column)) = &self.stream {
            if Category::new(category).is_err() {
                return Err(wrong("is of streams of a category that can't be"));
            }
            if kind_of(column) != Some(Kind::Text) {
                return Err(wrong("has its stream in a column that is no text"));
            }
        }
        Ok(())
    }
}

/// What a projection wants kept: its name and number, its tables, and a fingerprint of all that must not change under that number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    view: ViewName,
    number: u32,
    tables: Vec<Arc<Table>>,
    fingerprint: [u8; 32],
}

impl Plan {
    /// A plan; `reads` is whatever tells one set of events from another.
    ///
    /// # Errors
    /// When a name or a table can't be like that.
    pub fn new(view: &str, number: u32, tables: Vec<Table>, reads: &str) -> Result<Self, InvalidPlan> {
        let view = ViewName::new(view)?;
        if number == 0 {
            return Err(InvalidPlan::Number);
        }
        if tables.len() > TABLES_MAX {
            return Err(InvalidPlan::Table { table: view.to_string(), what: "has more than 16 tables" });
        }
        let mut names = BTreeSet::new();
        for table in &tables {
            table.check()?;
            if !names.insert(table.name()) {
                return Err(InvalidPlan::Table { table: table.name.clone(), what: "is there twice" });
            }
        }
        let written = serde_json::to_string(&(&tables, reads)).unwrap_or_default();
        let fingerprint = sha256(written.as_bytes());
        Ok(Self { view, number, tables: tables.into_iter().map(Arc::new).collect(), fingerprint })
    }

    /// The plan as a store kept it.
    ///
    /// # Errors
    /// When it can't have been one.
    pub fn from_stored(
        view: &ViewName,
        number: u32,
        tables: &str,
        fingerprint: [u8; 32],
    ) -> Result<Self, InvalidPlan> {
        let broken =
            |_| InvalidPlan::Table { table: view.to_string(), what: "was kept in no form that is known" };
        let tables: Vec<Table> = serde_json::from_str(tables).map_err(broken)?;
        let mut plan = Self::new(view.as_str(), number, tables, "")?;
        plan.fingerprint = fingerprint;
        Ok(plan)
    }

    /// The tables as a store keeps them.
    #[must_use]
    pub fn to_stored(&self) -> String {
        let tables: Vec<&Table> = self.tables.iter().map(AsRef::as_ref).collect();
        serde_json::to_string(&tables).unwrap_or_default()
    }

    /// The view.
    #[must_use]
    pub const fn view(&self) -> &ViewName {
        &self.view
    }

    /// The number: another one is another generation.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The tables.
    #[must_use]
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// The table of that name, and its place.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<(usize, &Arc<Table>)> {
        self.tables.iter().enumerate().find(|(_, table)| table.name() == name)
    }

    /// Of tables and what is read: under one number it never changes.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

/// Why a plan can't be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPlan {
    /// A name is not of the form of names.
    #[error(
        "{0:?} is no name of a view, a table or a column: up to 40 of [a-z0-9_], a letter first, and not fd_, sqlite_ or pg_"
    )]
    Name(String),
    /// A name that is used for something else.
    #[error("the name {0} is used for something else")]
    Reserved(String),
    /// Numbers begin at 1.
    #[error("the number of a projection is at least 1")]
    Number,
    /// Something is wrong with a table.
    #[error("the table {table} {what}")]
    Table {
        /// The table.
        table: String,
        /// What is wrong.
        what: &'static str,
    },
}

fn check_name(name: &str) -> Result<(), InvalidPlan> {
    let legal = name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !["fd_", "sqlite_", "pg_"].iter().any(|taken| name.starts_with(taken));
    match legal {
        true => Ok(()),
        false => Err(InvalidPlan::Name(name.chars().take(80).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidPlan, Kind, Plan, Table};

    fn plan(table: Table) -> Result<Plan, InvalidPlan> {
        Plan::new("view", 1, vec![table], "")
    }

    #[test]
    fn a_table_that_can_be_is_taken() {
        let table = Table::named("pages").key("site", Kind::Text).key("path", Kind::Text);
        let table =
            table.column("views", Kind::Integer).nullable("tags", Kind::List).index(&["views", "path"]);
        assert!(plan(table.search(&["path", "tags"]).of_stream("site", "site")).is_ok());
    }

    #[test]
    fn a_key_stands_before_all_others_whenever_it_was_named() {
        let table = Table::named("pages").key("site", Kind::Text).column("views", Kind::Integer);
        let table = table.key("path", Kind::Text);
        let names: Vec<&str> = table.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!((names.as_slice(), table.key_columns().len()), (&["site", "path", "views"][..], 2));
        assert!(plan(table).is_ok());
    }

    #[test]
    fn a_table_that_cannot_be_is_refused() {
        let good = || Table::named("pages").key("path", Kind::Text);
        for bad in [
            Table::named("pages").column("path", Kind::Text),
            Table::named("Pages").key("path", Kind::Text),
            Table::named("fd_pages").key("path", Kind::Text),
            Table::named("events").key("path", Kind::Text),
            Table::named("pages\"").key("path", Kind::Text),
            Table::named("pages").key("path", Kind::List),
            good().column("path", Kind::Text),
            good().column("fd_row", Kind::Text),
            good().column("rowid", Kind::Text),
            good().column("ctid", Kind::Text),
            good().index(&["nothing"]),
            good().index(&[]),
            good().column("tags", Kind::List).index(&["tags"]),
            good().column("views", Kind::Integer).search(&["views"]),
            good().of_stream("a-b", "path"),
            good().of_stream("a", "nothing"),
        ] {
            assert!(plan(bad.clone()).is_err(), "{bad:?} was taken");
        }
        assert!(Plan::new("view", 0, vec![], "").is_err());
        assert!(Plan::new("view", 1, vec![good(), good()], "").is_err());
    }

    #[test]
    fn a_plan_comes_back_as_it_was_kept_and_tells_changes() {
        let one = Plan::new("view", 1, vec![Table::named("a").key("b", Kind::Time)], "reads").unwrap();
        let kept = Plan::from_stored(one.view(), 1, &one.to_stored(), *one.fingerprint()).unwrap();
        assert_eq!(kept, one);
        let other = Plan::new("view", 1, vec![Table::named("a").key("b", Kind::Time)], "more").unwrap();
        assert_ne!(other.fingerprint(), one.fingerprint());
    }
}
