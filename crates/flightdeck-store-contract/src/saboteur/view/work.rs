//! Sabotage of leases and of work.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{Position, Timestamp};
use flightdeck_store::view::search::words_of;
use flightdeck_store::view::{
    Changes, Generation, Holder, Lease, Row, TableChanges, Value, ViewError, ViewStore as _, Work,
};
use flightdeck_store::{Reason, StoreError};

use super::ViewSabotage as By;
use super::store::{SabotagedViews, a_moment};
use crate::view::LONG;

impl SabotagedViews {
    /// A lease as it is taken from whoever brings it.
    pub(super) async fn taken_lease(&self, lease: &Lease) -> Result<Lease, ViewError> {
        match self.sabotage {
            Some(By::FencesLapsedLeases) if self.real(&lease.of).await?.holder.is_none() => {
                Err(ViewError::Fenced)
            }
            Some(By::IgnoresTokens) => Ok(Lease { token: self.good_lease(&lease.of).token, ..lease.clone() }),
            _ => Ok(lease.clone()),
        }
    }

    pub(super) async fn sabotaged_lease(
        &self,
        of: &Generation,
        holder: &Holder,
        lasting: Duration,
    ) -> Result<Option<Lease>, ViewError> {
        let before = self.memo.notes().leases.get(of).cloned().filter(|lease| lease.holder == *holder);
        let mut lasting = lasting;
        match self.sabotage {
            Some(By::NeverProlongs) if before.is_some() => return Ok(before),
            Some(By::NeverLapses) => lasting = LONG,
            Some(By::LeasesTheWholeView) => {
                let all = self.inner.generations().await?;
                let mut others = all.iter().filter(|state| state.of.view == of.view && state.of != *of);
                if others.any(|state| state.holder.as_ref().is_some_and(|other| other != holder)) {
                    return Ok(None);
                }
            }
            _ => {}
        }
        let mut lease = match self.inner.lease(of, holder, lasting).await {
            Err(ViewError::Unknown(_)) if self.is(By::LeasesWhatIsNotThere) => {
                Some(Lease { of: of.clone(), holder: holder.clone(), token: 1 })
            }
            Ok(None) if self.is(By::LeasesToEveryone) => {
                Some(Lease { holder: holder.clone(), ..self.good_lease(of) })
            }
            leased => leased?,
        };
        if let Some(lease) = &mut lease {
            self.memo.notes().leases.insert(of.clone(), lease.clone());
            match self.sabotage {
                Some(By::RaisesTokensOfItsHolder) if before.is_some() => lease.token += 1,
                Some(By::HasOneToken) => lease.token = 1,
                Some(By::ForgetsTokensWhenReopened) if self.reopened => lease.token = 1,
                _ => {}
            }
        }
        Ok(lease)
    }

    pub(super) async fn sabotaged_load(
        &self,
        of: &Generation,
        mut keys: Vec<(usize, Box<[Value]>)>,
    ) -> Result<Vec<(usize, Row)>, ViewError> {
        let first = Generation { number: 1, build: 1, ..of.clone() };
        let of = if self.is(By::LoadsFromTheFirstBuild) { &first } else { of };
        let asked = keys.clone();
        match self.sabotage {
            Some(By::LoadsOnlyByTexts) => {
                keys.retain(|(_, key)| key.iter().all(|v| matches!(v, Value::Text(_))))
            }
            Some(By::LoadsAThousandKeys) => keys.truncate(1_000),
            Some(By::FoldsCaseOfKeys) => {
                let lower = |(place, key): &(usize, Box<[Value]>)| {
                    (*place, key.iter().map(without_case).collect::<Box<[Value]>>())
                };
                keys.extend(asked.iter().map(lower));
            }
            Some(By::MistakesBeginnings) => {
                for (_, key) in &mut keys {
                    if key.len() == 1 {
                        *key = Box::new([]);
                    }
                }
            }
            Some(By::RepeatsRows) => {
                let mut rows = Vec::new();
                for key in keys {
                    rows.extend(self.inner.load(of, vec![key]).await?);
                }
                return Ok(rows);
            }
            Some(By::ForgetsRowsWhenReopened) if self.reopened => keys.clear(),
            _ => {}
        }
        let mut rows = self.inner.load(of, keys).await?;
        if self.is(By::MistakesBeginnings) {
            let begins = |row: &Row| {
                asked.iter().any(|(_, key)| match key.first() {
                    Some(Value::Text(text)) => {
                        matches!(&row.key()[0], Value::Text(own) if own.starts_with(&**text))
                    }
                    _ => true,
                })
            };
            rows.retain(|(_, row)| begins(row));
        }
        if self.is(By::MakesUpRows) {
            let plan = self.real(of).await?.plan;
            for (place, key) in asked {
                let table = &plan.tables()[place];
                let mut values = vec![Value::Null; table.columns().len()];
                values.splice(..key.len(), key.iter().cloned());
                let there = rows.iter().any(|(_, row)| row.key().starts_with(&key));
                if let (false, Ok(row)) = (there, Row::new(table, values)) {
                    rows.push((place, row));
                }
            }
        }
        Ok(rows)
    }

