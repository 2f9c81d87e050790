//! What is read: pages, each from one snapshot of the file, each event checked.

use flightdeck_core::limits::{PAGE_BYTES_MAX, PAGE_SCAN_EVENTS_MAX};
use flightdeck_core::{Cursor, Epoch, Position, StreamId, Version};
use flightdeck_store::{
    Direction, Filter, Head, LogPage, LogQuery, Recorded, StreamPage, StreamPattern, StreamQuery,
};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};

use crate::ledger::Tip;
use crate::names::Names;
use crate::row::{Damage, Rows, select_events};
use crate::streams;

/// What a read of the log comes to.
pub(crate) enum LogRead {
    Page(LogPage),
    OtherEpoch(Cursor),
}

/// One page being filled.
struct Page<'q> {
    filter: &'q Filter,
    limit: usize,
    events: Vec<Recorded>,
    bytes: usize,
    looked_at: Option<Position>,
}

impl<'q> Page<'q> {
    const fn new(filter: &'q Filter, limit: usize) -> Self {
        Self { filter, limit, events: Vec::new(), bytes: 0, looked_at: None }
    }

    /// Looks at an event. `false`: the page was full, and the event is not looked at.
    fn look_at(&mut self, event: Recorded) -> bool {
        let position = event.position;
        if self.filter.matches(&event) {
            self.bytes += event.data_bytes().len();
            if self.events.len() == self.limit || (self.bytes > PAGE_BYTES_MAX && !self.events.is_empty()) {
                return false;
            }
            self.events.push(event);
        }
        self.looked_at = Some(position);
        true
    }
}

/// The epoch and the newest event.
pub(crate) fn head(conn: &Connection, names: &Names) -> Result<Head, Damage> {
    let tip = Tip::read(conn, names)?;
    Ok(Head { cursor: Cursor::new(epoch(conn)?, tip.position), hash: tip.hash })
}

/// The epoch as the file has it now: another process may have begun a new one.
pub(crate) fn epoch(conn: &Connection) -> Result<Epoch, Damage> {
    let sql = "SELECT value FROM fd_meta WHERE name = 'epoch'";
    let text: Option<String> = conn.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    let epoch = text.and_then(|text| Epoch::new(text).ok());
    epoch.ok_or_else(|| Damage::new("the store has no epoch"))
}

/// A page of the log.
pub(crate) fn log(conn: &Connection, names: &Names, query: &LogQuery) -> Result<LogRead, Damage> {
    let sql = "SELECT ifnull(max(position), 0) FROM fd_log";
    let newest: i64 = conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let newest = Position::new(newest).map_err(|error| Damage::new(error.to_string()))?;
    let head = Cursor::new(epoch(conn)?, newest);
    if !query.after.is_of(head.epoch()) {
        return Ok(LogRead::OtherEpoch(head));
    }
    let range = Range {
        after: query.after.position(),
        until: query.until.map_or(newest, |until| until.min(newest)),
        direction: query.direction,
    };
    let mut page = Page::new(&query.filter, query.limit.get());
    let looked_at = if range.after >= range.until {
        None
    } else if let Some(tag) = query.filter.tags.first() {
        let candidates = tagged(conn, tag.as_str(), &range)?;
        fetch(conn, names, &range, candidates, &mut page, |event| event.tags.contains(tag))?
    } else if let Some(exact) = exact_streams(&query.filter) {
        let candidates = of_streams(conn, &exact, &range)?;
        fetch(conn, names, &range, candidates, &mut page, |event| exact.contains(&&event.stream))?
    } else {
        scan(conn, names, &range, &mut page)?;
        page.looked_at
    };
    let (scanned_to, end) = range.end(looked_at);
    Ok(LogRead::Page(LogPage { events: page.events, scanned_to, head, end }))
}

/// The part of the log that a page is about: behind `after`, up to `until`.
struct Range {
    after: Position,
    until: Position,
    direction: Direction,
}

impl Range {
    /// How far a page came that looked at `looked_at` last, and whether that is the end.
    fn end(&self, looked_at: Option<Position>) -> (Position, bool) {
        match (self.direction, looked_at) {
            (_, None) => (self.after, true),
            (Direction::Forward, Some(at)) => (at, at >= self.until),
            (Direction::Backward, Some(at)) => (at.previous(), at.previous() <= self.after),
        }
    }

