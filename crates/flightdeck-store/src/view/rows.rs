//! Folding: the rows that an event is folded into, and what came of it.
//!
//! A [`Fold`] names the rows that an event is about; they are loaded, and it sees those and no others. A [`Cache`] holds them for a
//! batch of events, knows which of them changed, and takes an event back that could not be folded.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::event::Recorded;
use crate::view::table::{Plan, Table};
use crate::view::value::{Row, Value};

/// A pure fold from events to rows: no IO, no clock, no dice. The same events always give the same rows.
pub trait Fold: Send + Sync + 'static {
    /// The rows that the event is about.
    ///
    /// # Errors
    /// When the event can't be read.
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError>;

    /// Folds the event into those rows.
    ///
    /// # Errors
    /// When it can't: nothing of it is kept then.
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError>;
}

/// Why an event could not be folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldError(String);

impl FoldError {
    /// An error that says that.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for FoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Any error can end a fold, so `?` works on all of them; that is why this is no error itself.
impl<E: std::error::Error> From<E> for FoldError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// A row of a table, by the values of its key; with fewer values than the key has columns, every row whose key begins with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The table.
    pub table: &'static str,
    /// The values.
    pub values: Box<[Value]>,
}

impl Key {
    /// The row whose key has that one value.
    #[must_use]
    pub fn of(table: &'static str, value: impl Into<Value>) -> Self {
        Self { table, values: Box::new([value.into()]) }
    }

    /// The row whose key has these values.
    #[must_use]
    pub fn all_of(table: &'static str, values: impl Into<Box<[Value]>>) -> Self {
        Self { table, values: values.into() }
    }
}

/// Keys of rows that are to be loaded, each with the place of its table in the plan.
pub type Wanted = Vec<(usize, Box<[Value]>)>;

/// What changed in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChanges {
    /// The table.
    pub table: Arc<Table>,
    /// Rows that are new or not as they were, in the order of their keys.
    pub put: Vec<Row>,
    /// Keys of rows that are gone, in their order.
    pub gone: Vec<Box<[Value]>>,
}

/// What changed, table by table; tables in which nothing did are left out.
pub type Changes = Vec<TableChanges>;

/// A row as the store has it, and as it is now.
#[derive(Debug, Clone, Default)]
struct Slot {
    stored: Option<Row>,
    now: Option<Row>,
    /// Whether it may have changed since the last [`Cache::settle`].
    touched: bool,
}

#[derive(Debug)]
struct Held {
    table: Arc<Table>,
    rows: HashMap<Box<[Value]>, Slot>,
    /// Keys of more than one column, in order, so that all that begin alike are found.
    ordered: BTreeSet<Box<[Value]>>,
    /// The beginnings of keys whose rows are all here.
    whole: BTreeSet<Box<[Value]>>,
    /// Keys of the rows that were touched, each once. Put in order when they are asked for: a fold touches a row far more often.
    touched: Vec<Box<[Value]>>,
}

/// Rows held for a batch of events.
#[derive(Debug)]
pub struct Cache {
    tables: Vec<Held>,
    bytes: usize,
}