    pub(super) async fn sabotaged_apply(&self, mut work: Work) -> Result<(), ViewError> {
        let state = self.real(&work.lease.of).await?;
        let now = state.checkpoint;
        let failed = || StoreError::Failed { reason: Reason::Storage, source: None };
        match self.sabotage {
            Some(By::IgnoresCheckpoints) => work.from = now,
            Some(By::ComparesPositionsOnly) if work.from.position == now.position => work.from = now,
            Some(By::TakesAnythingAtTheStart) if now.position == Position::START => work.from = now,
            Some(By::MovesThePositionOnly) => work.to.folded = work.from.folded,
            Some(By::SkipsEmptyWork) if work.changes.is_empty() => return Ok(()),
            Some(By::ChangesOneTable) => work.changes.truncate(1),
            Some(By::RefusesFullWork) if state.ready && rows(&work.changes) >= self.work_limits().rows => {
                return Err(failed().into());
            }
            Some(By::ChecksBeforeItsTurn) if work.from == now => {
                a_moment().await;
                work.from = self.real(&work.lease.of).await?.checkpoint;
            }
            Some(By::TearsWork) if work.from == now => {
                let rows = Work { to: work.from, ..work.clone() };
                self.inner.apply(rows).await?;
                a_moment().await;
                work.changes.clear();
            }
            _ => {}
        }
        for changes in &mut work.changes {
            self.sabotaged_changes(&state.of, changes).await?;
        }
        let lease = work.lease.clone();
        self.inner.apply(work).await?;
        match state.halt.filter(|_| self.is(By::KeepsHaltsOverWork)) {
            Some(halt) => self.inner.halt(&lease, &halt).await,
            None => Ok(()),
        }
    }

    async fn sabotaged_changes(&self, of: &Generation, changes: &mut TableChanges) -> Result<(), ViewError> {
        let plan = self.real(of).await?.plan;
        let Some((place, _)) = plan.table(changes.table.name()) else { return Ok(()) };
        let keys = changes.put.iter().map(|row| row.key().into()).chain(changes.gone.iter().cloned());
        let keys: Vec<(usize, Box<[Value]>)> = keys.map(|key| (place, key)).collect();
        let before: Vec<Row> = self.inner.load(of, keys).await?.into_iter().map(|(_, row)| row).collect();
        let was = |key: &[Value]| before.iter().find(|row| row.key() == key);
        match self.sabotage {
            Some(By::RemovesNothing) => changes.gone.clear(),
            Some(By::CutsLargeWork) => changes.put.truncate(2_000),
            Some(By::KeepsTheFirstRow) => changes.put.retain(|row| was(row.key()).is_none()),
            Some(By::FailsToRemoveWhatIsNotThere) if changes.gone.iter().any(|key| was(key).is_none()) => {
                return Err(StoreError::Failed { reason: Reason::Storage, source: None }.into());
            }
            Some(By::FindsWhatRowsSaid | By::FindsRowsThatAreGone) => {
                let mut notes = self.memo.notes();
                for row in &changes.put {
                    let words = words_of(&changes.table, row).unwrap_or_default();
                    let said =
                        notes.said.entry((changes.table.name().to_owned(), row.key().into())).or_default();
                    said.extend(words.split(' ').map(str::to_owned));
                }
                for key in &changes.gone {
                    if let Some(row) = was(key) {
                        notes.removed.insert((changes.table.name().to_owned(), key.clone()), row.clone());
                    }
                }
            }
            _ => {}
        }
        for row in &mut changes.put {
            let keys = row.key().len();
            let old = was(row.key()).map(|row| row.values().to_vec());
            let mut values = row.values().to_vec();
            for (at, value) in values.iter_mut().enumerate().skip(keys) {
                match (&old, &*value) {
                    (Some(old), Value::Null) if self.is(By::MergesRows) => *value = old[at].clone(),
                    _ => *value = self.kept(value),
                }
            }
            *row = Row::new(&changes.table, values).expect("it fits as the one before did");
        }
        Ok(())
    }

    /// A value as it is kept.
    fn kept(&self, value: &Value) -> Value {
        match (self.sabotage, value) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "this is what it does wrong"
            )]
            (Some(By::KeepsNumbersAsFloats), Value::Integer(number)) => (*number as f64 as i64).into(),
            (Some(By::KeepsMilliseconds), Value::Time(time)) => {
                Timestamp::from_micros(time.micros().div_euclid(1_000) * 1_000).unwrap_or(*time).into()
            }
            (Some(By::TrimsTexts), Value::Text(text)) => text.trim().into(),
            (Some(By::SortsLists), Value::List(list)) => {
                let mut sorted = list.to_vec();
                sorted.sort();
                Value::List(sorted.into())
            }
            (Some(By::TidiesJson), Value::Json(text)) => {
                let parsed: serde_json::Value = serde_json::from_str(text).expect("it is JSON");
                Value::Json(Arc::from(parsed.to_string()))
            }
            _ => value.clone(),
        }
    }
}

/// How many rows are changed.
fn rows(changes: &Changes) -> usize {
    changes.iter().map(|changes| changes.put.len() + changes.gone.len()).sum()
}

/// A value as it is without case.
pub(super) fn without_case(value: &Value) -> Value {
    match value {
        Value::Text(text) => text.to_lowercase().into(),
        value => value.clone(),
    }
}
