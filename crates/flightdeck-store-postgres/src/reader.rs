//! What is read: pages, each from one statement and so from one state of the log, each event checked.
//!
//! Every statement brings the head along, or the stream's row: what a page says about itself is of the same moment as
//! its events. A page is cut by the database where it has as many bytes as a page may have, so that no read brings more
//! into memory than it can use.

use std::collections::HashMap;

use flightdeck_core::limits::{PAGE_BYTES_MAX, PAGE_SCAN_EVENTS_MAX};
use flightdeck_core::{Cursor, Epoch, EventId, Position, StreamId, Version};
use flightdeck_store::admit::{Done, Remembered};
use flightdeck_store::chain::Hash;
use flightdeck_store::page::{Filling, Span, page_bytes};
use flightdeck_store::{
    Condition, Direction, Filter, Head, LogPage, LogQuery, Recorded, RequestKey, StreamPage, StreamPattern,
    StreamQuery,
};
use tokio_postgres::Row;

use crate::connection::Session;
use crate::history::History;
use crate::ledger::{Items, Looked};
use crate::names::Names;
use crate::row::{Damage, Events, event_columns};

/// The rows of a page: up to the first that has more bytes before it than fit. Only lengths are looked at for that, which
/// costs no data.
macro_rules! that_fit {
    ($from:literal, $at:literal, $direction:literal, $rows:literal, $bytes:literal) => {
        concat!(
            "SELECT w.* FROM (SELECT p.*, sum(p.bytes) OVER (ORDER BY p.at",
            $direction,
            " ROWS UNBOUNDED PRECEDING) - p.bytes AS before FROM (SELECT ",
            $at,
            " AS at, ",
            event_columns!(),
            ", coalesce(octet_length(l.data), 0) + coalesce(octet_length(l.further), 0) AS bytes FROM ",
            $from,
            " ORDER BY ",
            $at,
            $direction,
            " LIMIT ",
            $rows,
            ") p) w WHERE w.before <= ",
            $bytes
        )
    };
}

/// A page of the log, with the head: `$1` after, `$2` until, `$3` how many, `$4` how many bytes, and `$5` what `$from` needs.
/// The rows come in the order of `$at`, in that direction.
macro_rules! select_page {
    ($from:literal, $at:literal, $direction:literal) => {
        concat!(
            "SELECT h.epoch, h.position, h.hash, q.* FROM fd_head h LEFT JOIN LATERAL (",
            that_fit!($from, $at, $direction, "$3", "$4"),
            ") q ON true"
        )
    };
}

/// The first column of an event in a page of the log.
const EVENT: usize = 4;
/// Rows that one statement brings at the most.
const ROWS_MAX: usize = 1_001;

const BYTES_MAX: i64 = PAGE_BYTES_MAX as i64;

/// Rows in the order of a number that each has. They come in it: the page is ordered within, and joined with a single row; but
/// only a second sort in the statement would promise that, and it would cost a quarter of the read.
fn in_order(rows: &mut [Row], column: usize, direction: Direction) -> Result<(), Damage> {
    let numbers =
        rows.iter().map(|row| row.try_get::<_, Option<i64>>(column)).collect::<Result<Vec<_>, _>>()?;
    let sorted = match direction {
        Direction::Forward => numbers.is_sorted(),
        Direction::Backward => numbers.iter().rev().is_sorted(),
    };
    if !sorted {
        rows.sort_by_key(|row| row.try_get::<_, Option<i64>>(column).unwrap_or_default());
        if direction == Direction::Backward {
            rows.reverse();
        }
    }
    Ok(())
}

/// What a read of the log comes to.
pub(crate) enum LogRead {
    Page(LogPage),
    OtherEpoch(Cursor),
}

/// Epoch and position in the first two columns of a row.
fn cursor(row: &Row) -> Result<Cursor, Damage> {
    let epoch = Epoch::new(row.try_get::<_, &str>(0)?).map_err(|error| Damage::new(error.to_string()))?;
    let position = Position::new(row.try_get(1)?).map_err(|error| Damage::new(error.to_string()))?;
    Ok(Cursor::new(epoch, position))
}

