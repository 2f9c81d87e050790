//! Sabotage of appends: what goes in, how it is checked, and what is answered.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use flightdeck_core::limits::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, APPEND_EXPECTED_MAX, CONDITION_ITEMS_MAX,
};
use flightdeck_core::{Json, Position, SchemaNumber, StreamId, Tag, Tags};
use flightdeck_store::{
    Append, AppendError, Appended, Condition, ConditionItem, Conflict, EventStore as _, Expected,
    InvalidAppend, NewEvent, Reason, RequestKey, StoreError,
};
use tokio::task::yield_now;

use super::Sabotage as By;
use super::store::{Sabotaged, filler};

/// Memory never fails to be read.
fn unreadable(error: &StoreError) -> AppendError {
    panic!("the store in memory can't be read: {error}")
}

/// The same append without terms.
fn bare(append: &Append) -> Append {
    Append { expected: Vec::new(), condition: None, ..append.clone() }
}

/// Its terms alone: an append of nothing that is refused like the whole one.
fn terms(append: &Append) -> Append {
    Append { events: Vec::new(), request: None, ..append.clone() }
}

impl Sabotaged {
    pub(super) async fn sabotaged_append(&self, mut append: Append) -> Result<Appended, AppendError> {
        let Some(sabotage) = self.sabotage else {
            return self.inner.append(append).await;
        };
        rework_events(sabotage, &mut append.events);
        rework_terms(sabotage, &mut append);
        self.rework_request(&mut append);
        self.rework_by_ids(sabotage, &mut append).await;
        if sabotage == By::LagsBehind {
            let before = self.inner.head().await.map_err(|error| unreadable(&error))?;
            self.memo.notes().head_before = Some(before);
        }
        if sabotage == By::RefusesLargeAppends {
            too_large(&append)?;
        }
        let answer = match self.spoiled(sabotage, &append).await? {
            Some(answer) => Ok(answer),
            None => self.inner.append(append.clone()).await,
        };
        match answer {
            Ok(done) => self.rework_answer(sabotage, done).await,
            Err(error) => self.rework_refusal(sabotage, append, error).await,
        }
    }

    pub(super) async fn sabotaged_outcome(
        &self,
        request: &RequestKey,
    ) -> Result<Option<Appended>, AppendError> {
        if self.is(By::KnowsNoOutcomes) {
            return Ok(None);
        }
        if self.is(By::LooksUpKeysBeforeItsTurn) {
            return self.noted(request);
        }
        let mut asked = Append::of([]).with_request(request.clone());
        self.rework_request(&mut asked);
        match asked.request {
            Some(request) => self.inner.outcome_of(&request).await,
            None => Ok(None),
        }
    }

    fn rework_request(&self, append: &mut Append) {
        let Some(request) = append.request.take() else { return };
        let new = |caller: &str, key: &str, fingerprint| RequestKey::new(caller, key, fingerprint).unwrap();
        let (caller, key, fingerprint) = (request.caller(), request.key(), *request.fingerprint());
        append.request = match self.sabotage {
            Some(By::DoublesOnRetry) => None,
            Some(By::ForgetsAppendsOfNothing) if append.events.is_empty() => None,
            Some(By::IgnoresFingerprints) => Some(new(caller, key, [0; 32])),
            Some(By::MixesUpCallers) => Some(new("all", &format!("{caller}{key}"), fingerprint)),
            Some(By::ForgetsKeysWhenReopened) if self.forgotten.is_some() => {
                Some(new(caller, &format!("{key}-new"), fingerprint))
            }
            _ => Some(request),
        };
    }

    /// What depends on which ids are known.
    async fn rework_by_ids(&self, sabotage: By, append: &mut Append) {
        let known = self.known(append).await;
        let strip = match sabotage {
            By::DoublesKnownIds => !known.is_empty(),
            By::ForgetsIdsWhenReopened => self.forgotten.is_some() && !known.is_empty(),
            By::LooksUpIdsBeforeItsTurn if known.is_empty() => {
                yield_now().await;
                !self.known(append).await.is_empty()
            }
            _ => false,
        };
        if strip {
            append.events.iter_mut().for_each(|event| event.id = None);
        }
        if sabotage == By::LooksUpIdsFirst && !known.is_empty() {
            append.request = None;
        }
    }

