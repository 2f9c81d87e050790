//! Sabotage of answers. What is not sabotaged of them is done here as the port says it, so that the honest store shows this does no harm.

use std::cmp::Ordering;

use flightdeck_store::view::search::words;
use flightdeck_store::view::{
    Checkpoint, Compare, Generation, GenerationState, InvalidQuery, Row, Table, Term, Value, ViewCursor,
    ViewError, ViewPage, ViewQuery, ViewStore as _, Visible, Where,
};
use flightdeck_store::{Limit, StreamPattern};

use super::ViewSabotage as By;
use super::store::{SabotagedViews, earlier};
use super::work::without_case;

/// How often a generation that was thrown away while it answered is asked again.
const TURNS_MAX: usize = 100;
/// Words that somebody may take for too common to look for.
const COMMON: [&str; 4] = ["and", "not", "or", "the"];

/// A query that asks for every row.
fn plain(query: &ViewQuery) -> ViewQuery {
    let all = ViewQuery::of(query.view.clone(), query.number, &query.table);
    ViewQuery { limit: Limit::MAX, ..all }
}

impl SabotagedViews {
    pub(super) async fn sabotaged_ask(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        let values = |filter: &Where| match &filter.compare {
            Compare::OneOf(values) => values.len(),
            _ => 1,
        };
        match self.sabotage {
            Some(By::TakesOverInSteps) if self.memo.notes().between => {
                return Err(ViewError::NotReady(query.view.clone()));
            }
            Some(By::RefusesLargeQueries) if query.filters.iter().map(values).sum::<usize>() > 1_000 => {
                return Err(InvalidQuery::TooMuch.into());
            }
            _ => {}
        }
        let of = Generation { view: query.view.clone(), number: query.number, build: 1 };
        match self.answer(&self.asked(query)).await {
            Err(ViewError::Unknown(_)) if self.is(By::SaysNotReadyOfTheUnknown) => {
                Err(ViewError::NotReady(query.view.clone()))
            }
            Err(ViewError::Query(_)) if self.is(By::TakesAnyQuery) => {
                Ok(ViewPage { rows: Vec::new(), next: None, checkpoint: Checkpoint::START, of })
            }
            Ok(page) if self.is(By::AnswersForItsNumberOnly) && page.of.number != query.number => {
                Err(ViewError::NotReady(query.view.clone()))
            }
            answer => answer,
        }
    }

    /// A query as it is understood.
    fn asked(&self, query: &ViewQuery) -> ViewQuery {
        let mut asked = query.clone();
        let for_words = !asked.terms.is_empty();
        match self.sabotage {
            Some(By::AnswersByWhatServes) => asked.number = u32::MAX,
            Some(By::MixesUpTables) => asked.table = asked.view.as_str().to_owned(),
            Some(By::IgnoresLimits) => asked.limit = Limit::MAX,
            Some(By::ForgetsConditionsOnLaterPages) if asked.after.is_some() => asked.filters.clear(),
            Some(By::ForgetsConditionsBesideWords) if for_words => asked.filters.clear(),
            Some(By::ForgetsWhoAsksForWords) if for_words => asked.streams = None,
            Some(By::ShowsAllForNothing) => {
                asked.streams = asked.streams.filter(|streams| !streams.is_empty())
            }
            Some(By::OverlooksCommonWords) => asked.terms.retain(|term| !COMMON.contains(&term.word())),
            _ => {}
        }
        for filter in &mut asked.filters {
            if let (true, Compare::OneOf(values)) = (self.is(By::LooksAtAHundredValues), &mut filter.compare)
            {
                values.truncate(100);
            }
        }
        for term in &mut asked.terms {
            if self.is(By::IgnoresStars) {
                *term = Term::Word(term.word().to_owned());
            }
        }
        let streams = asked.streams.iter_mut().flatten();
        for pattern in streams {
            let other = match (self.sabotage, &*pattern) {
                (Some(By::ShowsWhatBeginsWithAName), StreamPattern::Exact(name)) => name.as_str(),
                (Some(By::ShowsWhatBeginsWithACategory), StreamPattern::Category(name)) => name.as_str(),
                (Some(By::ShowsTheSystemToAStar), StreamPattern::Prefix(begin)) if begin.is_empty() => "$",
                _ => continue,
            };
            *pattern = StreamPattern::Prefix(other.into());
        }
        if let (true, Some(streams)) = (self.is(By::LooksAtAHundredPatterns), &mut asked.streams) {
            streams.truncate(100);
        }
        asked
    }