/// The epoch and the newest event.
pub(crate) async fn head(session: &Session) -> Result<Head, Damage> {
    let rows = session.query("SELECT epoch, position, hash FROM fd_head", &[]).await?;
    let row = rows.first().ok_or_else(|| Damage::new("the log has no head"))?;
    let hash: &[u8] = row.try_get(2)?;
    let hash = hash.try_into().map_err(|_| Damage::new("the head's hash is of another length"))?;
    Ok(Head { cursor: cursor(row)?, hash: Hash::from_bytes(hash) })
}

/// A page of the log.
pub(crate) async fn log(
    session: &Session,
    names: &Names,
    history: &History,
    query: &LogQuery,
) -> Result<LogRead, Damage> {
    let way = Way::of(&query.filter);
    let mut page = Filling::new(&query.filter, query.limit.get());
    let mut reading = Reading { session, names, history, way, head: None, looked: 0 };
    // From where the next statement goes on, in the direction of the read.
    let mut rest = Span::of(query, Position::MAX);
    loop {
        let batch = reading.batch(&rest, &page).await?;
        let head = batch.head;
        if !query.after.is_of(head.epoch()) {
            return Ok(LogRead::OtherEpoch(head));
        }
        let span = Span::of(query, head.position());
        if span.is_empty() {
            let (scanned_to, end) = span.end(None);
            return Ok(LogRead::Page(LogPage { events: Vec::new(), scanned_to, head, end }));
        }
        rest.until = rest.until.min(head.position());
        let full = !batch.events.into_iter().all(|event| page.look_at(event));
        let looked_at = match (full || batch.cut, page.looked_at) {
            (true, looked_at) => looked_at,
            // Everything that there is was looked at, whether or not there was anything.
            (false, _) => Some(span.last()),
        };
        let (scanned_to, end) = span.end(looked_at);
        if full || end || reading.looked >= PAGE_SCAN_EVENTS_MAX || page.events.len() == page.limit {
            return Ok(LogRead::Page(LogPage { events: page.events, scanned_to, head, end }));
        }
        match query.direction {
            Direction::Forward => rest.after = scanned_to,
            Direction::Backward => rest.until = scanned_to,
        }
    }
}

