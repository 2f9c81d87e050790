//! Folding: the rows that an event is folded into, and what came of it.
//!
//! A [`Fold`] names the rows that an event is about; they are loaded, and it sees those and no others. A [`Cache`] holds them for a
//! batch of events, knows which of them changed, and takes an event back that could not be folded.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// Which slot a row is in, by its key.
    places: HashMap<Box<[Value]>, usize>,
    slots: Vec<Slot>,
    /// Keys of more than one column, in order, so that all that begin alike are found. Kept from when that is first asked: it costs
    /// more than all the rest, and most views never do.
    ordered: Option<BTreeMap<Box<[Value]>, usize>>,
    /// The beginnings of keys whose rows are all here.
    whole: BTreeSet<Box<[Value]>>,
    /// Slots of the rows that were touched, each once.
    touched: Vec<usize>,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Its row is in that slot, or is not there.
    Held(usize),
    /// It is of what is here as a whole: what is not held is not there.
    Whole,
    /// Nothing.
    Missing,
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
            places: HashMap::new(),
            slots: Vec::new(),
            ordered: None,
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
            if let (place, Known::Missing) = self.look_up(key)? {
                missing.push((place, key.values.clone()));
            }
        }
        Ok(missing)
    }

    /// What is known of a key, and the place of its table.
    fn look_up(&self, key: &Key) -> Result<(usize, Known), FoldError> {
        let place = self.place(key.table)?;
        let held = &self.tables[place];
        let columns = held.table.key_columns();
        let fits = key.values.len() <= columns.len()
            && key.values.iter().zip(columns).all(|(value, column)| value.is_of(column.kind));
        if !fits {
            return Err(FoldError::new(format!("{:?} is no key of {}", key.values, key.table)));
        }
        let slot = (key.values.len() == columns.len()).then(|| held.places.get(&key.values)).flatten();
        let known = match slot {
            Some(slot) => Known::Held(*slot),
            None if held.covers(&key.values) => Known::Whole,
            None => Known::Missing,
        };
        Ok((place, known))
    }

    /// Takes in what the store has under these keys: a row that is not among `rows` is not there. What is held already is newer.
    pub fn take_in(&mut self, keys: Wanted, rows: Vec<(usize, Row)>) {
        for (place, row) in rows {
            let held = &mut self.tables[place];
            if !held.places.contains_key(row.key()) {
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
            } else if held.insert(key, Slot::default()).is_some() {
                self.bytes += 128;
            }
        }
    }

    /// Folds an event into its rows, which are held. What goes wrong leaves every row as it was.
    ///
    /// # Errors
    /// When the fold fails, or reaches for a row that it did not name.
    pub fn fold(&mut self, fold: &dyn Fold, event: &Recorded, keys: &[Key]) -> Result<(), FoldError> {
        // A row that was not looked up must never be taken for one that is not there.
        let mut known = Vec::with_capacity(keys.len());
        for key in keys {
            known.push(self.look_up(key)?);
        }
        if known.iter().any(|(_, known)| *known == Known::Missing) {
            return Err(FoldError::new("the rows of the event were not loaded"));
        }
        let undo = Vec::with_capacity(keys.len());
        let mut rows = Rows { cache: self, keys, known, undo, broke: None };
        let folded = caught(|| fold.fold(event, &mut rows));
        let (undo, broke) = (rows.undo, rows.broke);
        let folded = broke.map_or(folded, Err);
        if folded.is_err() {
            // Newest first, so that a row that was put twice is as it was before the first.
            for ((place, slot), was) in undo.into_iter().rev() {
                self.tables[place].slots[slot].now = was;
            }
        }
        folded
    }

    /// The keys that a fold names of an event, and those of them that are not held yet.
    ///
    /// # Errors
    /// When the event can't be read, or a key does not fit.
    pub fn keys(&self, fold: &dyn Fold, event: &Recorded) -> Result<(Vec<Key>, Wanted), FoldError> {
        let keys = keys_of(fold, event)?;
        let missing = self.missing(&keys)?;
        Ok((keys, missing))
    }

    /// What differs from what the store has.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let mut changes = Changes::new();
        for held in &self.tables {
            let (mut put, mut gone) = (Vec::new(), Vec::new());
            for slot in &held.touched {
                match &held.slots[*slot] {
                    Slot { stored, now: Some(now), .. } if stored.as_ref() != Some(now) => {
                        put.push(now.clone());
                    }
                    Slot { stored: Some(stored), now: None, .. } => gone.push(Box::from(stored.key())),
                    _ => {}
                }
            }
            // A fold touches a row far more often than this is asked.
            put.sort_unstable_by(|one: &Row, other: &Row| one.key().cmp(other.key()));
            gone.sort_unstable();
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
            self.tables[place].slots.iter().filter_map(|slot| slot.now.clone()).collect();
        rows.sort_by(|one, other| one.key().cmp(other.key()));
        rows
    }

    /// The rows that are held of a table and for which that is so, in no order.
    #[must_use]
    pub fn rows_where(&self, table: &str, mut so: impl FnMut(&Row) -> bool) -> Vec<Row> {
        let Ok(place) = self.place(table) else { return Vec::new() };
        let rows = self.tables[place].slots.iter().filter_map(|slot| slot.now.as_ref());
        rows.filter(|row| so(row)).cloned().collect()
    }

    /// How many rows may have changed since the last [`Cache::settle`].
    #[must_use]
    pub fn touched(&self) -> usize {
        self.tables.iter().map(|held| held.touched.len()).sum()
    }

    /// The store has the changes now.
    pub fn settle(&mut self) {
        for held in &mut self.tables {
            for slot in std::mem::take(&mut held.touched) {
                let slot = &mut held.slots[slot];
                slot.stored.clone_from(&slot.now);
                slot.touched = false;
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
            held.places.clear();
            held.slots.clear();
            held.ordered = None;
            held.whole.clear();
            held.touched.clear();
        }
        self.bytes = 0;
    }
}