    /// The last position in the direction of the read: having looked there is having looked at all.
    fn last(&self) -> Position {
        match self.direction {
            Direction::Forward => self.until,
            Direction::Backward => self.after.next(),
        }
    }
}

/// Looks at every event of the range in its order. Positions are dense: one that is missing is damage.
fn scan(conn: &Connection, names: &Names, range: &Range, page: &mut Page<'_>) -> Result<(), Damage> {
    let mut statement = conn.prepare_cached(match range.direction {
        Direction::Forward => {
            select_events!("WHERE position > ?1 AND position <= ?2 ORDER BY position LIMIT ?3")
        }
        Direction::Backward => {
            select_events!("WHERE position > ?1 AND position <= ?2 ORDER BY position DESC LIMIT ?3")
        }
    })?;
    let most = if page.filter.is_all() { page.limit as i64 } else { PAGE_SCAN_EVENTS_MAX };
    let mut rows = statement.query(params![range.after.get(), range.until.get(), most])?;
    let mut reader = Rows::new(conn, names);
    let (mut expected, step) = match range.direction {
        Direction::Forward => (range.after.get() + 1, 1),
        Direction::Backward => (range.until.get(), -1),
    };
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let event = reader.event(row)?;
        if event.position.get() != expected {
            return Err(Damage::at(expected, "the event is missing"));
        }
        (expected, seen) = (expected + step, seen + 1);
        if !page.look_at(event) {
            return Ok(());
        }
    }
    if seen < most && page.looked_at != Some(range.last()) {
        return Err(Damage::at(expected, "the event is missing"));
    }
    Ok(())
}

/// The streams a filter names, when it names nothing but streams.
fn exact_streams(filter: &Filter) -> Option<Vec<&StreamId>> {
    fn name(pattern: &StreamPattern) -> Option<&StreamId> {
        match pattern {
            StreamPattern::Exact(stream) => Some(stream),
            StreamPattern::Category(_) | StreamPattern::Prefix(_) => None,
        }
    }
    let names: Option<Vec<_>> = filter.streams.iter().map(name).collect();
    names.filter(|names| !names.is_empty())
}

/// The positions within the range of the events with a tag, and whether there may be more.
fn tagged(conn: &Connection, tag: &str, range: &Range) -> Result<Candidates, Damage> {
    let mut statement = conn.prepare_cached(match range.direction {
        Direction::Forward => {
            "SELECT position FROM fd_tag WHERE tag = ?1 AND position > ?2 AND position <= ?3 ORDER BY position LIMIT ?4"
        }
        Direction::Backward => {
            "SELECT position FROM fd_tag WHERE tag = ?1 AND position > ?2 AND position <= ?3 ORDER BY position DESC LIMIT ?4"
        }
    })?;
    let values: [&dyn ToSql; 4] = [&tag, &range.after.get(), &range.until.get(), &CANDIDATES_MAX];
    let positions = statement.query_map(values, |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    Ok(Candidates { cut: positions.len() as i64 == CANDIDATES_MAX, positions })
}

/// Positions that an index names for one page, in the order of the read.
struct Candidates {
    positions: Vec<i64>,
    /// Whether the list was cut, so that there may be more behind its last one.
    cut: bool,
}

/// Positions taken from an index at once.
const CANDIDATES_MAX: i64 = 1_001;

/// The positions within the range of the events of some streams, and whether there may be more.
fn of_streams(conn: &Connection, streams: &[&StreamId], range: &Range) -> Result<Candidates, Damage> {
    let mut all = Candidates { positions: Vec::new(), cut: false };
    let mut names: Vec<_> = streams.to_vec();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let Some(row) = streams::find(conn, name)? else { continue };
        let found = of_stream(conn, row.number, row.version, range)?;
        all.cut |= found.cut;
        all.positions.extend(found.positions);
    }
    match range.direction {
        Direction::Forward => all.positions.sort_unstable(),
        Direction::Backward => all.positions.sort_unstable_by(|a, b| b.cmp(a)),
    }
    // What lies behind the cut of any stream is not known: the page ends where the shortest list ends at the latest.
    let most = usize::try_from(CANDIDATES_MAX).unwrap_or(usize::MAX);
    if all.positions.len() >= most {
        all.positions.truncate(most);
        all.cut = true;
    }
    Ok(all)
}