/// Which index leads to the events that may pass a filter.
enum Way<'q> {
    /// Those with this tag.
    Tag(&'q str),
    /// Those of these streams.
    Streams(Vec<&'q str>),
    /// All: what passes is found out by looking.
    Scan,
}

impl<'q> Way<'q> {
    fn of(filter: &'q Filter) -> Self {
        fn name(pattern: &StreamPattern) -> Option<&str> {
            match pattern {
                StreamPattern::Exact(stream) => Some(stream.as_str()),
                StreamPattern::Category(_) | StreamPattern::Prefix(_) => None,
            }
        }
        if let Some(tag) = filter.tags.first() {
            return Self::Tag(tag.as_str());
        }
        let names: Option<Vec<_>> = filter.streams.iter().map(name).collect();
        match names {
            Some(names) if !names.is_empty() => Self::Streams(names),
            _ => Self::Scan,
        }
    }
}

/// A page that is being read, by as many statements as it takes.
struct Reading<'a, 'q> {
    session: &'a Session,
    names: &'a Names,
    history: &'a History,
    way: Way<'q>,
    /// The head at the first statement: the page is as of then. What is below it never changes.
    head: Option<Cursor>,
    looked: i64,
}

/// What one statement brought.
struct Batch {
    head: Cursor,
    events: Vec<Recorded>,
    /// Whether there may be more behind the last one.
    cut: bool,
}

impl Reading<'_, '_> {
    async fn batch(&mut self, span: &Span, page: &Filling<'_>) -> Result<Batch, Damage> {
        let filter = page.filter;
        let most = match &self.way {
            // What passes is what comes: no more than fits, and one to see whether there is more.
            Way::Scan if filter.is_all() => page.limit - page.events.len(),
            Way::Tag(_) if filter.tags.len() == 1 && filter.streams.is_empty() && filter.types.is_empty() => {
                page.limit - page.events.len() + 1
            }
            Way::Streams(_) if filter.types.is_empty() => page.limit - page.events.len() + 1,
            _ => ROWS_MAX.min(usize::try_from(PAGE_SCAN_EVENTS_MAX - self.looked).unwrap_or(ROWS_MAX)),
        };
        let newest = self.history.newest();
        let mut rows = self.rows(span, i64::try_from(most).unwrap_or(i64::MAX)).await?;
        in_order(&mut rows, EVENT - 1, span.direction)?;
        let first = rows.first().ok_or_else(|| Damage::new("the log has no head"))?;
        let head = self.head.get_or_insert(cursor(first)?).clone();
        if let Some(seen) = newest
            && seen.epoch == *head.epoch()
            && seen.position > cursor(first)?.position()
        {
            return Err(Damage::at(seen.position.get(), "the event is missing, and was there before"));
        }
        // A node vouches for all that it has handed out, should it find itself on another server.
        self.history.take(first)?;
        // A page that has nothing on it is one row with the head, and nothing behind it.
        let rows = if first.try_get::<_, Option<i64>>(EVENT - 1)?.is_some() { &rows[..] } else { &[] };
        let mut reader = Events::of(self.session, self.names, rows, EVENT).await?;
        let (mut events, mut bytes) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            let at: i64 = row.try_get(EVENT - 1)?;
            if row.try_get::<_, Option<i64>>(EVENT)?.is_none() {
                return Err(Damage::at(at, "an index names an event that is missing"));
            }
            let event = reader.event(row)?;
            bytes += page_bytes(&event);
            // What was appended since the first statement of this page is the next page's.
            if event.position <= head.position() {
                events.push(event);
            }
        }
        self.looked += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let cut = rows.len() >= most || bytes > PAGE_BYTES_MAX;
        self.check(span, &head, &events, cut)?;
        Ok(Batch { head, events, cut })
    }

    /// Holds what came against what must have come: positions of the log and versions of a stream are dense.
    fn check(&self, span: &Span, head: &Cursor, events: &[Recorded], cut: bool) -> Result<(), Damage> {
        match &self.way {
            Way::Scan => {
                let until = span.until.min(head.position());
                let (mut expected, step) = match span.direction {
                    Direction::Forward => (span.after.get() + 1, 1),
                    Direction::Backward => (until.get(), -1),
                };
                for event in events {
                    if event.position.get() != expected {
                        return Err(Damage::at(expected, "the event is missing"));
                    }
                    expected += step;
                }
                let left = expected > span.after.get() && expected <= until.get();
                if left && !cut {
                    return Err(Damage::at(expected, "the event is missing"));
                }
            }
            Way::Streams(names) => {
                let mut versions: HashMap<&StreamId, Version> = HashMap::new();
                for event in events {
                    let before = versions.insert(&event.stream, event.version);
                    let follows = before.is_none_or(|before| match span.direction {
                        Direction::Forward => event.version == before.next(),
                        Direction::Backward => event.version.next() == before,
                    });
                    if !follows || !names.contains(&event.stream.as_str()) {
                        let what = format!(
                            "stream {} has lost an event before version {}",
                            event.stream, event.version
                        );
                        return Err(Damage::at(event.position.get(), what));
                    }
                }
            }
            Way::Tag(tag) => {
                let strange = |event: &&Recorded| !event.tags.iter().any(|own| own.as_str() == *tag);
                if let Some(event) = events.iter().find(strange) {
                    let what = "an index names an event that does not belong there";
                    return Err(Damage::at(event.position.get(), what));
                }
            }
        }
        Ok(())
    }

    async fn rows(&self, span: &Span, most: i64) -> Result<Vec<Row>, Damage> {
        let (after, until) = (span.after.get(), span.until.get());
        let forward = span.direction == Direction::Forward;
        match &self.way {
            Way::Scan => {
                let sql = if forward { SCAN } else { SCAN_BACKWARD };
                self.session.query(sql, &[&after, &until, &most, &BYTES_MAX]).await
            }
            Way::Tag(tag) => {
                let sql = if forward { TAG } else { TAG_BACKWARD };
                self.session.query(sql, &[&after, &until, &most, &BYTES_MAX, tag]).await
            }
            Way::Streams(names) => {
                let sql = if forward { STREAMS } else { STREAMS_BACKWARD };
                self.session.query(sql, &[&after, &until, &most, &BYTES_MAX, names]).await
            }
        }
    }
}

const SCAN: &str =
    select_page!("fd_log l WHERE l.position > $1 AND l.position <= least($2, h.position)", "l.position", "");