    /// The events of the log that the append's ids are of.
    async fn known(&self, append: &Append) -> Vec<flightdeck_store::Recorded> {
        let mut known = Vec::new();
        for id in append.events.iter().filter_map(|event| event.id) {
            known.extend(self.inner.event(id).await.unwrap());
        }
        known
    }

    /// Sabotage of the way an append is checked: an answer of its own, or none when the honest way goes on.
    async fn spoiled(&self, sabotage: By, append: &Append) -> Result<Option<Appended>, AppendError> {
        match sabotage {
            By::ChecksBeforeItsTurn => {
                self.inner.append(terms(append)).await?;
                yield_now().await;
                self.inner.append(bare(append)).await.map(Some)
            }
            By::ChecksStateFirst
                if append.request.is_some() || append.events.iter().any(|event| event.id.is_some()) =>
            {
                self.inner.append(terms(append)).await.map(|_| None)
            }
            By::SplitsAppends if bare(append) == *append && append.request.is_none() => {
                self.one_by_one(append).await
            }
            By::ConflictsWhenBusy | By::FailsConditionsWhenBusy => self.alone(sabotage, append).await,
            By::LooksUpKeysBeforeItsTurn => self.looked_up_before(append).await,
            By::RemembersRefusals => {
                let known = append
                    .request
                    .as_ref()
                    .is_some_and(|request| self.memo.notes().refused.contains(request));
                if known { Err(AppendError::KeyReused) } else { Ok(None) }
            }
            By::ConflictsWithNeighbours => self.without_neighbours(append).await.map(|()| None),
            By::TakesVersionsAhead => self.taken_ahead(append).await,
            By::ComparesWhatTheServerAdds => {
                let known = self.known(append).await;
                let differs = known.iter().zip(&append.events).any(|(old, new)| old.metadata != new.metadata);
                if differs { Err(AppendError::IdReused { id: known[0].id }) } else { Ok(None) }
            }
            By::LooksAtItsOwnEvents => {
                let spoils = |item: &ConditionItem| {
                    append.events.iter().any(|own| item.matches(&own.event_type, &own.tags))
                };
                let spoilt =
                    append.condition.as_ref().is_some_and(|condition| condition.any.iter().any(spoils));
                if spoilt {
                    Err(AppendError::ConditionFailed { position: Position::START.next() })
                } else {
                    Ok(None)
                }
            }
            By::FailsWithoutAMatch => self.without_a_match(append).await.map(|()| None),
            _ => Ok(None),
        }
    }

    async fn one_by_one(&self, append: &Append) -> Result<Option<Appended>, AppendError> {
        append.check()?;
        let mut done: Vec<Appended> = Vec::new();
        for event in &append.events {
            done.push(self.inner.append(Append::of([event.clone()])).await?);
            yield_now().await;
        }
        let Some(cursor) = done.last().map(|last| last.cursor.clone()) else { return Ok(None) };
        let duplicate = done.iter().all(|one| one.duplicate);
        let places =
            done.iter().map(|one| (&one.streams[0].stream, one.streams[0].version, one.cursor.position()));
        Ok(Some(Appended::sum_up(places, cursor, duplicate)))
    }

    /// Goes on only when nobody else is appending.
    async fn alone(&self, sabotage: By, append: &Append) -> Result<Option<Appended>, AppendError> {
        let before = self.memo.busy.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
        self.memo.busy.fetch_sub(1, Ordering::SeqCst);
        match append.expected.first() {
            _ if before == 0 => Ok(None),
            Some((stream, expected)) if sabotage == By::ConflictsWhenBusy => {
                Err(Conflict { stream: stream.clone(), expected: *expected, actual: None }.into())
            }
            _ if sabotage == By::FailsConditionsWhenBusy && append.condition.is_some() => {
                Err(AppendError::ConditionFailed { position: Position::START.next() })
            }
            _ => Ok(None),
        }
    }