    /// Every row of the table, of which moment, and what is known of the generation that answers.
    async fn everything(
        &self,
        query: &ViewQuery,
    ) -> Result<(Vec<Row>, Checkpoint, GenerationState), ViewError> {
        for _ in 0..TURNS_MAX {
            let (mut rows, mut asked) = (Vec::new(), Some(plain(query)));
            let mut last = None;
            while let Some(query) = asked {
                let page = self.inner.ask(&query).await?;
                asked = query.next(&page);
                last = Some((page.checkpoint, page.of));
                rows.extend(page.rows);
            }
            let Some((checkpoint, of)) = last else { continue };
            if let Ok(state) = self.real(&of).await {
                return Ok((rows, checkpoint, state));
            }
        }
        Err(ViewError::NotReady(query.view.clone()))
    }

    async fn answer(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        let (mut rows, mut checkpoint, state) = self.everything(query).await?;
        let table = state.plan.table(&query.table).ok_or_else(|| InvalidQuery::Table(query.table.clone()))?;
        let (place, table) = table;
        let order = query.check(table)?;
        let for_words = !query.terms.is_empty();
        let mut query = query.clone();
        match self.sabotage {
            Some(By::HidesWhatHasHalted) if state.halt.is_some() => {
                return Err(ViewError::NotReady(query.view));
            }
            Some(By::SaysAnEarlierCheckpoint) => checkpoint = earlier(checkpoint),
            Some(By::ForgetsRowsWhenReopened) if self.reopened => rows.clear(),
            Some(By::ForgetsWordsWhenReopened) if self.reopened && for_words => rows.clear(),
            Some(By::ShowsTablesOfNoStreams) if table.stream().is_none() => query.streams = None,
            Some(By::FindsWordsOfBuilds) if for_words => {
                let mut all = self.inner.generations().await?;
                all.retain(|other| other.of.view == state.of.view);
                let newest = all.pop().map_or_else(|| state.of.clone(), |newest| newest.of);
                let every = self.inner.load(&newest, vec![(place, Box::new([]))]).await?;
                rows = every.into_iter().map(|(_, row)| row).collect();
            }
            Some(By::FindsRowsThatAreGone) if for_words => {
                let notes = self.memo.notes();
                let gone = notes.removed.iter().filter(|((name, _), _)| name == table.name());
                let gone: Vec<Row> = gone.map(|(_, row)| row.clone()).collect();
                rows.retain(|row| gone.iter().all(|gone| gone.key() != row.key()));
                rows.extend(gone);
            }
            _ => {}
        }
        rows.retain(|row| {
            self.passes(&query, row) && self.sees(&query, table, row) && self.finds(&query, table, row)
        });
        Ok(self.page(&query, rows, &order, checkpoint, state.of))
    }

    fn passes(&self, query: &ViewQuery, row: &Row) -> bool {
        match self.is(By::NeedsOneCondition) && !query.filters.is_empty() {
            true => query.filters.iter().any(|filter| self.is_so(query, filter, row)),
            false => query.filters.iter().all(|filter| self.is_so(query, filter, row)),
        }
    }

    fn is_so(&self, query: &ViewQuery, filter: &Where, row: &Row) -> bool {
        let cell = row.get(&filter.column);
        match (self.sabotage, &filter.compare) {
            (Some(By::IncludesTheBound), Compare::Less(value) | Compare::More(value)) if cell == value => {
                true
            }
            (Some(By::TakesNoneForAny), Compare::OneOf(values)) if values.is_empty() => true,
            (Some(By::ComparesNothing), Compare::Less(_)) if *cell == Value::Null => true,
            (Some(By::ComparesWithoutCase), Compare::Equal(value)) => {
                without_case(cell) == without_case(value)
            }
            (Some(By::TakesEmptyForNothing), Compare::IsNull) if is_empty(cell) => true,
            (Some(By::LooksForPartsOfLists), Compare::Has(text)) => {
                matches!(cell, Value::List(list) if list.iter().any(|item| item.contains(text.as_str())))
            }
            _ => ViewQuery { filters: vec![filter.clone()], ..plain(query) }.matches(row, None),
        }
    }

    fn sees(&self, query: &ViewQuery, table: &Table, row: &Row) -> bool {
        match query.visible(table) {
            Visible::Some { column, exactly, beginning } if self.is(By::ShowsNamesLikeSql) => {
                let text = row.text(&column).unwrap_or_default();
                exactly.iter().any(|exact| exact == text)
                    || beginning.iter().any(|begin| is_like(text, begin))
            }
            _ => ViewQuery { streams: query.streams.clone(), ..plain(query) }.matches(row, None),
        }
    }

    fn finds(&self, query: &ViewQuery, table: &Table, row: &Row) -> bool {
        let words = self.words(table, row);
        let has = |term: &Term| match self.is(By::FindsPartsOfWords) {
            true => words.iter().any(|word| word.contains(term.word())),
            false => {
                let query = ViewQuery { terms: vec![term.clone()], ..plain(query) };
                query.matches(row, Some(&words.join(" ")))
            }
        };
        match self.is(By::NeedsOneWord) && !query.terms.is_empty() {
            true => query.terms.iter().any(has),
            false => query.terms.iter().all(has),
        }
    }