const SCAN_BACKWARD: &str = select_page!(
    "fd_log l WHERE l.position > $1 AND l.position <= least($2, h.position)",
    "l.position",
    " DESC"
);
const TAG: &str = select_page!(
    "fd_tag g LEFT JOIN fd_log l ON l.position = g.position \
     WHERE g.tag = $5 AND g.position > $1 AND g.position <= least($2, h.position)",
    "g.position",
    ""
);
const TAG_BACKWARD: &str = select_page!(
    "fd_tag g LEFT JOIN fd_log l ON l.position = g.position \
     WHERE g.tag = $5 AND g.position > $1 AND g.position <= least($2, h.position)",
    "g.position",
    " DESC"
);
/// Positions of a stream rise with its versions, so the border is searched for, and the rest is a range of its index.
const STREAMS: &str = select_page!(
    "fd_stream st CROSS JOIN LATERAL (SELECT l.* FROM fd_log l WHERE l.stream = st.stream \
     AND l.version > fd_count_to(st.stream, st.version, $1) \
     AND l.version <= fd_count_to(st.stream, st.version, least($2, h.position)) ORDER BY l.version LIMIT $3) l \
     WHERE st.name = ANY ($5) AND fd_require(st.checksum = fd_stream_checksum(st.stream, st.version, st.created, \
     st.updated, st.name), 'the row of stream ' || st.name)",
    "l.position",
    ""
);
const STREAMS_BACKWARD: &str = select_page!(
    "fd_stream st CROSS JOIN LATERAL (SELECT l.* FROM fd_log l WHERE l.stream = st.stream \
     AND l.version > fd_count_to(st.stream, st.version, $1) \
     AND l.version <= fd_count_to(st.stream, st.version, least($2, h.position)) ORDER BY l.version DESC LIMIT $3) l \
     WHERE st.name = ANY ($5) AND fd_require(st.checksum = fd_stream_checksum(st.stream, st.version, st.created, \
     st.updated, st.name), 'the row of stream ' || st.name)",
    "l.position",
    " DESC"
);

/// A page of a stream, with the stream's row: `$1` name, `$2` after, `$3` to, `$4` how many, `$5` how many bytes.
macro_rules! select_stream {
    ($direction:literal) => {
        concat!(
            "SELECT st.version, q.* FROM fd_stream st LEFT JOIN LATERAL (",
            that_fit!(
                "fd_log l WHERE l.stream = st.stream AND l.version > $2 AND l.version <= least($3, st.version)",
                "l.version",
                $direction,
                "$4",
                "$5"
            ),
            ") q ON true WHERE st.name = $1 AND fd_require(st.checksum = fd_stream_checksum(st.stream, \
             st.version, st.created, st.updated, st.name), 'the row of stream ' || st.name)"
        )
    };
}

/// A page of a stream. Versions are dense up to the stream's last one: one that is missing is damage.
pub(crate) async fn stream(
    session: &Session,
    names: &Names,
    query: &StreamQuery,
) -> Result<StreamPage, Damage> {
    let sql = match query.direction {
        Direction::Forward => select_stream!(""),
        Direction::Backward => select_stream!(" DESC"),
    };
    let after = Version::count(query.after);
    let to = query.to.map_or(i64::MAX, Version::get);
    let most = i64::try_from(query.limit.get()).unwrap_or(i64::MAX);
    let mut rows = session.query(sql, &[&query.stream.as_str(), &after, &to, &most, &BYTES_MAX]).await?;
    in_order(&mut rows, 1, query.direction)?;
    let Some(first) = rows.first() else {
        return Ok(StreamPage { version: None, events: Vec::new(), end: true });
    };
    let version = Version::new(first.try_get(0)?).map_err(|error| Damage::new(error.to_string()))?;
    let last = to.min(version.get());
    let (mut expected, step) = match query.direction {
        Direction::Forward => (after + 1, 1),
        Direction::Backward => (last, -1),
    };
    let missing =
        |version: i64| Damage::new(format!("version {version} of stream {} is missing", query.stream));
    let rows = if first.try_get::<_, Option<i64>>(1)?.is_some() { &rows[..] } else { &[] };
    let mut reader = Events::of(session, names, rows, 2).await?;
    let filter = Filter::ALL;
    let mut page = Filling::new(&filter, query.limit.get());
    let mut bytes = 0;
    for row in rows {
        let event = reader.event(row)?;
        if event.version.get() != expected || event.stream != query.stream {
            return Err(missing(expected));
        }
        bytes += page_bytes(&event);
        page.look_at(event);
        expected += step;
    }
    let asked = usize::try_from(last - after).unwrap_or(0);
    // A page that was cut neither at its limit nor at its bytes has everything.
    if rows.len() < asked.min(page.limit) && bytes <= PAGE_BYTES_MAX {
        return Err(missing(expected));
    }
    Ok(StreamPage { version: Some(version), end: page.events.len() == asked, events: page.events })
}