impl Cache {
    /// Nothing held, for the tables of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let held = |table: &Arc<Table>| Held {
            table: Arc::clone(table),
            rows: HashMap::new(),
            ordered: BTreeSet::new(),
            whole: BTreeSet::new(),
            touched: Vec::new(),
        };
        Self { tables: plan.tables().iter().map(held).collect(), bytes: 0 }
    }

    fn place(&self, table: &str) -> Result<usize, FoldError> {
        let place = self.tables.iter().position(|held| held.table.name() == table);
        place.ok_or_else(|| FoldError::new(format!("the projection has no table {table}")))
    }

    /// Which of these keys are not held yet, each once, by the place of their table.
    ///
    /// # Errors
    /// When a key is of no table, or does not fit into it.
    pub fn missing(&self, keys: &[Key]) -> Result<Wanted, FoldError> {
        let mut missing = Vec::new();
        for key in keys {
            let place = self.place(key.table)?;
            let held = &self.tables[place];
            let columns = held.table.key_columns();
            let fits = key.values.len() <= columns.len()
                && key.values.iter().zip(columns).all(|(value, column)| value.is_of(column.kind));
            if !fits {
                return Err(FoldError::new(format!("{:?} is no key of {}", key.values, key.table)));
            }
            let known = match key.values.len() == columns.len() {
                true => held.rows.contains_key(&key.values) || held.covers(&key.values),
                false => held.covers(&key.values),
            };
            if !known {
                missing.push((place, key.values.clone()));
            }
        }
        Ok(missing)
    }

    /// Takes in what the store has under these keys: a row that is not among `rows` is not there. What is held already is newer.
    pub fn take_in(&mut self, keys: Wanted, rows: Vec<(usize, Row)>) {
        for (place, row) in rows {
            let held = &mut self.tables[place];
            if !held.rows.contains_key(row.key()) {
                self.bytes += 2 * row.bytes();
                held.insert(
                    row.key().into(),
                    Slot { stored: Some(row.clone()), now: Some(row), touched: false },
                );
            }
        }
        for (place, key) in keys {
            let held = &mut self.tables[place];
            if key.len() < held.table.key_columns().len() {
                held.whole.insert(key);
            } else if !held.rows.contains_key(&key) {
                self.bytes += 128;
                held.insert(key, Slot::default());
            }
        }
    }

    /// Folds an event into its rows, which are held. What goes wrong leaves every row as it was.
    ///
    /// # Errors
    /// When the fold fails, or reaches for a row that it did not name.
    pub fn fold(&mut self, fold: &dyn Fold, event: &Recorded, keys: &[Key]) -> Result<(), FoldError> {
        // A row that was not looked up must never be taken for one that is not there.
        if !self.missing(keys)?.is_empty() {
            return Err(FoldError::new("the rows of the event were not loaded"));
        }
        let mut rows = Rows { cache: self, keys, undo: Vec::new(), broke: None };
        let folded = caught(|| fold.fold(event, &mut rows));
        let (undo, broke) = (rows.undo, rows.broke);
        let folded = broke.map_or(folded, Err);
        if folded.is_err() {
            // Newest first, so that a row that was put twice is as it was before the first.
            for (place, key, was) in undo.into_iter().rev() {
                if let Some(slot) = self.tables[place].rows.get_mut(&key) {
                    slot.now = was;
                }
            }
        }
        folded
    }

    /// The keys that a fold names of an event, and those of them that are not held yet.
    ///
    /// # Errors
    /// When the event can't be read, or a key does not fit.
    pub fn keys(&self, fold: &dyn Fold, event: &Recorded) -> Result<(Vec<Key>, Wanted), FoldError> {
        let keys = caught(|| fold.keys(event))?;
        let missing = self.missing(&keys)?;
        Ok((keys, missing))
    }

    /// What differs from what the store has.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let mut changes = Changes::new();
        for held in &self.tables {
            let (mut put, mut gone) = (Vec::new(), Vec::new());
            let mut touched: Vec<&Box<[Value]>> = held.touched.iter().collect();
            touched.sort_unstable();
            for key in touched {
                match held.rows.get(key) {
                    Some(Slot { stored, now: Some(now), .. }) if stored.as_ref() != Some(now) => {
                        put.push(now.clone())
                    }
                    Some(Slot { stored: Some(_), now: None, .. }) => gone.push(key.clone()),
                    _ => {}
                }
            }
            if !put.is_empty() || !gone.is_empty() {
                changes.push(TableChanges { table: Arc::clone(&held.table), put, gone });
            }
        }
        changes
    }

    /// Nothing is in the store: whatever is not held is not there.
    pub fn begin_empty(&mut self) {
        for held in &mut self.tables {
            held.whole.insert(Box::default());
        }
    }

    /// All rows that are held of a table, by their keys.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Row> {
        let Ok(place) = self.place(table) else { return Vec::new() };
        let mut rows: Vec<Row> =
            self.tables[place].rows.values().filter_map(|slot| slot.now.clone()).collect();
        rows.sort_by(|one, other| one.key().cmp(other.key()));
        rows
    }

    /// How many rows may have changed since the last [`Cache::settle`].
    #[must_use]
    pub fn touched(&self) -> usize {
        self.tables.iter().map(|held| held.touched.len()).sum()
    }

    /// The store has the changes now.
    pub fn settle(&mut self) {
        for held in &mut self.tables {
            for key in std::mem::take(&mut held.touched) {
                if let Some(slot) = held.rows.get_mut(&key) {
                    slot.stored.clone_from(&slot.now);
                    slot.touched = false;
                }
            }
        }
    }

    /// About how much memory is held.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        for held in &mut self.tables {
            held.rows.clear();
            held.ordered.clear();
            held.whole.clear();
            held.touched.clear();
        }
        self.bytes = 0;
    }
}

/// What a fold came to; one that panicked has failed like any other.
fn caught<T>(fold: impl FnOnce() -> Result<T, FoldError>) -> Result<T, FoldError> {
    catch_unwind(AssertUnwindSafe(fold)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(FoldError::new(format!("the fold panicked: {said}")))
    })
}

impl Held {
    fn insert(&mut self, key: Box<[Value]>, slot: Slot) {
        if self.table.key_columns().len() > 1 {
            self.ordered.insert(key.clone());
        }
        self.rows.insert(key, slot);
    }

    fn covers(&self, key: &[Value]) -> bool {
        !self.whole.is_empty() && (0..=key.len()).any(|many| self.whole.contains(&key[..many]))
    }
}

