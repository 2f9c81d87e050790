//! What is asked of the log: the same parameters for every representation, and who may see what of it.

use std::sync::Arc;
use std::time::Duration;

use crate::asker::Asker;
use crate::authorise::{Action, Object};
use crate::caps::{Cap, Caps, Met};
use crate::negotiate::Representation;
use crate::params::{Params, pattern_param, place};
use crate::problem::{Code, Problem};
use crate::push::subscriber::Terms;
use crate::ticket::TICKET;
use flightdeck_core::limits::{FILTER_STREAMS_MAX, TAGS_MAX, TYPES_MAX};
use flightdeck_core::{Cursor, Epoch, Invalid, Position, Tag};
use flightdeck_store::page::page_bytes;
use flightdeck_store::{
    After, Direction, Filter, Limit, LogPage, LogQuery, Recorded, StoreError, StreamPattern, TypePattern,
};

/// What stands between the two ends of a stretch in the `next` of a page.
const TO: char = '~';

/// From where on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Start {
    /// From the head on.
    Head,
    /// Behind a place.
    Behind(After),
}

impl Default for Start {
    fn default() -> Self {
        Self::Behind(After::default())
    }
}

/// What is asked of the log.
#[derive(Debug)]
pub(super) struct Asked {
    start: Start,
    until: Option<After>,
    pub(super) filter: Filter,
    pub(super) direction: Direction,
    /// How many at most, if that was said.
    pub(super) limit: Option<Limit>,
    /// What a page has at most.
    page: Limit,
    pub(super) wait: Duration,
    pub(super) follow: bool,
    /// What a page has at most, in bytes, and where it is counted that it would have had more.
    page_bytes: usize,
    met: Option<Arc<Met>>,
    visible: Visible,
}

impl Asked {
    /// Reads all of it.
    pub(super) fn read(
        mut params: Params,
        representation: Representation,
        caps: &Caps,
    ) -> Result<Self, Problem> {
        let filter = Filter {
            streams: params.list("streams", StreamPattern::parse),
            types: params.list("types", TypePattern::parse),
            tags: params.list("tags", |text| Tag::new(text)),
        };
        let mut asked = Self::part(&mut params, filter);
        asked.wait = params.time("wait", Cap::WaitSeconds, caps);
        asked.follow = params.flag("follow");
        // Where it counts it was looked at, at the door.
        let has_ticket = params.text(TICKET).is_some();
        params.finish()?;
        let mut refused = asked.refused(representation);
        if has_ticket && !representation.is_of_a_page() {
            refused.extend(Invalid::field(TICKET, "is for an EventSource or a WebSocket"));
        }
        if refused.is_empty() { Ok(asked) } else { Err(Problem::from(refused).instead(Code::Refused)) }
    }

    /// What is no part of that representation, or does not go together.
    fn refused(&self, representation: Representation) -> Invalid {
        let mut refused = Invalid::default();
        let mut refuse = |name: &str, problem: &str| refused.extend(Invalid::field(name, problem));
        let (is_backward, waits) = (self.direction == Direction::Backward, self.wait > Duration::ZERO);
        match representation {
            Representation::Lines => {
                if is_backward {
                    refuse("backward", "is for pages");
                }
                if waits {
                    refuse("wait", "is for pages; lines are followed with follow=true");
                }
            }
            Representation::Events | Representation::Messages => {
                if is_backward {
                    refuse("backward", "is for pages");
                }
                if waits {
                    refuse("wait", "is for pages; events are followed anyway");
                }
            }
            Representation::Page | Representation::CloudEvents => {
                if self.follow {
                    refuse("follow", "is for application/x-ndjson; a page waits with wait=20s");
                }
                if waits && is_backward {
                    refuse("wait", "is for what comes, and backward is for what was");
                }
            }
        }
        refused
    }

    /// What is asked for with `after`, as it is in a URL, and a filter.
    pub(super) fn following(after: Option<&str>, filter: Filter) -> Result<Self, Problem> {
        let begin = after.map(stretch).transpose();
        let (start, until) = begin.map_err(|problem| Problem::field("after", problem))?.unzip();
        let mut asked = Self::of(start.unwrap_or_default(), filter);
        asked.until = until.flatten();
        Ok(asked)
    }

    /// Reads what is asked of a part of the log.
    pub(super) fn part(params: &mut Params, filter: Filter) -> Self {
        let (start, mut until) =
            params.read("after", stretch).unwrap_or((Start::Behind(After::default()), None));
        let said = params.place("until");
        until = match (until, said) {
            (Some(one), Some(other)) if other.position() < one.position() => Some(other),
            (one, other) => one.or(other),
        };
        let direction = if params.flag("backward") { Direction::Backward } else { Direction::Forward };
        let is_limited = params.is_there("limit");
        let page = params.limit();
        let limit = is_limited.then_some(page);
        Self { until, direction, limit, page, ..Self::of(start, filter) }
    }

