//! How a view is asked: a closed value, checked once, that every store understands in the same way.

use std::cmp::Ordering;
use std::sync::Arc;

use thiserror::Error;

use crate::read::{Limit, StreamPattern};
use crate::view::generation::{Checkpoint, Generation};
use crate::view::search::{terms, words, words_of};
use crate::view::table::{Kind, Table, ViewName};
use crate::view::value::{Cell, Row, Value};

/// Conditions of one query.
const FILTERS_MAX: usize = 32;
/// Values of one condition.
const VALUES_MAX: usize = 200;
/// Words of one query.
const TERMS_MAX: usize = 32;
/// Columns that a query sorts by.
const SORTS_MAX: usize = 4;

/// A question to a table of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewQuery {
    /// The view.
    pub view: ViewName,
    /// The number of the projection that the caller knows: while that one is being built, the one before answers.
    pub number: u32,
    /// The table.
    pub table: String,
    /// Only rows for which all of this is so.
    pub filters: Vec<Where>,
    /// Only rows with all of these words.
    pub terms: Vec<Term>,
    /// In which order; rows that are alike in it by their key, in the direction of the last of these, and all by it when it is empty.
    pub sort: Vec<Sort>,
    /// Behind the row that a page ended with.
    pub after: Option<ViewCursor>,
    /// How many at most.
    pub limit: Limit,
    /// Only rows of streams that the caller may see; `None` is every row.
    pub streams: Option<Vec<StreamPattern>>,
}

impl ViewQuery {
    /// Every row of a table, by its key.
    #[must_use]
    pub fn of(view: ViewName, number: u32, table: &str) -> Self {
        Self {
            view,
            number,
            table: table.to_owned(),
            filters: Vec::new(),
            terms: Vec::new(),
            sort: Vec::new(),
            after: None,
            limit: Limit::MAX,
            streams: None,
        }
    }

    /// The same query, for rows for which this is so as well.
    #[must_use]
    pub fn filter(mut self, column: &str, compare: Compare) -> Self {
        self.filters.push(Where { column: column.to_owned(), compare });
        self
    }

    /// The same query, in the order of that column before all that follow.
    #[must_use]
    pub fn sorted(mut self, column: &str, descending: bool) -> Self {
        self.sort.push(Sort { column: column.to_owned(), descending });
        self
    }