/// The rows that an event is about: those that it named, and no others.
pub struct Rows<'c> {
    cache: &'c mut Cache,
    keys: &'c [Key],
    undo: Vec<(usize, Box<[Value]>, Option<Row>)>,
    /// A fold that reached for what it did not name has failed, whatever it returns.
    broke: Option<FoldError>,
}

impl Rows<'_> {
    /// The row whose key is that one value, if it is there.
    pub fn get(&mut self, table: &str, key: impl Into<Value>) -> Option<&Row> {
        self.find(table, &[key.into()])
    }

    /// The row with that key, if it is there.
    pub fn find(&mut self, table: &str, key: &[Value]) -> Option<&Row> {
        let place = self.named(table, key)?;
        self.cache.tables[place].rows.get(key)?.now.as_ref()
    }

    /// Every row whose key begins with these values, in the order of their keys.
    pub fn beginning(&mut self, table: &str, key: &[Value]) -> Vec<Row> {
        let Some(place) = self.named(table, key) else { return Vec::new() };
        let held = &self.cache.tables[place];
        if held.table.key_columns().len() == 1 {
            let mut rows: Vec<Row> = held.rows.values().filter_map(|slot| slot.now.clone()).collect();
            rows.sort_by(|one, other| one.key().cmp(other.key()));
            rows.retain(|row| row.key().starts_with(key));
            return rows;
        }
        let from =
            held.ordered.range::<[Value], _>((std::ops::Bound::Included(key), std::ops::Bound::Unbounded));
        from.take_while(|found| found.starts_with(key))
            .filter_map(|found| held.rows.get(found)?.now.clone())
            .collect()
    }

    /// Puts a row, in place of the one with the same key if there is one: a value for each column.
    ///
    /// # Errors
    /// When the values don't fit into the table, or the event did not name the row.
    pub fn put(&mut self, table: &str, values: impl Into<Box<[Value]>>) -> Result<(), FoldError> {
        let place = self.cache.place(table)?;
        let row = Row::new(&self.cache.tables[place].table, values)?;
        self.put_row(row)
    }

    /// Puts a row that was got and changed.
    ///
    /// # Errors
    /// When the event did not name it.
    pub fn put_row(&mut self, row: Row) -> Result<(), FoldError> {
        row.fits_indexes()?;
        let (table, key): (Arc<Table>, Box<[Value]>) = (Arc::clone(row.table()), row.key().into());
        self.set(table.name(), key, Some(row))
    }

    /// Changes the row whose key is that one value, if it is there.
    ///
    /// # Errors
    /// When the change fails.
    pub fn change(
        &mut self,
        table: &str,
        key: impl Into<Value>,
        change: impl FnOnce(&mut Row) -> Result<(), FoldError>,
    ) -> Result<(), FoldError> {
        let Some(mut row) = self.get(table, key).cloned() else { return Ok(()) };
        change(&mut row)?;
        self.put_row(row)
    }

    /// Removes the row with that key, if it is there.
    ///
    /// # Errors
    /// When the event did not name it.
    pub fn remove(&mut self, table: &str, key: impl Into<Value>) -> Result<(), FoldError> {
        self.set(table, Box::new([key.into()]), None)
    }

    /// Removes a row that was found.
    ///
    /// # Errors
    /// When the event did not name it.
    pub fn remove_row(&mut self, row: &Row) -> Result<(), FoldError> {
        self.set(row.table().name(), row.key().into(), None)
    }

    fn set(&mut self, table: &str, key: Box<[Value]>, now: Option<Row>) -> Result<(), FoldError> {
        let Some(place) = self.named(table, &key) else {
            return Err(self.broke.clone().unwrap_or_else(|| FoldError::new("a row was not named")));
        };
        let held = &mut self.cache.tables[place];
        let bytes = now.as_ref().map_or(0, Row::bytes);
        if !held.rows.contains_key(&key) {
            held.insert(key.clone(), Slot::default());
        }
        if let Some(slot) = held.rows.get_mut(&key) {
            self.cache.bytes += bytes.saturating_sub(slot.now.as_ref().map_or(0, Row::bytes));
            let was = std::mem::replace(&mut slot.now, now);
            if !std::mem::replace(&mut slot.touched, true) {
                held.touched.push(key.clone());
            }
            self.undo.push((place, key, was));
        }
        Ok(())
    }

    /// The place of the table, if the event named that row.
    fn named(&mut self, table: &str, key: &[Value]) -> Option<usize> {
        let named = self.keys.iter().any(|named| named.table == table && key.starts_with(&named.values));
        let place = self.cache.place(table);
        match place {
            Ok(place) if named => return Some(place),
            Err(error) => self.broke = Some(error),
            Ok(_) => {
                let what = format!("the fold reaches for {key:?} of {table}, which its keys do not name");
                self.broke = Some(FoldError::new(what));
            }
        }
        None
    }
}