    /// The words that a row is found by.
    fn words(&self, table: &Table, row: &Row) -> Vec<String> {
        let mut texts = String::new();
        for (column, value) in table.columns().iter().zip(row.values()) {
            let is_searched = table.searched().contains(&column.name) || self.is(By::SearchesEveryColumn);
            match value {
                _ if !is_searched => {}
                Value::Text(text) | Value::Json(text) => texts.extend([text, " "]),
                Value::List(_) if self.is(By::SearchesNoLists) => {}
                Value::List(list) => list.iter().for_each(|text| texts.extend([&**text, " "])),
                Value::Integer(number) => texts.push_str(&number.to_string()),
                _ => {}
            }
        }
        let split = |ends: fn(char) -> bool, text: &str| -> Vec<String> {
            text.split(ends).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let no_letter = |letter: char| !letter.is_alphanumeric();
        match self.sabotage {
            Some(By::LooksForWordsWithCase) => split(no_letter, &texts),
            Some(By::KnowsOnlyAscii) => {
                split(|letter| !letter.is_ascii_alphanumeric(), &texts.to_lowercase())
            }
            Some(By::ComposesNoLetters) => split(no_letter, &texts.to_lowercase()),
            Some(By::ForgetsLongWords) => {
                words([texts.as_str()]).into_iter().filter(|word| word.len() < 50).collect()
            }
            Some(By::FindsWhatRowsSaid) => {
                let notes = self.memo.notes();
                let said = notes.said.get(&(table.name().to_owned(), row.key().into()));
                said.into_iter().flatten().cloned().collect()
            }
            _ => words([texts.as_str()]).into_iter().collect(),
        }
    }

    /// A value as it is sorted.
    fn sorted(&self, value: &Value) -> Value {
        match (self.sabotage, value) {
            (Some(By::SortsTextsWithoutCase), value) => without_case(value),
            (Some(By::SortsNumbersAsTexts), Value::Integer(number)) => number.to_string().into(),
            // Behind all others, for JSON is never sorted by.
            (Some(By::SortsNothingLast), Value::Null) => Value::Json("".into()),
            _ => value.clone(),
        }
    }

    fn page(
        &self,
        query: &ViewQuery,
        mut rows: Vec<Row>,
        order: &[(&str, bool)],
        checkpoint: Checkpoint,
        of: Generation,
    ) -> ViewPage {
        let own: Vec<bool> = order
            .iter()
            .enumerate()
            .map(|(place, (_, falling))| match self.sabotage {
                Some(By::SortsBackwardsByItself) if query.sort.is_empty() => !falling,
                Some(By::SortsLikeRowsBackwards) if place >= query.sort.len() => !falling,
                _ => *falling,
            })
            .collect();
        let counts =
            |place: usize| !self.is(By::SortsByTheFirstColumn) || place == 0 || place >= query.sort.len();
        let compare = |one: &[Value], other: &[Value]| {
            let each = one.iter().zip(other).zip(&own).enumerate().filter(|(place, _)| counts(*place));
            let each = each.map(|(_, ((one, other), falling))| match falling {
                true => self.sorted(other).cmp(&self.sorted(one)),
                false => self.sorted(one).cmp(&self.sorted(other)),
            });
            each.fold(Ordering::Equal, Ordering::then)
        };
        let place = |row: &Row| ViewCursor::of(row, order).0;
        rows.sort_by(|one, other| compare(&place(one), &place(other)));
        if let Some(after) = &query.after {
            match self.sabotage {
                Some(By::GoesOnByTheFirstColumn) => {
                    rows.retain(|row| compare(&place(row)[..1], &after.0[..1]) == Ordering::Greater);
                }
                Some(By::GoesOnByCounting) => {
                    let given = self.memo.notes().given.min(rows.len());
                    rows.drain(..given);
                }
                _ => rows.retain(|row| compare(&place(row), &after.0) == Ordering::Greater),
            }
            if self.is(By::LosesRowsBetweenPages) && !rows.is_empty() {
                rows.remove(0);
            }
        }
        let mut page = ViewPage::cut(rows, query.limit, order, checkpoint, of);
        let given = if query.after.is_some() { self.memo.notes().given } else { 0 };
        self.memo.notes().given = given + page.rows.len();
        if self.is(By::SaysMoreOfAFullPage) && page.rows.len() == query.limit.get() {
            page.next = page.rows.last().map(|row| ViewCursor::of(row, order));
        }
        page
    }
}

fn is_empty(cell: &Value) -> bool {
    match cell {
        Value::Text(text) => text.is_empty(),
        Value::List(list) => list.is_empty(),
        _ => false,
    }
}

/// Whether a text begins like a pattern in which `_` is any character, without case.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut text = text.chars();
    pattern.chars().all(|wanted| {
        text.next().is_some_and(|letter| wanted == '_' || wanted.to_lowercase().eq(letter.to_lowercase()))
    })
}