/// The keys that a fold names of an event.
///
/// # Errors
/// When the event can't be read.
pub fn keys_of(fold: &dyn Fold, event: &Recorded) -> Result<Vec<Key>, FoldError> {
    caught(|| fold.keys(event))
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
    /// Puts a slot where there is none yet, and says where it is; nothing where there is one.
    fn insert(&mut self, key: Box<[Value]>, slot: Slot) -> Option<usize> {
        let at = self.slots.len();
        let Entry::Vacant(place) = self.places.entry(key) else { return None };
        if let Some(ordered) = &mut self.ordered {
            ordered.insert(place.key().clone(), at);
        }
        place.insert(at);
        self.slots.push(slot);
        Some(at)
    }

    fn covers(&self, key: &[Value]) -> bool {
        !self.whole.is_empty() && (0..=key.len()).any(|many| self.whole.contains(&key[..many]))
    }
}

/// The rows that an event is about: those that it named, and no others.
pub struct Rows<'c> {
    cache: &'c mut Cache,
    keys: &'c [Key],
    /// The place of the table of each of the keys, and the slot if there is one: nothing is looked up twice.
    known: Vec<(usize, Known)>,
    undo: Vec<((usize, usize), Option<Row>)>,
    /// A fold that reached for what it did not name has failed, whatever it returns.
    broke: Option<FoldError>,
}

/// A row that was named: the place of its table, its slot if there is one, and which of the keys says so.
struct Named {
    place: usize,
    slot: Option<usize>,
    by: Option<usize>,
}

