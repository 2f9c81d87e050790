//! Cells and rows.

use std::sync::Arc;

use flightdeck_core::{Json, Timestamp};
use serde::{Deserialize, Serialize};

use crate::view::rows::FoldError;
use crate::view::table::{Kind, Table};

/// Bytes of all texts of an entry in an index, the key included: more does not fit onto a page of every database.
const INDEXED_BYTES_MAX: usize = 2_000;

/// What a cell holds. Values of one kind sort as columns do: nothing first, texts by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A moment.
    Time(Timestamp),
    /// A text.
    Text(Arc<str>),
    /// Texts in an order.
    List(Arc<[Box<str>]>),
    /// JSON, as its text.
    Json(Arc<str>),
}

impl Value {
    /// A list of texts.
    #[must_use]
    pub fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(|text| text.as_ref().into()).collect())
    }

    /// JSON, as it is written.
    #[must_use]
    pub fn json(json: &Json) -> Self {
        Self::Json(String::from_utf8_lossy(json.as_bytes()).into())
    }

    /// Whether it may stand in a column of that kind.
    #[must_use]
    pub const fn is_of(&self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::Boolean(_), Kind::Boolean)
                | (Self::Integer(_), Kind::Integer)
                | (Self::Time(_), Kind::Time)
                | (Self::Text(_), Kind::Text)
                | (Self::List(_), Kind::List)
                | (Self::Json(_), Kind::Json)
        )
    }

    /// About how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => 40 + text.len(),
            Self::List(texts) => 40 + texts.iter().map(|text| 16 + text.len()).sum::<usize>(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Time(_) => 24,
        }
    }

    fn has_nul(&self) -> bool {
        match self {
            Self::Text(text) | Self::Json(text) => text.contains('\0'),
            Self::List(texts) => texts.iter().any(|text| text.contains('\0')),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Time(_) => false,
        }
    }
}

/// A value as it is written down where no column says its kind: in a cursor, in what is staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cell {
    /// Nothing.
    N,
    /// Yes or no.
    B(bool),
    /// A whole number.
    I(i64),
    /// A moment, in microseconds since 1970.
    T(i64),
    /// A text.
    S(String),
    /// Texts in an order.
    L(Vec<String>),
    /// JSON, as its text.
    J(String),
}

impl From<&Value> for Cell {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::N,
            Value::Boolean(value) => Self::B(*value),
            Value::Integer(value) => Self::I(*value),
            Value::Time(value) => Self::T(value.micros()),
            Value::Text(value) => Self::S(value.as_ref().to_owned()),
            Value::List(list) => Self::L(list.iter().map(|text| text.as_ref().to_owned()).collect()),
            Value::Json(value) => Self::J(value.as_ref().to_owned()),
        }
    }
}

impl Cell {
    /// The value; `None` when it can't be one.
    #[must_use]
    pub fn value(self) -> Option<Value> {
        let value = match self {
            Self::N => Value::Null,
            Self::B(value) => value.into(),
            Self::I(value) => value.into(),
            Self::T(micros) => Timestamp::from_micros(micros).ok()?.into(),
            Self::S(text) => text.into(),
            Self::L(list) => Value::list(list),
            Self::J(text) => Value::Json(text.into()),
        };
        (!value.has_nul()).then_some(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}
impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Time(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}
impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    table: Arc<Table>,
    /// Shared with its clones until one of them is changed: while a view is folded a row is held as it is now, as the store has it, and as
    /// it goes there.
    values: Arc<[Value]>,
}

impl Row {
    /// A row of a table, with a value for each column in their order.
    ///
    /// # Errors
    /// When there are more or fewer values than columns, or one is of another kind than its column.
    pub fn new(table: &Arc<Table>, values: impl Into<Arc<[Value]>>) -> Result<Self, FoldError> {
        let values = values.into();
        if values.len() != table.columns().len() {
            return Err(FoldError::new(format!(
                "a row of {} has {} values, and the table {} columns",
                table.name(),
                values.len(),
                table.columns().len()
            )));
        }
        let row = Self { table: Arc::clone(table), values };
        for place in 0..row.values.len() {
            row.check(place, &row.values[place])?;
        }
        Ok(row)
    }

    /// The same row, of a table that has the same columns under another name.
    ///
    /// # Errors
    /// When it has other columns.
    pub fn moved_to(self, table: &Arc<Table>) -> Result<Self, FoldError> {
        match self.table.columns() == table.columns() {
            true => Ok(Self { table: Arc::clone(table), values: self.values }),
            false => {
                let (from, to) = (self.table.name(), table.name());
                Err(FoldError::new(format!(
                    "a row of {from} does not fit into {to}, which has other columns"
                )))
            }
        }
    }

    fn check(&self, place: usize, value: &Value) -> Result<(), FoldError> {
        let column = &self.table.columns()[place];
        let fits = value.is_of(column.kind) || column.nullable && *value == Value::Null;
        let (table, name) = (self.table.name(), &column.name);
        if !fits || value.has_nul() {
            return Err(FoldError::new(format!("{value:?} does not fit into the column {name} of {table}")));
        }
        Ok(())
    }

    /// Whether what stands in each index of its table, with the key, is not too long for a database.
    ///
    /// # Errors
    /// When it is.
    pub fn fits_indexes(&self) -> Result<(), FoldError> {
        let text = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
        let key: usize = self.key().iter().map(text).sum();
        let index =
            |columns: &Vec<String>| key + columns.iter().map(|name| text(self.get(name))).sum::<usize>();
        let most = self.table.indexes().iter().map(index).max().unwrap_or(key);
        match most > INDEXED_BYTES_MAX {
            true => Err(FoldError::new(format!(
                "{most} bytes of text are too long for a key or an index of {}",
                self.table.name()
            ))),
            false => Ok(()),
        }
    }

    /// The table it is of.
    #[must_use]
    pub const fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// All values, in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The values of its key.
    #[must_use]
    pub fn key(&self) -> &[Value] {
        &self.values[..self.table.key_columns().len()]
    }

    /// The value of a column; nothing when there is no such column.
    #[must_use]
    pub fn get(&self, column: &str) -> &Value {
        self.table.place(column).map_or(&Value::Null, |place| &self.values[place])
    }

    /// The text in a column, if there is one.
    #[must_use]
    pub fn text(&self, column: &str) -> Option<&str> {
        match self.get(column) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number in a column, if there is one.
    #[must_use]
    pub fn integer(&self, column: &str) -> Option<i64> {
        match self.get(column) {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The moment in a column, if there is one.
    #[must_use]
    pub fn time(&self, column: &str) -> Option<Timestamp> {
        match self.get(column) {
            Value::Time(moment) => Some(*moment),
            _ => None,
        }
    }

    /// Puts a value into a column that is not of the key.
    ///
    /// # Errors
    /// When there is no such column, it is of the key, or holds something else.
    pub fn set(&mut self, column: &str, value: impl Into<Value>) -> Result<(), FoldError> {
        let value = value.into();
        match self.table.place(column) {
            Some(place) if place >= self.table.key_columns().len() => {
                self.check(place, &value)?;
                Arc::make_mut(&mut self.values)[place] = value;
                Ok(())
            }
            _ => Err(FoldError::new(format!("{} has no column {column} to set", self.table.name()))),
        }
    }

    /// About how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        48 + self.values.iter().map(Value::bytes).sum::<usize>()
    }
}