    fn of(start: Start, filter: Filter) -> Self {
        Self {
            start,
            until: None,
            filter,
            direction: Direction::Forward,
            limit: None,
            page: Limit::MAX,
            wait: Duration::ZERO,
            follow: false,
            page_bytes: Cap::PageBytes.default(),
            met: None,
            visible: Visible::default(),
        }
    }

    /// What of it those who follow are handed.
    pub(super) fn terms(&self) -> Terms {
        Terms { until: self.until(), left: self.limit.map(Limit::get) }
    }

    /// The same, from another place on.
    pub(super) fn behind(self, after: After) -> Self {
        Self { start: Start::Behind(after), ..self }
    }

    /// Whether it is asked for up to somewhere in that epoch, if up to anywhere.
    pub(super) fn until_is_of(&self, epoch: &Epoch) -> bool {
        self.until.as_ref().is_none_or(|until| until.is_of(epoch))
    }

    /// What passes, by the filter alone: what is the system's own only if it is named.
    pub(super) fn shown(&self) -> Filter {
        let mut filter = self.filter.clone();
        if filter.streams.is_empty() {
            filter.streams = Visible::patterns();
        }
        filter
    }

    /// The same, of the log as it is now and as far as the caller may see it.
    pub(super) async fn placed(mut self, call: &Asker) -> Result<Self, Problem> {
        self.filter.check().map_err(StoreError::from)?;
        self.visible = Visible::of(call, &self.filter)?;
        (self.page_bytes, self.met) = (call.caps().get(Cap::PageBytes), Some(Arc::clone(&call.met)));
        self.filter.streams = self.visible.narrowed(std::mem::take(&mut self.filter.streams));
        self.filter.check().map_err(StoreError::from)?;
        if self.start == Start::Head {
            self.start = Start::Behind(call.store.head().await?.cursor.into());
        }
        Ok(self)
    }

    /// Behind what.
    pub(super) fn after(&self) -> After {
        match &self.start {
            Start::Head => After::default(),
            Start::Behind(after) => after.clone(),
        }
    }

    /// Up to what.
    pub(super) fn until(&self) -> Option<Position> {
        self.until.as_ref().map(After::position)
    }

    /// What a page is asked with.
    pub(super) fn page(&self) -> LogQuery {
        let mut query = self.query();
        query.limit = self.page;
        if query.filter.streams.is_empty() && query.filter.tags.is_empty() {
            // So that a page is full of what may be seen.
            query.filter.streams = Visible::patterns();
        }
        query
    }

    /// What the log is asked with, page by page as large as they come.
    pub(super) fn query(&self) -> LogQuery {
        LogQuery {
            after: self.after(),
            until: self.until(),
            filter: self.filter.clone(),
            direction: self.direction,
            limit: Limit::MAX,
        }
    }

    /// Whether the caller may see an event.
    pub(super) fn shows(&self, event: &Recorded) -> bool {
        self.visible.shows(event)
    }

    /// A page, of the epoch that was asked about, with what the caller may see of it.
    pub(super) fn checked(&self, mut page: LogPage) -> Result<LogPage, Problem> {
        if self.until.as_ref().is_some_and(|until| !until.is_of(page.head.epoch())) {
            return Err(StoreError::EpochChanged { head: page.head }.into());
        }
        page.events.retain(|event| self.shows(event));
        if let Some(last) = shorten(&mut page.events, self.page_bytes) {
            self.met.iter().for_each(|met| met.note(Cap::PageBytes));
            page.end = false;
            page.scanned_to = match self.direction {
                Direction::Forward => last,
                Direction::Backward => last.previous(),
            };
        }
        Ok(page)
    }

    /// The place behind a page, if there is more: what is left of the stretch.
    pub(super) fn next(&self, page: &LogPage) -> Option<String> {
        let scanned_to = page.scanned_to();
        match (page.end, self.direction) {
            (true, _) => None,
            (false, Direction::Forward) => Some(scanned_to.to_string()),
            (false, Direction::Backward) => {
                let after = Cursor::new(page.head.epoch().clone(), self.after().position());
                Some(format!("{after}{TO}{scanned_to}"))
            }
        }
    }
}

