//! What is read: pages, each from one snapshot of the file, each event checked.

use std::collections::BTreeSet;

use flightdeck_core::limits::PAGE_SCAN_EVENTS_MAX;
use flightdeck_core::{Cursor, Epoch, Position, StreamId, Tag, Version};
use flightdeck_store::page::{Filling, Span};
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

/// The position of the newest event.
pub(crate) fn newest(conn: &Connection) -> Result<Position, Damage> {
    let sql = "SELECT ifnull(max(position), 0) FROM fd_log";
    let newest: i64 = conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Position::new(newest).map_err(|error| Damage::new(error.to_string()))
}

/// A page of the log.
pub(crate) fn log(conn: &Connection, names: &Names, query: &LogQuery) -> Result<LogRead, Damage> {
    let newest = newest(conn)?;
    let head = Cursor::new(epoch(conn)?, newest);
    if !query.after.is_of(head.epoch()) {
        return Ok(LogRead::OtherEpoch(head));
    }
    let range = Span::of(query, newest);
    let mut page = Filling::new(&query.filter, query.limit.get());
    let looked_at = if range.is_empty() {
        None
    } else if let Some(tag) = query.filter.tags.first() {
        let candidates = tagged(conn, tag.as_str(), &range)?;
        fetch(conn, names, &range, candidates, &mut page, tag)?
    } else if let Some(exact) = exact_streams(&query.filter) {
        merge(conn, names, &range, &exact, &mut page)?
    } else {
        scan(conn, names, &range, newest, &mut page)?;
        page.looked_at
    };
    let (scanned_to, end) = range.end(looked_at);
    Ok(LogRead::Page(LogPage { events: page.events, scanned_to, head, end }))
}

/// Looks at every event of the range in its order. Positions are dense: one that is missing is damage.
fn scan(
    conn: &Connection,
    names: &Names,
    range: &Span,
    newest: Position,
    page: &mut Filling<'_>,
) -> Result<(), Damage> {
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
        // The cheap assertion of P6: a log ends where an append does.
        if event.position == newest && event.append_end != newest {
            return Err(Damage::at(newest.next().get(), "the event is missing"));
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
fn tagged(conn: &Connection, tag: &str, range: &Span) -> Result<Candidates, Damage> {
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

/// One of the streams of a page, and its next version that was not looked at.
struct OneOf {
    number: i64,
    stream: StreamId,
    /// The versions that are left, from the one that comes next to the last one, in the direction of the read.
    next: i64,
    last: i64,
}

impl OneOf {
    /// The versions of a stream within the range; `None` when it never was. Positions rise with versions, so the borders
    /// are searched for.
    fn within(
        conn: &Connection,
        names: &Names,
        stream: &StreamId,
        range: &Span,
    ) -> Result<Option<Self>, Damage> {
        let Some(row) = streams::find(conn, stream)? else { return Ok(None) };
        // How many events of the stream stand at or below a position.
        let count_to = |position: Position| -> Result<i64, Damage> {
            let (mut low, mut high) = (0, row.version.get());
            while low < high {
                let middle = low + (high - low + 1) / 2;
                let at = version(conn, names, row.number, stream, middle)?.position;
                if at <= position { low = middle } else { high = middle - 1 }
            }
            Ok(low)
        };
        let (first, last) = (count_to(range.after)? + 1, count_to(range.until)?);
        let (next, last) = match range.direction {
            Direction::Forward => (first, last),
            Direction::Backward => (last, first),
        };
        Ok(Some(Self { number: row.number, stream: stream.clone(), next, last }))
    }

    fn is_through(&self, direction: Direction) -> bool {
        match direction {
            Direction::Forward => self.next > self.last,
            Direction::Backward => self.next < self.last,
        }
    }
}

/// The event of a stream with that version, as itself says: an index that leads elsewhere is damaged.
fn version(
    conn: &Connection,
    names: &Names,
    number: i64,
    stream: &StreamId,
    version: i64,
) -> Result<Recorded, Damage> {
    let mut statement = conn.prepare_cached(select_events!("WHERE stream = ?1 AND version = ?2"))?;
    let mut rows = statement.query([number, version])?;
    let event = rows.next()?.map(|row| Rows::new(conn, names).event(row)).transpose()?;
    match event {
        Some(event) if event.stream == *stream && event.version.get() == version => Ok(event),
        _ => Err(Damage::new(format!("version {version} of stream {stream} is missing"))),
    }
}

/// Looks at the events of some streams: each stream's versions in their order, all of them in the order of the log. The
/// index only leads to the events; where they stand, and that none is left out, they say themselves.
fn merge(
    conn: &Connection,
    names: &Names,
    range: &Span,
    streams: &[&StreamId],
    page: &mut Filling<'_>,
) -> Result<Option<Position>, Damage> {
    let distinct: BTreeSet<&StreamId> = streams.iter().copied().collect();
    // The next event of each stream that has one left.
    let mut ahead = Vec::new();
    for stream in distinct {
        let Some(mut one) = OneOf::within(conn, names, stream, range)? else { continue };
        if let Some(event) = advance(conn, names, range, &mut one)? {
            ahead.push((event, one));
        }
    }
    for _ in 0..CANDIDATES_MAX {
        let positions = ahead.iter().map(|(event, _)| event.position).enumerate();
        let nearest = match range.direction {
            Direction::Forward => positions.min_by_key(|(_, position)| *position),
            Direction::Backward => positions.max_by_key(|(_, position)| *position),
        };
        let Some((place, position)) = nearest else { return Ok(Some(range.last())) };
        let (event, one) = &mut ahead[place];
        let next = advance(conn, names, range, one)?;
        let rises = next.as_ref().is_none_or(|next| match range.direction {
            Direction::Forward => next.position > position,
            Direction::Backward => next.position < position,
        });
        if !rises {
            return Err(Damage::at(position.get(), format!("stream {} is out of order here", one.stream)));
        }
        let looked = match next {
            Some(next) => page.look_at(std::mem::replace(event, next)),
            None => page.look_at(ahead.swap_remove(place).0),
        };
        if !looked {
            break;
        }
    }
    Ok(page.looked_at)
}

/// The next event of a stream, if one is left.
fn advance(
    conn: &Connection,
    names: &Names,
    range: &Span,
    one: &mut OneOf,
) -> Result<Option<Recorded>, Damage> {
    if one.is_through(range.direction) {
        return Ok(None);
    }
    let event = version(conn, names, one.number, &one.stream, one.next)?;
    one.next += match range.direction {
        Direction::Forward => 1,
        Direction::Backward => -1,
    };
    Ok(Some(event))
}

/// Looks at the events at some positions, and says how far that is: to the end of the range when no more can follow.
fn fetch(
    conn: &Connection,
    names: &Names,
    range: &Span,
    candidates: Candidates,
    page: &mut Filling<'_>,
    tag: &Tag,
) -> Result<Option<Position>, Damage> {
    let mut statement = conn.prepare_cached(select_events!("WHERE position = ?1"))?;
    let mut reader = Rows::new(conn, names);
    for position in candidates.positions {
        let mut rows = statement.query([position])?;
        let row =
            rows.next()?.ok_or_else(|| Damage::at(position, "an index names an event that is missing"))?;
        let event = reader.event(row)?;
        if !event.tags.contains(tag) {
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
    let mut page = Filling::new(&filter, query.limit.get());
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