    fn noted(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError> {
        match self.memo.notes().done.get(&(request.caller().to_owned(), request.key().to_owned())) {
            None => Ok(None),
            Some((first, _)) if first != request => Err(AppendError::KeyReused),
            Some((_, done)) => Ok(Some(Appended { duplicate: true, ..done.clone() })),
        }
    }

    async fn looked_up_before(&self, append: &Append) -> Result<Option<Appended>, AppendError> {
        let Some(request) = &append.request else { return Ok(None) };
        if let Some(done) = self.noted(request)? {
            return Ok(Some(done));
        }
        yield_now().await;
        let done = self.inner.append(Append { request: None, ..append.clone() }).await?;
        let place = (request.caller().to_owned(), request.key().to_owned());
        self.memo.notes().done.entry(place).or_insert((request.clone(), done.clone()));
        Ok(Some(done))
    }

    async fn without_neighbours(&self, append: &Append) -> Result<(), AppendError> {
        let head = self.inner.head().await.map_err(|error| unreadable(&error))?.cursor.position();
        for (stream, expected) in &append.expected {
            let Expected::Exactly(version) = expected else { continue };
            let last =
                self.inner.read_stream(&flightdeck_store::StreamQuery::of(stream.clone())).await.unwrap();
            if last.version == Some(*version)
                && last.events.last().is_some_and(|event| event.position != head)
            {
                return Err(
                    Conflict { stream: stream.clone(), expected: *expected, actual: last.version }.into()
                );
            }
        }
        Ok(())
    }

    async fn taken_ahead(&self, append: &Append) -> Result<Option<Appended>, AppendError> {
        let mut append = append.clone();
        let mut kept = Vec::new();
        for (stream, expected) in append.expected {
            let version = self.inner.stream(&stream).await.unwrap().map(|info| info.version);
            match expected {
                Expected::Exactly(ahead) if Some(ahead) > version => {}
                _ => kept.push((stream, expected)),
            }
        }
        append.expected = kept;
        self.inner.append(append).await.map(Some)
    }

    async fn without_a_match(&self, append: &Append) -> Result<(), AppendError> {
        let head = self.inner.head().await.unwrap().cursor;
        match &append.condition {
            Some(condition) if !condition.any.is_empty() && condition.after.position() < head.position() => {
                Err(AppendError::ConditionFailed { position: head.position() })
            }
            _ => Ok(()),
        }
    }

    async fn rework_answer(&self, sabotage: By, mut done: Appended) -> Result<Appended, AppendError> {
        match sabotage {
            By::AnswersStreamsByName => done.streams.sort_by(|a, b| a.stream.cmp(&b.stream)),
            By::ForgetsTheMark => done.duplicate = false,
            By::AnswersWithTheHead if done.duplicate => done.cursor = self.inner.head().await.unwrap().cursor,
            By::RefusesKnownIds if done.duplicate => {
                let (first, _) = done.range.unwrap_or((Position::START, Position::START));
                let query = flightdeck_store::LogQuery::after(first.previous());
                let page = self.inner.read_log(&query).await.unwrap();
                return match page.events.first() {
                    Some(event) if event.id.uuid().get_version_num() != 7 => {
                        Err(AppendError::IdReused { id: event.id })
                    }
                    _ => Ok(done),
                };
            }
            By::LosesEveryFortiethAppend if self.memo.appends.fetch_add(1, Ordering::SeqCst) % 40 == 39 => {
                if let Some((first, last)) = done.range {
                    let lost = (first.get()..=last.get()).map(|position| Position::new(position).unwrap());
                    self.memo.notes().lost.extend(lost);
                }
            }
            _ => {}
        }
        Ok(done)
    }

    async fn rework_refusal(
        &self,
        sabotage: By,
        append: Append,
        error: AppendError,
    ) -> Result<Appended, AppendError> {
        let invalid = matches!(error, AppendError::Invalid(_));
        match (sabotage, error) {
            (By::ForgetsWhatItFound, AppendError::Conflict(conflict)) => {
                Err(Conflict { actual: None, ..conflict }.into())
            }
            (By::SaysUnknown, AppendError::Conflict(_)) => {
                Err(AppendError::Unknown { reason: Reason::Storage, source: None })
            }
            (By::TearsARefusedAppend, AppendError::Conflict(conflict)) => {
                let of_others = append.events.into_iter().filter(|event| event.stream != conflict.stream);
                self.inner.append(Append::of(of_others)).await?;
                Err(conflict.into())
            }
            (By::WritesWhatItRefuses, error) if !invalid => {
                self.inner.append(Append::of([filler()])).await?;
                Err(error)
            }
            (By::RemembersRefusals, error) => {
                self.memo.notes().refused.extend(append.request);
                Err(error)
            }
            (By::IgnoresContentOfKnownIds, AppendError::IdReused { id }) => {
                let known = self.known(&append).await;
                let cursor = self.inner.head().await.unwrap().cursor;
                match known.len() == append.events.len() {
                    true => Ok(Appended::sum_up(
                        known.iter().map(|old| (&old.stream, old.version, old.position)),
                        cursor,
                        true,
                    )),
                    false => Err(AppendError::IdReused { id }),
                }
            }
            (By::WritesTheUnknownHalf, AppendError::IdReused { id }) => {
                let known: HashSet<_> = self.known(&append).await.into_iter().map(|event| event.id).collect();
                let new: Vec<_> = append
                    .events
                    .into_iter()
                    .filter(|event| event.id.is_none_or(|id| !known.contains(&id)))
                    .collect();
                if new.is_empty() {
                    Err(AppendError::IdReused { id })
                } else {
                    self.inner.append(Append::of(new)).await
                }
            }
            (By::IsNeverStale, AppendError::StaleDecision { .. })
            | (By::TakesConditionsAhead, AppendError::AheadOfLog { .. }) => {
                self.inner.append(Append { condition: None, ..append }).await
            }
            (By::NamesTheLastMatch, AppendError::ConditionFailed { position }) => {
                Err(self.last_match(&append, position).await)
            }
            (By::OverlooksSystemEvents, AppendError::ConditionFailed { position }) => {
                self.past_the_system(append, position).await
            }
            (_, error) => Err(error),
        }
    }

    /// The refusal by the last event that matches, when `position` is the first.
    async fn last_match(&self, append: &Append, mut position: Position) -> AppendError {
        let mut terms = terms(append);
        loop {
            terms.condition =
                terms.condition.map(|condition| Condition { after: position.into(), ..condition });
            match self.inner.append(terms.clone()).await {
                Err(AppendError::ConditionFailed { position: next }) => position = next,
                _ => return AppendError::ConditionFailed { position },
            }
        }
    }

    /// Goes on behind every match that is the system's.
    async fn past_the_system(
        &self,
        mut append: Append,
        mut position: Position,
    ) -> Result<Appended, AppendError> {
        loop {
            let query = flightdeck_store::LogQuery::after(position.previous());
            let page = self.inner.read_log(&query).await.unwrap();
            if !page.events[0].stream.is_system() {
                return Err(AppendError::ConditionFailed { position });
            }
            append.condition =
                append.condition.map(|condition| Condition { after: position.into(), ..condition });
            match self.inner.append(append.clone()).await {
                Err(AppendError::ConditionFailed { position: next }) => position = next,
                answer => return answer,
            }
        }
    }
}

/// Sabotage of the events themselves.
fn rework_events(sabotage: By, events: &mut Vec<NewEvent>) {
    match sabotage {
        By::GroupsByStream => events.sort_by(|a, b| a.stream.cmp(&b.stream)),
        By::WritesForNothing if events.is_empty() => events.push(filler()),
        By::MakesAllIdsItself => events.iter_mut().for_each(|event| event.id = None),
        By::OverlooksIdsTwice => {
            let mut seen = HashSet::new();
            events.iter_mut().for_each(|event| event.id = event.id.filter(|id| seen.insert(*id)));
        }
        By::CutsWhatIsTooMuch => {
            events.truncate(APPEND_EVENTS_MAX);
            while Append::of(events.iter().cloned()).bytes() > APPEND_BYTES_MAX {
                events.pop();
            }
        }
        By::SpreadsTags => {
            let all: Vec<Tag> = events.iter().flat_map(|event| event.tags.iter().cloned()).collect();
            if let Ok(tags) = Tags::new(all) {
                events.iter_mut().for_each(|event| event.tags = tags.clone());
            }
        }
        _ => events.iter_mut().for_each(|event| rework_event(sabotage, event)),
    }
}

fn rework_event(sabotage: By, event: &mut NewEvent) {
    match sabotage {
        By::TidiesJson => {
            let value: Result<serde_json::Value, _> = serde_json::from_slice(event.data.as_bytes());
            event.data =
                value.map_or(event.data.clone(), |value| Json::from_stored(value.to_string().into()));
        }
        By::DropsLargePayloads if event.data.len() > 200_000 => event.data = Json::from_stored("null".into()),
        By::ForgetsCausation => event.metadata.causation = None,
        By::ForgetsSchemas => event.schema = SchemaNumber::FIRST,
        By::FoldsCase => event.stream = StreamId::new(event.stream.as_str().to_lowercase()).unwrap(),
        By::FoldsCaseOfTags => {
            let tags = event.tags.iter().map(|tag| Tag::new(tag.as_str().to_lowercase()).unwrap());
            event.tags = Tags::new(tags).unwrap();
        }
        By::DropsTags => event.tags = Tags::new(event.tags.iter().take(8).cloned()).unwrap(),
        _ => {}
    }
}

/// Sabotage of what an append asks for.
fn rework_terms(sabotage: By, append: &mut Append) {
    let written: HashSet<StreamId> = append.events.iter().map(|event| event.stream.clone()).collect();
    let expected = &mut append.expected;
    match sabotage {
        By::IgnoresVersions => expected.retain(|(_, expected)| !matches!(expected, Expected::Exactly(_))),
        By::IgnoresNoStream => expected.retain(|(_, expected)| *expected != Expected::NoStream),
        By::IgnoresExists => expected.retain(|(_, expected)| *expected != Expected::Exists),
        By::TakesAnyForNoStream => {
            expected
                .iter_mut()
                .filter(|(_, any)| *any == Expected::Any)
                .for_each(|(_, any)| *any = Expected::NoStream);
        }
        By::ChecksBetweenItsEvents => {
            for (stream, expected) in
                expected.iter_mut().filter(|(_, expected)| *expected == Expected::NoStream)
            {
                if append.events.iter().filter(|event| event.stream == *stream).count() > 1 {
                    *expected = Expected::Exists;
                }
            }
        }
        By::LooksOnlyAtWrittenStreams => expected.retain(|(stream, _)| written.contains(stream)),
        By::ReportsTheLastConflict => expected.reverse(),
        By::TakesAnyAppendOfNothing if append.events.is_empty() => {
            expected.clear();
            append.condition = None;
        }
        By::OverlooksExpectationsTwice => {
            let mut seen = HashSet::new();
            expected.retain(|(stream, _)| seen.insert(stream.clone()));
        }
        By::CutsWhatIsTooMuch => expected.truncate(APPEND_EXPECTED_MAX),
        By::ForgetsExpectationsBesideConditions if append.condition.is_some() => expected.clear(),
        _ => {}
    }
    if sabotage == By::IgnoresConditions {
        append.condition = None;
    }
    if let Some(condition) = &mut append.condition {
        rework_condition(sabotage, condition);
    }
}

fn rework_condition(sabotage: By, condition: &mut Condition) {
    match sabotage {
        By::CountsTheDecisionItself => condition.after = condition.after.position().previous().into(),
        By::IgnoresEpochs => condition.after = condition.after.position().into(),
        By::SpoilsByOneTag => {
            let one = |item: &ConditionItem| {
                let types = item.types.clone();
                item.tags
                    .clone()
                    .into_iter()
                    .map(move |tag| ConditionItem { tags: vec![tag], types: types.clone() })
            };
            condition.any = condition.any.iter().flat_map(one).collect();
        }
        By::IgnoresTypesOfConditions => condition.any.iter_mut().for_each(|item| item.types.clear()),
        By::SpoilsOnlyByTags => condition.any.retain(|item| !item.tags.is_empty()),
        By::LooksOnlyAtTheFirstItem => condition.any.truncate(1),
        By::FailsWithoutItems if condition.any.is_empty() => condition.any.push(ConditionItem::default()),
        By::CutsWhatIsTooMuch => condition.any.truncate(CONDITION_ITEMS_MAX),
        _ => {}
    }
}

/// Refuses what is large, as if it were too much.
fn too_large(append: &Append) -> Result<(), InvalidAppend> {
    match append.events.len() {
        found if found > 500 => Err(InvalidAppend::TooMany { what: "events", found, most: 500 }),
        _ => Ok(()),
    }
}
