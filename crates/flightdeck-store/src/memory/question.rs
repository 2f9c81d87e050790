//! Questions to the log in memory: the events are there, so they are looked at where they are.

use flightdeck_core::{Position, Timestamp};

use super::{Log, MemoryStore};
use crate::event::Recorded;
use crate::question::{Finding, LogAnswer, LogQuestion};
use crate::read::StoreError;

/// Events between two looks at the clock.
const PIECE: usize = 1_000;

impl MemoryStore {
    pub(super) fn answer(&self, question: &LogQuestion) -> Result<LogAnswer, StoreError> {
        question.check()?;
        let log = self.log();
        let head = log.cursor();
        if !question.after.is_of(&log.epoch) {
            return Err(StoreError::EpochChanged { head });
        }
        let after = question.from.map_or(Position::START, |from| log.last_before(from));
        let after = after.max(question.after.position());
        let until = question.to.map_or(head.position(), |to| log.last_before(to));
        let until = question.until.map_or(until, |asked| asked.min(until));
        let mut finding = Finding::begin(question, after, until)?;
        while let Some((after, until)) = finding.next()? {
            let events = log.between(after, until);
            let piece = &events[..events.len().min(PIECE)];
            let mut passing = piece.iter().filter(|event| question.filter.matches(event));
            let stopped = passing.try_fold(false, |stopped, event| {
                Ok::<_, StoreError>(stopped || !finding.look_at(event, log.is_last(event))?)
            })?;
            if let (false, Some(last)) = (stopped, piece.last()) {
                finding.looked_to(last.position);
            }
        }
        Ok(finding.answer(head))
    }
}

impl Log {
    /// The position of the last event that was recorded before a moment.
    fn last_before(&self, moment: Timestamp) -> Position {
        let border = self.events.partition_point(|event| event.recorded_at < moment);
        self.events[..border].last().map_or(Position::START, |event| event.position)
    }

    /// Whether nothing follows in the event's stream.
    fn is_last(&self, event: &Recorded) -> bool {
        self.last_version(&event.stream) == Some(event.version)
    }
}