/// Has a page end where it has its bytes, if that is before its end; says where it ends then.
pub(in crate::routes) fn shorten(events: &mut Vec<Recorded>, bytes_max: usize) -> Option<Position> {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        bytes += page_bytes(event);
        bytes <= bytes_max
    });
    // The store has made it no longer than what is built in.
    let fits = if bytes_max < Cap::PageBytes.default() { fits.count().max(1) } else { events.len() };
    let is_shorter = fits < events.len();
    events.truncate(fits);
    events.last().filter(|_| is_shorter).map(|last| last.position)
}

/// Whether that is where something can begin.
pub(super) fn is_start(text: &str) -> bool {
    stretch(text).is_ok()
}

/// Reads `after`: `head`, a place, or the two ends of a stretch.
fn stretch(text: &str) -> Result<(Start, Option<After>), String> {
    if text == "head" {
        return Ok((Start::Head, None));
    }
    match text.split_once(TO) {
        None => Ok((Start::Behind(place(text)?), None)),
        Some((after, until)) => Ok((Start::Behind(place(after)?), Some(place(until)?))),
    }
}

/// Which events may be seen.
#[derive(Debug, Default)]
struct Visible {
    /// Of these streams; `None` is all but the system's own.
    streams: Option<Vec<StreamPattern>>,
    /// Whether streams of the system's own were named, and may be seen.
    system: bool,
}

impl Visible {
    fn of(call: &Asker, filter: &Filter) -> Result<Self, Problem> {
        let mut system = false;
        for pattern in &filter.streams {
            let is_of_the_system = match pattern {
                StreamPattern::Exact(stream) => stream.is_system(),
                StreamPattern::Category(category) => category.as_str().starts_with('$'),
                StreamPattern::Prefix(prefix) => prefix.starts_with('$'),
            };
            if is_of_the_system {
                call.may(Action::Read, Object::Some(pattern))?;
                system = true;
            }
        }
        Ok(Self { streams: call.readable(), system })
    }

    fn shows(&self, event: &Recorded) -> bool {
        match &self.streams {
            Some(streams) => streams.iter().any(|pattern| pattern.matches(&event.stream)),
            // A pattern lets a stream of the system's own through only if it names it.
            None => self.system || !event.stream.is_system(),
        }
    }

    /// Those of the streams that are asked for which may be seen.
    fn narrowed(&self, asked: Vec<StreamPattern>) -> Vec<StreamPattern> {
        let Some(streams) = &self.streams else { return asked };
        let every = || vec![StreamPattern::Prefix("".into()), StreamPattern::Prefix("$".into())];
        let asked = if asked.is_empty() { every() } else { asked };
        match StreamPattern::among(&asked, streams) {
            // A filter that names no stream lets all of them through. Of this name there is none.
            none if none.is_empty() => StreamPattern::parse("$none").into_iter().collect(),
            some => some,
        }
    }

    /// What is asked for in place of everything.
    fn patterns() -> Vec<StreamPattern> {
        StreamPattern::parse("*").into_iter().collect()
    }
}

pattern_param! {
    /// Describes `after`.
    AfterParam, "^(head|([a-z0-9]{1,12}-)?(0|[1-9][0-9]{0,14})(~([a-z0-9]{1,12}-)?(0|[1-9][0-9]{0,14}))?)$"
}
pattern_param! {
    /// Describes streams and types: of both, these are among the legal ones.
    PatternsParam, format!("^[A-Za-z][A-Za-z0-9_]{{0,31}}\\*?(,[A-Za-z][A-Za-z0-9_]{{0,31}}\\*?){{0,{}}}$", FILTER_STREAMS_MAX.min(TYPES_MAX) - 1)
}
pattern_param! {
    /// Describes a list of tags.
    TagsParam, format!("^[a-z]{{1,16}}:[A-Za-z0-9_-]{{1,64}}(,[a-z]{{1,16}}:[A-Za-z0-9_-]{{1,64}}){{0,{}}}$", TAGS_MAX - 1)
}
pattern_param! {
    /// Describes `ticket`.
    TicketParam, "^[A-Za-z0-9_.-]+$"
}
pattern_param! {
    /// Describes `wait`.
    WaitParam, "^([0-9]|[1-5][0-9]|60)s$"
}

#[cfg(test)]
mod tests {
    use super::{Start, stretch};

    #[test]
    fn a_stretch_is_read_from_what_a_page_says() {
        assert!(matches!(stretch("head"), Ok((Start::Head, None))));
        assert!(matches!(stretch("e-7"), Ok((Start::Behind(_), None))));
        let (_, until) = stretch("e-0~e-41").unwrap();
        assert_eq!(until.unwrap().position().get(), 41);
        for bad in ["", "~", "e-1~", "~e-1", "e-1~e-2~e-3", "tail", "head~e-1"] {
            assert!(stretch(bad).is_err(), "{bad}");
        }
    }
}