/// The positions of one stream's events within the range. Positions rise with versions, so the border is searched for.
fn of_stream(conn: &Connection, stream: i64, last: Version, range: &Range) -> Result<Candidates, Damage> {
    let mut at = conn.prepare_cached("SELECT position FROM fd_log WHERE stream = ?1 AND version = ?2")?;
    let mut position_of = |version: i64| -> Result<i64, Damage> {
        let found: Option<i64> = at.query_row([stream, version], |row| row.get(0)).optional()?;
        found.ok_or_else(|| Damage::new(format!("version {version} of stream number {stream} is missing")))
    };
    // How many events of the stream stand at or below a position.
    let mut count_to = |position: i64| -> Result<i64, Damage> {
        let (mut low, mut high) = (0, last.get());
        while low < high {
            let middle = low + (high - low + 1) / 2;
            if position_of(middle)? <= position { low = middle } else { high = middle - 1 }
        }
        Ok(low)
    };
    let (first, last) = (count_to(range.after.get())? + 1, count_to(range.until.get())?);
    let mut statement = conn.prepare_cached(match range.direction {
        Direction::Forward => {
            "SELECT position FROM fd_log WHERE stream = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version LIMIT ?4"
        }
        Direction::Backward => {
            "SELECT position FROM fd_log WHERE stream = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version DESC LIMIT ?4"
        }
    })?;
    let values = [stream, first, last, CANDIDATES_MAX];
    let positions = statement.query_map(values, |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    let wanted = (last - first + 1).clamp(0, CANDIDATES_MAX);
    if positions.len() as i64 != wanted {
        return Err(Damage::new(format!("stream number {stream} has lost events")));
    }
    Ok(Candidates { cut: last - first + 1 > wanted, positions })
}

/// Looks at the events at some positions, and says how far that is: to the end of the range when no more can follow.
fn fetch(
    conn: &Connection,
    names: &Names,
    range: &Range,
    candidates: Candidates,
    page: &mut Page<'_>,
    belongs: impl Fn(&Recorded) -> bool,
) -> Result<Option<Position>, Damage> {
    let mut statement = conn.prepare_cached(select_events!("WHERE position = ?1"))?;
    let mut reader = Rows::new(conn, names);
    for position in candidates.positions {
        let mut rows = statement.query([position])?;
        let row =
            rows.next()?.ok_or_else(|| Damage::at(position, "an index names an event that is missing"))?;
        let event = reader.event(row)?;
        if !belongs(&event) {
            return Err(Damage::at(position, "an index names an event that does not belong there"));
        }
        if !page.look_at(event) {
            return Ok(page.looked_at);
        }
    }
    Ok(if candidates.cut { page.looked_at } else { Some(range.last()) })
}

/// A page of a stream. Versions are dense up to the stream's last one: one that is missing is damage.
pub(crate) fn stream(conn: &Connection, names: &Names, query: &StreamQuery) -> Result<StreamPage, Damage> {
    let Some(row) = streams::find(conn, &query.stream)? else {
        return Ok(StreamPage { version: None, events: Vec::new(), end: true });
    };
    let first = Version::count(query.after) + 1;
    let last = query.to.map_or(row.version, |to| to.min(row.version)).get();
    let filter = Filter::ALL;
    let mut page = Page::new(&filter, query.limit.get());
    let mut statement = conn.prepare_cached(match query.direction {
        Direction::Forward => {
            select_events!("WHERE stream = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version LIMIT ?4")
        }
        Direction::Backward => {
            select_events!("WHERE stream = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version DESC LIMIT ?4")
        }
    })?;
    let asked = (last - first + 1).max(0);
    let wanted = asked.min(page.limit as i64);
    let mut rows = statement.query([row.number, first, last, wanted])?;
    let mut reader = Rows::new(conn, names);
    let (mut expected, step) = match query.direction {
        Direction::Forward => (first, 1),
        Direction::Backward => (last, -1),
    };
    let missing =
        |version: i64| Damage::new(format!("version {version} of stream {} is missing", query.stream));
    page.events.reserve(usize::try_from(wanted).unwrap_or(0));
    let mut full = false;
    while let Some(row) = rows.next()? {
        let event = reader.event(row)?;
        if event.version.get() != expected || event.stream != query.stream {
            return Err(missing(expected));
        }
        expected += step;
        if !page.look_at(event) {
            full = true;
            break;
        }
    }
    if !full && page.events.len() as i64 != wanted {
        return Err(missing(expected));
    }
    let end = page.events.len() as i64 == asked;
    Ok(StreamPage { version: Some(row.version), events: page.events, end })
}