    /// The same query, for rows with all words of a text; a `*` behind one stands for whatever goes on from there.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.terms.extend(terms(text));
        self
    }

    /// The query for the page behind `page`; `None` when that was the last one there is now.
    #[must_use]
    pub fn next(&self, page: &ViewPage) -> Option<Self> {
        page.next.clone().map(|after| Self { after: Some(after), ..self.clone() })
    }

    /// Checks the query against the table that is to answer it, and settles the order: what it sorts by, and the key behind it.
    ///
    /// # Errors
    /// When it names a column that is not there, compares it with what it can't hold, or is too large.
    pub fn check<'t>(&self, table: &'t Table) -> Result<Vec<(&'t str, bool)>, InvalidQuery> {
        let too_much =
            self.filters.len() > FILTERS_MAX || self.terms.len() > TERMS_MAX || self.sort.len() > SORTS_MAX;
        if too_much || self.filters.iter().any(|filter| filter.compare.values().len() > VALUES_MAX) {
            return Err(InvalidQuery::TooMuch);
        }
        for filter in &self.filters {
            let kind = kind_of(table, &filter.column)?;
            let fits = match &filter.compare {
                Compare::IsNull | Compare::IsNotNull => true,
                Compare::Has(_) => kind == Kind::List,
                Compare::Equal(value) | Compare::Less(value) | Compare::More(value) => fits(value, kind),
                Compare::OneOf(values) => values.iter().all(|value| fits(value, kind)),
            };
            if !fits {
                return Err(InvalidQuery::Kind(filter.column.clone()));
            }
        }
        if !self.terms.is_empty() && table.searched().is_empty() {
            return Err(InvalidQuery::NoSearch);
        }
        if self.terms.iter().any(|term| words([term.word()]).iter().ne([term.word()])) {
            return Err(InvalidQuery::Term);
        }
        let mut order: Vec<(&'t str, bool)> = Vec::new();
        for sort in &self.sort {
            if matches!(kind_of(table, &sort.column)?, Kind::List | Kind::Json) {
                return Err(InvalidQuery::Kind(sort.column.clone()));
            }
            let place = table.place(&sort.column).unwrap_or(0);
            order.push((&table.columns()[place].name, sort.descending));
        }
        // In the same direction as what comes before it, so that a page begins in an index wherever it begins.
        let descending = order.last().is_some_and(|(_, descending)| *descending);
        for key in table.key_columns() {
            if !order.iter().any(|(name, _)| *name == key.name) {
                order.push((&key.name, descending));
            }
        }
        if let Some(after) = &self.after {
            let fits = after.0.len() == order.len()
                && after.0.iter().zip(&order).all(|(value, (name, _))| {
                    let column = &table.columns()[table.place(name).unwrap_or(0)];
                    value.is_of(column.kind) || column.nullable && *value == Value::Null
                });
            if !fits {
                return Err(InvalidQuery::Cursor);
            }
        }
        Ok(order)
    }

    /// Whether a row passes, in memory: what the SQL of every other store comes to.
    #[must_use]
    pub fn matches(&self, row: &Row, row_words: Option<&str>) -> bool {
        self.filters.iter().all(|filter| filter.compare.holds(row.get(&filter.column)))
            && self.has_terms(row_words)
            && self.visible(row.table()).sees(row)
    }

    /// The same for many rows of one table: its texts are cut into words only when words are asked for, and then only those of
    /// rows for which all else is so.
    pub fn selects<'q>(&'q self, table: &'q Table) -> impl Fn(&Row) -> bool + 'q {
        let visible = self.visible(table);
        let place = |filter: &'q Where| (table.place(&filter.column), &filter.compare);
        let filters: Vec<_> = self.filters.iter().map(place).collect();
        move |row| {
            let cell = |place: Option<usize>| place.map_or(&Value::Null, |place| &row.values()[place]);
            filters.iter().all(|(place, compare)| compare.holds(cell(*place)))
                && visible.sees(row)
                && (self.terms.is_empty() || self.has_terms(words_of(table, row).as_deref()))
        }
    }

    /// Whether the words of a row, with a space between them, are all that are asked for.
    #[must_use]
    pub fn has_terms(&self, row_words: Option<&str>) -> bool {
        let in_words = |term: &Term| {
            row_words.unwrap_or_default().split(' ').any(|word| match term {
                Term::Word(term) => word == term,
                Term::Prefix(term) => word.starts_with(term.as_str()),
            })
        };
        self.terms.iter().all(in_words)
    }

    /// Which rows of a table the caller may see.
    #[must_use]
    pub fn visible(&self, table: &Table) -> Visible {
        let Some(patterns) = &self.streams else { return Visible::All };
        // What is of no single stream is for whoever may see all of them.
        let Some((category, column)) = table.stream() else {
            let all = patterns
                .iter()
                .any(|pattern| matches!(pattern, StreamPattern::Prefix(begin) if begin.is_empty()));
            return if all {
                Visible::All
            } else {
                Visible::Some { column: String::new(), exactly: vec![], beginning: vec![] }
            };
        };
        let before = format!("{category}-");
        let (mut exactly, mut beginning) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match pattern {
                StreamPattern::Exact(stream) => {
                    exactly.extend(stream.as_str().strip_prefix(&before).map(str::to_owned));
                }
                StreamPattern::Category(of) if of.as_str() == category => return Visible::All,
                StreamPattern::Category(_) => {}
                StreamPattern::Prefix(begin) => {
                    // The system's streams only when they are named as such.
                    if before.starts_with(&**begin) && (!category.starts_with('$') || begin.starts_with('$'))
                    {
                        return Visible::All;
                    }
                    beginning.extend(begin.strip_prefix(&before).map(str::to_owned));
                }
            }
        }
        Visible::Some { column: column.to_owned(), exactly, beginning }
    }

    /// Sorts and cuts rows into a page, in memory.
    #[must_use]
    pub fn page(
        &self,
        mut rows: Vec<Row>,
        order: &[(&str, bool)],
        checkpoint: Checkpoint,
        of: Generation,
    ) -> ViewPage {
        if let Some(table) = rows.first().map(|row| Arc::clone(row.table())) {
            let places: Vec<_> =
                order.iter().map(|(column, down)| (table.place(column).unwrap_or(0), *down)).collect();
            if let Some(after) = &self.after {
                rows.retain(|row| {
                    let cells = places.iter().map(|(place, _)| &row.values()[*place]);
                    compare(cells.zip(&after.0), order) == Ordering::Greater
                });
            }
            let by_place = |one: &Row, other: &Row| {
                let pair = |(place, _): &(usize, bool)| (&one.values()[*place], &other.values()[*place]);
                compare(places.iter().map(pair), order)
            };
            // What the page does not show need not be in order, but for the one behind it.
            let most = self.limit.get() + 1;
            if rows.len() > most {
                rows.select_nth_unstable_by(most - 1, by_place);
                rows.truncate(most);
            }
            rows.sort_unstable_by(by_place);
        }
        ViewPage::cut(rows, self.limit, order, checkpoint, of)
    }
}

/// Which of two rows comes first, by their cells of the columns of an order.
fn compare<'v>(cells: impl Iterator<Item = (&'v Value, &'v Value)>, order: &[(&str, bool)]) -> Ordering {
    let mut each = cells.zip(order).map(|((one, other), (_, descending))| match descending {
        true => other.cmp(one),
        false => one.cmp(other),
    });
    each.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

/// Which rows of a table a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// Every one.
    All,
    /// Those in whose column stands one of these, or something that begins like one of those.
    Some {
        /// The column.
        column: String,
        /// What may stand in it.
        exactly: Vec<String>,
        /// How it may begin.
        beginning: Vec<String>,
    },
}