/// The event with that id.
pub(crate) async fn event(session: &Session, names: &Names, id: EventId) -> Result<Option<Recorded>, Damage> {
    let sql = concat!("SELECT ", event_columns!(), " FROM fd_log l WHERE l.id = $1");
    let rows = session.query(sql, &[id.uuid()]).await?;
    let mut reader = Events::of(session, names, &rows, 0).await?;
    let event = rows.first().map(|row| reader.event(row)).transpose()?;
    match event {
        Some(event) if event.id != id => {
            Err(Damage::at(event.position.get(), "an index names another event"))
        }
        event => Ok(event),
    }
}

/// The events that an append was, and the epoch.
pub(crate) async fn range(
    session: &Session,
    names: &Names,
    done: Done,
) -> Result<(Epoch, Vec<Recorded>), Damage> {
    let epoch = head(session).await?.cursor.epoch().clone();
    let Done::Events(first, last) = done else {
        return Ok((epoch, Vec::new()));
    };
    let sql = concat!(
        "SELECT ",
        event_columns!(),
        " FROM fd_log l WHERE l.position BETWEEN $1 AND $2 ORDER BY l.position"
    );
    let rows = session.query(sql, &[&first.get(), &last.get()]).await?;
    let mut reader = Events::of(session, names, &rows, 0).await?;
    let events = rows.iter().map(|row| reader.event(row)).collect::<Result<Vec<_>, _>>()?;
    match i64::try_from(events.len()) {
        Ok(count) if count == last.get() - first.get() + 1 => Ok((epoch, events)),
        _ => Err(Damage::at(first.get(), "an append that was done has lost events")),
    }
}

/// The first event of the log that each item of a condition matches, as far as the log goes now.
pub(crate) async fn look_ahead(session: &Session, condition: &Condition) -> Result<Looked, Damage> {
    let items = Items::of(condition);
    let after = vec![condition.after.position().get(); items.tags.len()];
    let sql = "SELECT h.epoch, h.position, m.place, m.position FROM fd_head h LEFT JOIN fd_matches($1, $2, $3) m ON true";
    let rows = session.query(sql, &[&items.tags, &items.types, &after]).await?;
    let first = rows.first().ok_or_else(|| Damage::new("the log has no head"))?;
    let head = cursor(first)?;
    let mut until = vec![head.position().get(); after.len()];
    for row in &rows {
        if let (Some(place), Some(at)) =
            (row.try_get::<_, Option<i64>>(2)?, row.try_get::<_, Option<i64>>(3)?)
            && let Some(until) = usize::try_from(place - 1).ok().and_then(|place| until.get_mut(place))
        {
            *until = at - 1;
        }
    }
    Ok(Looked { epoch: head.epoch().clone(), until })
}

/// What is remembered of a request.
pub(crate) async fn remembered(
    session: &Session,
    request: &RequestKey,
) -> Result<Option<Remembered>, Damage> {
    let sql = "SELECT r.fingerprint, r.first, r.last FROM fd_request r WHERE r.caller = $1 AND r.key = $2 AND
                 fd_require(r.checksum = fd_request_checksum(r.caller, r.key, r.fingerprint, r.first, r.last),
                 'what is remembered of a request')";
    let rows = session.query(sql, &[&request.caller(), &request.key()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let damaged = || Damage::new("what is remembered of a request is damaged");
    let fingerprint = row.try_get::<_, &[u8]>(0)?.try_into().map_err(|_| damaged())?;
    let (first, last): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    let position = |number| Position::new(number).map_err(|_| damaged());
    let done = match first > last {
        true => Done::Nothing(position(last)?),
        false => Done::Events(position(first)?, position(last)?),
    };
    Ok(Some(Remembered { fingerprint, done }))
}