impl<'c> Rows<'c> {
    /// The keys that the event named, in their order: what was worked out for them need not be worked out again.
    #[must_use]
    pub const fn keys(&self) -> &'c [Key] {
        self.keys
    }

    /// The row whose key is that one value, if it is there.
    pub fn get(&mut self, table: &str, key: impl Into<Value>) -> Option<&Row> {
        self.find(table, &[key.into()])
    }

    /// The row with that key, if it is there.
    pub fn find(&mut self, table: &str, key: &[Value]) -> Option<&Row> {
        let named = self.named(table, key)?;
        self.cache.tables[named.place].slots[named.slot?].now.as_ref()
    }

    /// Every row whose key begins with these values, in the order of their keys.
    pub fn beginning(&mut self, table: &str, key: &[Value]) -> Vec<Row> {
        let Some(Named { place, .. }) = self.named(table, key) else { return Vec::new() };
        let held = &mut self.cache.tables[place];
        if held.table.key_columns().len() == 1 {
            let mut rows: Vec<Row> = held.slots.iter().filter_map(|slot| slot.now.clone()).collect();
            rows.sort_by(|one, other| one.key().cmp(other.key()));
            rows.retain(|row| row.key().starts_with(key));
            return rows;
        }
        let in_order = || held.places.iter().map(|(key, slot)| (key.clone(), *slot)).collect();
        let ordered = held.ordered.get_or_insert_with(in_order);
        let from = ordered.range::<[Value], _>((std::ops::Bound::Included(key), std::ops::Bound::Unbounded));
        from.take_while(|(found, _)| found.starts_with(key))
            .filter_map(|(_, slot)| held.slots[*slot].now.clone())
            .collect()
    }

    /// Puts a row, in place of the one with the same key if there is one: a value for each column.
    ///
    /// # Errors
    /// When the values don't fit into the table, or the event did not name the row.
    pub fn put(&mut self, table: &str, values: impl Into<Arc<[Value]>>) -> Result<(), FoldError> {
        let row = self.make(table, values)?;
        self.put_row(row)
    }

    /// A row of a table that is not put there yet: a value for each column.
    ///
    /// # Errors
    /// When the values don't fit into the table.
    pub fn make(&self, table: &str, values: impl Into<Arc<[Value]>>) -> Result<Row, FoldError> {
        let place = self.cache.place(table)?;
        Row::new(&self.cache.tables[place].table, values)
    }

    /// Puts a row that was got and changed.
    ///
    /// # Errors
    /// When the event did not name it.
    pub fn put_row(&mut self, row: Row) -> Result<(), FoldError> {
        row.fits_indexes()?;
        let slot = self.slot(row.table().name(), row.key())?;
        self.set(slot, Some(row));
        Ok(())
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
        let slot = self.slot(table, &[key.into()])?;
        self.set(slot, None);
        Ok(())
    }

    /// Removes a row that was found.
    ///
    /// # Errors
    /// When the event did not name it.
    pub fn remove_row(&mut self, row: &Row) -> Result<(), FoldError> {
        let slot = self.slot(row.table().name(), row.key())?;
        self.set(slot, None);
        Ok(())
    }

    /// The slot of a row that is to be set, and the place of its table.
    fn slot(&mut self, table: &str, key: &[Value]) -> Result<(usize, usize), FoldError> {
        let Some(named) = self.named(table, key) else {
            return Err(self.broke.clone().unwrap_or_else(|| FoldError::new("a row was not named")));
        };
        let new = || self.cache.tables[named.place].insert(key.into(), Slot::default());
        let slot = named.slot.or_else(new).ok_or_else(|| FoldError::new("a row was looked for in vain"))?;
        if let Some(by) = named.by {
            self.known[by].1 = Known::Held(slot);
        }
        Ok((named.place, slot))
    }

    fn set(&mut self, (place, at): (usize, usize), now: Option<Row>) {
        let held = &mut self.cache.tables[place];
        let slot = &mut held.slots[at];
        let bytes = now.as_ref().map_or(0, Row::bytes);
        self.cache.bytes += bytes.saturating_sub(slot.now.as_ref().map_or(0, Row::bytes));
        let was = std::mem::replace(&mut slot.now, now);
        if !std::mem::replace(&mut slot.touched, true) {
            held.touched.push(at);
        }
        self.undo.push(((place, at), was));
    }

    /// Where a row is, if the event named it.
    fn named(&mut self, table: &str, key: &[Value]) -> Option<Named> {
        let names = |named: &Key| named.table == table && key.starts_with(&named.values);
        if let Some(by) = self.keys.iter().position(names) {
            let (place, known) = self.known[by];
            let held = &self.cache.tables[place];
            if key.len() == self.keys[by].values.len() && key.len() == held.table.key_columns().len() {
                let slot = if let Known::Held(slot) = known { Some(slot) } else { None };
                return Some(Named { place, slot, by: Some(by) });
            }
            return Some(Named { place, slot: held.places.get(key).copied(), by: None });
        }
        let what = match self.cache.place(table) {
            Err(error) => error,
            Ok(_) => {
                let what = format!("the fold reaches for {key:?} of {table}, which its keys do not name");
                FoldError::new(what)
            }
        };
        self.broke = Some(what);
        None
    }
}

#[cfg(test)]
mod tests;
