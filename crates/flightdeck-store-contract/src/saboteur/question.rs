//! Sabotage of questions: what is asked, how much of the log is looked at, and what is made of it.

use std::collections::HashMap;

use flightdeck_core::{Cursor, Position, Timestamp};
use flightdeck_store::question::{AlikeStream, Number, Part, Pointer, Scalar, SilentStream};
use flightdeck_store::{
    Ask, Budget, EventStore as _, Filter, Found, LogAnswer, LogQuery, LogQuestion, StoreError,
};

use super::Sabotage as By;
use super::read::rework_filter;
use super::store::Sabotaged;

impl Sabotaged {
    pub(super) async fn sabotaged_question(&self, question: &LogQuestion) -> Result<LogAnswer, StoreError> {
        let Some(sabotage) = self.sabotage else {
            return self.inner.question(question).await;
        };
        let mut asked = question.clone();
        rework_question(sabotage, &mut asked);
        if let (By::ForgetsWhatFollows, Ask::Silent { .. }) = (sabotage, &asked.ask) {
            return self.silent_by_what_passes(&asked).await;
        }
        let mut answer = match self.inner.question(&asked).await {
            Err(StoreError::TooMuch(_)) if sabotage == By::CutsCounts => {
                let head = self.inner.head().await?.cursor;
                LogAnswer { found: Found::Days(vec![]), scanned_to: head.position(), head, end: true }
            }
            answer => answer?,
        };
        while let (By::FillsAnswers, Some(next)) = (sabotage, asked.next(&answer)) {
            let more = self.inner.question(&next).await?;
            if let (Found::Events(events), Found::Events(behind)) = (&mut answer.found, more.found) {
                events.extend(behind);
            }
            (answer.scanned_to, answer.end) = (more.scanned_to, more.end);
        }
        rework_answer(sabotage, question, &mut answer);
        Ok(answer)
    }

    /// Takes the last event of a stream that passes for its last one.
    async fn silent_by_what_passes(&self, asked: &LogQuestion) -> Result<LogAnswer, StoreError> {
        let query = LogQuery::default().matching(asked.filter.clone());
        let page = self.inner.read_log(&query).await?;
        let last: HashMap<_, _> = page.events.iter().map(|event| (&event.stream, event)).collect();
        let mut streams: Vec<_> = last
            .into_values()
            .map(|event| SilentStream {
                stream: event.stream.clone(),
                position: event.position,
                version: event.version,
                updated: event.recorded_at,
            })
            .collect();
        streams.sort_by_key(|found| found.position);
        let found = Found::Silent(streams);
        Ok(LogAnswer { found, scanned_to: page.head.position(), head: page.head, end: true })
    }
}

fn rework_question(sabotage: By, asked: &mut LogQuestion) {
    match sabotage {
        By::IgnoresBudgets => asked.budget = Budget::MAX,
        By::IgnoresFiltersOfQuestions => asked.filter = Filter::ALL,
        By::IncludesAfterOfQuestions => asked.after = asked.after.position().previous().into(),
        By::IgnoresEpochs => asked.after = asked.after.position().into(),
        By::IncludesTo => {
            asked.to = asked.to.map(|to| Timestamp::from_micros(to.micros() + 1).unwrap());
        }
        _ => {}
    }
    rework_filter(sabotage, &mut asked.filter);
    let Ask::Events { part, path, value, .. } = &mut asked.ask else { return };
    match (sabotage, &*value) {
        (By::AsksDataForMetadata, _) => *part = Part::Data,
        (By::LooksAtTheWholeValue, _) => *path = Pointer::parse("").unwrap(),
        (By::TakesPathsLiterally, _) => *path = Pointer::parse(&path.as_str().replace('~', "~0")).unwrap(),
        (By::TakesTextsForNumbers, Scalar::Text(text)) => {
            *value = Scalar::from_json(text).unwrap_or_else(|_| value.clone());
        }
        (By::ComparesNumbersAsDoubles, Scalar::Number(number)) => {
            let double: f64 = number.to_string().parse().unwrap();
            *value = Number::parse(&double.to_string()).unwrap().into();
        }
        _ => {}
    }
}

fn rework_answer(sabotage: By, question: &LogQuestion, answer: &mut LogAnswer) {
    let is_later = question.after.position() > Position::START;
    match (sabotage, &mut answer.found) {
        (By::SaysAnotherHead, _) => {
            answer.head = Cursor::new(answer.head.epoch().clone(), answer.head.position().previous());
        }
        (By::LosesTheFirstOfLaterAnswers, Found::Events(events)) if is_later && !events.is_empty() => {
            drop(events.remove(0));
        }
        (By::LosesTheFirstOfLaterAnswers, Found::Silent(streams)) if is_later && !streams.is_empty() => {
            drop(streams.remove(0));
        }
        (By::MistakesDays, Found::Days(days)) => {
            days.iter_mut().for_each(|row| row.day = row.day.next().unwrap());
        }
        (By::ListsTheSilentByName, Found::Silent(streams)) => {
            streams.sort_by(|one, other| one.stream.cmp(&other.stream));
        }
        (By::FindsAllAlike, Found::Alike(streams)) => {
            streams.iter_mut().for_each(|found| found.similarity = 1.0);
            streams.sort_by(|one, other| one.stream.cmp(&other.stream));
        }
        (By::BreaksTiesBackwards, Found::Alike(streams)) => {
            let tied = |one: &AlikeStream, other: &AlikeStream| {
                one.similarity.to_bits() == other.similarity.to_bits()
            };
            streams.chunk_by_mut(tied).for_each(<[AlikeStream]>::reverse);
        }
        (By::FindsItselfAlike, Found::Alike(streams)) => {
            if let Ask::Alike { stream, .. } = &question.ask {
                streams.insert(0, AlikeStream { stream: stream.clone(), similarity: 1.0, events: 1 });
            }
        }
        _ => {}
    }
}