impl Visible {
    fn sees(&self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Some { column, exactly, beginning } => row.text(column).is_some_and(|text| {
                exactly.iter().any(|exact| exact == text)
                    || beginning.iter().any(|begin| text.starts_with(begin))
            }),
        }
    }
}

fn kind_of(table: &Table, column: &str) -> Result<Kind, InvalidQuery> {
    let place = table.place(column).ok_or_else(|| InvalidQuery::Column(column.chars().take(80).collect()))?;
    Ok(table.columns()[place].kind)
}

fn fits(value: &Value, kind: Kind) -> bool {
    value.is_of(kind) && !matches!(kind, Kind::List | Kind::Json)
}

/// A condition on a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Where {
    /// The column.
    pub column: String,
    /// What must be so.
    pub compare: Compare,
}

/// What must be so of a cell. Of one that holds nothing, only [`IsNull`](Self::IsNull) is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// It is this.
    Equal(Value),
    /// It is one of these.
    OneOf(Vec<Value>),
    /// It sorts before this.
    Less(Value),
    /// It sorts behind this.
    More(Value),
    /// It is a list, and this is in it.
    Has(String),
    /// It holds nothing.
    IsNull,
    /// It holds something.
    IsNotNull,
}

impl Compare {
    fn values(&self) -> &[Value] {
        match self {
            Self::Equal(value) | Self::Less(value) | Self::More(value) => std::slice::from_ref(value),
            Self::OneOf(values) => values,
            Self::Has(_) | Self::IsNull | Self::IsNotNull => &[],
        }
    }

    fn holds(&self, cell: &Value) -> bool {
        match self {
            Self::IsNull => *cell == Value::Null,
            Self::IsNotNull => *cell != Value::Null,
            _ if *cell == Value::Null => false,
            Self::Equal(value) => cell == value,
            Self::OneOf(values) => values.contains(cell),
            Self::Less(value) => cell < value,
            Self::More(value) => cell > value,
            Self::Has(text) => {
                matches!(cell, Value::List(list) if list.iter().any(|item| **item == **text))
            }
        }
    }
}

/// A word that a row must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// This one.
    Word(String),
    /// One that begins like this.
    Prefix(String),
}

impl Term {
    /// The word, or its beginning.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Word(word) | Self::Prefix(word) => word,
        }
    }
}

/// A column to sort by: nothing first, texts by their bytes, or all the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The column.
    pub column: String,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// The place behind a row in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewCursor(pub Vec<Value>);

impl ViewCursor {
    /// The place of a row in an order.
    #[must_use]
    pub fn of(row: &Row, order: &[(&str, bool)]) -> Self {
        Self(order.iter().map(|(column, _)| row.get(column).clone()).collect())
    }

    /// The place as text that can be handed out, and read again.
    #[must_use]
    pub fn to_text(&self) -> String {
        let cells: Vec<Cell> = self.0.iter().map(Cell::from).collect();
        serde_json::to_string(&cells).unwrap_or_default()
    }

    /// The place that a text says.
    ///
    /// # Errors
    /// When it says none.
    pub fn from_text(text: &str) -> Result<Self, InvalidQuery> {
        let cells: Vec<Cell> = serde_json::from_str(text).map_err(|_| InvalidQuery::Cursor)?;
        cells.into_iter().map(Cell::value).collect::<Option<_>>().map(Self).ok_or(InvalidQuery::Cursor)
    }
}

/// What a view answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewPage {
    /// The rows, in the order that was asked for.
    pub rows: Vec<Row>,
    /// Where the page behind this one begins; `None` when there is none.
    pub next: Option<ViewCursor>,
    /// How far the view was folded at that very moment.
    pub checkpoint: Checkpoint,
    /// Which generation answered.
    pub of: Generation,
}

impl ViewPage {
    /// Makes a page of rows in their order, of which there may be one more than the limit.
    #[must_use]
    pub fn cut(
        mut rows: Vec<Row>,
        limit: Limit,
        order: &[(&str, bool)],
        checkpoint: Checkpoint,
        of: Generation,
    ) -> Self {
        let more = rows.len() > limit.get();
        rows.truncate(limit.get());
        let next = rows.last().filter(|_| more).map(|row| ViewCursor::of(row, order));
        Self { rows, next, checkpoint, of }
    }
}

/// Why a question can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidQuery {
    /// There is no such table.
    #[error("there is no table {0}")]
    Table(String),
    /// There is no such column.
    #[error("there is no column {0}")]
    Column(String),
    /// The column can't be compared with that, or sorted by.
    #[error("the column {0} can't be asked for that")]
    Kind(String),
    /// The table is not searched.
    #[error("this is not found by words")]
    NoSearch,
    /// A term is no single word.
    #[error("a term is one word of letters and digits, in lower case")]
    Term,
    /// The cursor is of another query.
    #[error("the cursor is of another query")]
    Cursor,
    /// Too many conditions.
    #[error("that is more than a query may ask")]
    TooMuch,
}

#[cfg(test)]
mod tests;
