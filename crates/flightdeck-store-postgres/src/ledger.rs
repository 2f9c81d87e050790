//! A group of appends as the function in the database wants it, and its answer as the callers want it.
//!
//! `fd_append` in `migrations/postgres/0001_log.sql` is the other half. It does what
//! [`admit`](flightdeck_store::admit) does for stores that check in this program; that both come to the same is for
//! the contract to say.

use std::collections::HashMap;

use flightdeck_core::{Cursor, Epoch, EventId, EventType, Position, StreamId, Timestamp, Version};
use flightdeck_store::admit::Done;
use flightdeck_store::chain::{Hash, Sealed};
use flightdeck_store::stored::tag_lines;
use flightdeck_store::{Append, AppendError, Appended, Condition, ConditionItem, Conflict, Expected, Reason};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

use crate::history::Seen;

/// One call appends a group.
const CALL: &str = "SELECT epoch, head, head_hash, verdict, first, last, detail, versions FROM fd_append($1, $2, $3, $4, $5, \
     $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, \
     $30, $31, $32, $33, $34, $35, $36, $37)";

pub(crate) async fn prepare(client: &Client) -> Result<Statement, Error> {
    client.prepare(CALL).await
}

/// An append on its way: its terms, and its events made ready.
pub(crate) struct Asked {
    pub(crate) append: Append,
    pub(crate) sealed: Vec<Sealed>,
    pub(crate) looked: Option<Looked>,
}

/// How far the items of a condition have been looked for before the append got its turn, each up to where it is certain that
/// nothing matches.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) epoch: Epoch,
    pub(crate) until: Vec<i64>,
}

/// The items of conditions, column by column: tags and types one a line.
#[derive(Default)]
pub(crate) struct Items {
    pub(crate) tags: Vec<Option<String>>,
    pub(crate) types: Vec<Option<String>>,
}

impl Items {
    /// The items of a condition, always in the same order.
    pub(crate) fn of(condition: &Condition) -> Self {
        let lines = |texts: Vec<&str>| (!texts.is_empty()).then(|| texts.join("\n"));
        // Items without tags are one scan of the log each; together they are one item that names all their types.
        let (tagged, plain): (Vec<_>, Vec<_>) = condition.any.iter().partition(|item| !item.tags.is_empty());
        let every_type = plain.iter().any(|item| item.types.is_empty());
        let types = plain.iter().flat_map(|item| item.types.clone()).filter(|_| !every_type);
        let merged = ConditionItem { tags: Vec::new(), types: types.collect() };
        let merged = (!plain.is_empty()).then_some(&merged);
        let mut items = Self::default();
        for item in tagged.into_iter().chain(merged) {
            items.tags.push(lines(item.tags.iter().map(AsRef::as_ref).collect()));
            items.types.push(lines(item.types.iter().map(AsRef::as_ref).collect()));
        }
        items
    }
}

/// What became of an append.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It was written now.
    Fresh(Appended),
    /// It was done before: where, says the log.
    Before(Done),
}

impl Settled {
    /// Whether it was written now.
    pub(crate) const fn is_new(&self) -> bool {
        matches!(self, Self::Fresh(_))
    }
}

/// A group, column by column.
#[derive(Default)]
pub(crate) struct Call<'g> {
    now: Option<i64>,
    known: Option<Seen>,
    stream_names: Vec<&'g str>,
    type_names: Vec<&'g str>,
    streams: HashMap<&'g StreamId, i32>,
    types: HashMap<&'g EventType, i32>,
    appends: Appends<'g>,
    expected: (Vec<i32>, Vec<i32>, Vec<i64>),
    items: Items,
    /// For each item, how far it was looked for already; nothing for one that was not.
    item_appends: Vec<i32>,
    looked: Vec<Option<i64>>,
    matches: (Vec<i32>, Vec<i32>),
    events: Events<'g>,
    tags: (Vec<i32>, Vec<&'g str>),
}

/// What there is an entry of for every append. The keys stay empty when no append has one.
#[derive(Default)]
struct Appends<'g> {
    events: Vec<i32>,
    callers: Vec<Option<&'g str>>,
    keys: Vec<Option<&'g str>>,
    fingerprints: Vec<Option<&'g [u8]>>,
    after: Vec<Option<i64>>,
    epochs: Vec<Option<String>>,
}

/// What there is an entry of for every event.
#[derive(Default)]
struct Events<'g> {
    streams: Vec<i32>,
    types: Vec<i32>,
    schemas: Vec<i32>,
    ids: Vec<Uuid>,
    given: Vec<bool>,
    actors: Vec<Option<&'g str>>,
    correlations: Vec<Option<&'g str>>,
    causations: Vec<Option<&'g str>>,
    occurred: Vec<Option<i64>>,
    tags: Vec<Option<String>>,
    further: Vec<Option<&'g [u8]>>,
    data: Vec<&'g [u8]>,
    sealed: Vec<Vec<u8>>,
    rest: Vec<i32>,
}

/// Limits keep every count of a group far below 2^31.
fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl<'g> Call<'g> {
    /// Puts a group into columns. With `again`, every id is looked up as if the callers had given it: the group was sent
    /// before, and nobody knows what became of it.
    pub(crate) fn of(group: &'g [Asked], now: Option<Timestamp>, known: Option<Seen>, again: bool) -> Self {
        let mut call = Self { now: now.map(Timestamp::micros), known, ..Self::default() };
        let with_keys = group.iter().any(|asked| asked.append.request.is_some());
        let mut before = Before::default();
        for (place, asked) in (1..).zip(group) {
            call.append(place, asked, with_keys);
            if let Some(condition) = &asked.append.condition {
                call.condition(place, condition, asked.looked.as_ref(), &before);
            }
            for (event, rest) in asked.sealed.iter().zip((0..asked.sealed.len()).rev()) {
                call.event(event, again, rest);
            }
            before.add(asked);
        }
        call
    }

    fn append(&mut self, place: i32, asked: &'g Asked, with_keys: bool) {
        let append = &asked.append;
        self.appends.events.push(number(asked.sealed.len()));
        if with_keys {
            let request = append.request.as_ref();
            self.appends.callers.push(request.map(|request| request.caller()));
            self.appends.keys.push(request.map(|request| request.key()));
            self.appends.fingerprints.push(request.map(|request| request.fingerprint().as_slice()));
        }
        for (stream, expected) in &append.expected {
            let version = match expected {
                Expected::Any => continue,
                Expected::NoStream => -1,
                Expected::Exists => 0,
                Expected::Exactly(version) => version.get(),
            };
            let stream = self.stream(stream);
            self.expected.0.push(place);
            self.expected.1.push(stream);
            self.expected.2.push(version);
        }
        let after = append.condition.as_ref().map(|condition| &condition.after);
        self.appends.after.push(after.map(|after| after.position().get()));
        self.appends.epochs.push(after.and_then(|after| match after {
            flightdeck_store::After::Position(_) => None,
            flightdeck_store::After::Cursor(cursor) => Some(cursor.epoch().to_string()),
        }));
    }

    fn condition(&mut self, place: i32, condition: &Condition, looked: Option<&Looked>, before: &Before<'g>) {
        let items = Items::of(condition);
        let known = self.known.as_ref().map(|known| &known.epoch);
        for item in 0..items.tags.len() {
            self.item_appends.push(place);
            // A look at another epoch than the newest that is known is worth nothing.
            let looked = looked.filter(|looked| Some(&looked.epoch) == known);
            self.looked.push(looked.and_then(|looked| looked.until.get(item).copied()));
        }
        self.items.tags.extend(items.tags);
        self.items.types.extend(items.types);
        for event in before.matching(condition) {
            self.matches.0.push(place);
            self.matches.1.push(event);
        }
    }

    fn event(&mut self, sealed: &'g Sealed, again: bool, rest: usize) {
        let event = sealed.event();
        let metadata = &event.metadata;
        let stream = self.stream(&event.stream);
        let next_type = number(self.types.len() + 1);
        let event_type = *self.types.entry(&event.event_type).or_insert_with(|| {
            self.type_names.push(event.event_type.as_str());
            next_type
        });
        let columns = &mut self.events;
        columns.streams.push(stream);
        columns.types.push(event_type);
        columns.schemas.push(i32::try_from(event.schema.get()).unwrap_or(i32::MAX));
        columns.ids.push(*sealed.id().uuid());
        columns.given.push(again || event.id.is_some());
        columns.actors.push(metadata.actor.as_ref().map(AsRef::as_ref));
        columns.correlations.push(metadata.correlation.as_ref().map(AsRef::as_ref));
        columns.causations.push(metadata.causation.as_ref().map(AsRef::as_ref));
        columns.occurred.push(metadata.occurred.map(Timestamp::micros));
        columns.tags.push(tag_lines(&event.tags));
        columns.further.push(metadata.further.as_ref().map(|further| further.as_json().as_bytes()));
        columns.data.push(event.data.as_bytes());
        columns.sealed.push(sealed.behind_place());
        columns.rest.push(number(rest));
        let place = number(columns.ids.len());
        for tag in &event.tags {
            self.tags.0.push(place);
            self.tags.1.push(tag.as_str());
        }
    }

    fn stream(&mut self, stream: &'g StreamId) -> i32 {
        let next = number(self.streams.len() + 1);
        *self.streams.entry(stream).or_insert_with(|| {
            self.stream_names.push(stream.as_str());
            next
        })
    }

    /// Calls the function: one transaction, which commits by itself.
    pub(crate) async fn run(&self, client: &Client, statement: &Statement) -> Result<Row, Error> {
        let (appends, events) = (&self.appends, &self.events);
        let known = self.known.as_ref();
        let values: [&(dyn ToSql + Sync); 37] = [
            &self.now,
            &known.map(|known| known.epoch.as_str()),
            &known.map(|known| known.position.get()),
            &known.map(|known| known.hash.as_bytes().as_slice()),
            &self.stream_names,
            &self.type_names,
            &appends.events,
            &appends.callers,
            &appends.keys,
            &appends.fingerprints,
            &appends.after,
            &appends.epochs,
            &self.expected.0,
            &self.expected.1,
            &self.expected.2,
            &self.item_appends,
            &self.items.tags,
            &self.items.types,
            &self.looked,
            &self.matches.0,
            &self.matches.1,
            &events.streams,
            &events.types,
            &events.schemas,
            &events.ids,
            &events.given,
            &events.actors,
            &events.correlations,
            &events.causations,
            &events.occurred,
            &events.tags,
            &events.further,
            &events.data,
            &events.sealed,
            &events.rest,
            &self.tags.0,
            &self.tags.1,
        ];
        client.query_one(statement, &values).await
    }
}

/// The events of a group that stand before an append: which of them would break its condition.
#[derive(Default)]
struct Before<'g> {
    events: Vec<&'g Sealed>,
    by_tag: HashMap<&'g str, Vec<usize>>,
}

impl<'g> Before<'g> {
    fn add(&mut self, asked: &'g Asked) {
        for event in &asked.sealed {
            for tag in &event.event().tags {
                self.by_tag.entry(tag.as_str()).or_default().push(self.events.len());
            }
            self.events.push(event);
        }
    }

    /// The places of the events that match any item, in their order.
    fn matching(&self, condition: &Condition) -> Vec<i32> {
        let mut places = Vec::new();
        for item in &condition.any {
            let matches = |place: &usize| {
                let event = self.events[*place].event();
                item.matches(&event.event_type, &event.tags)
            };
            match item.tags.first() {
                Some(tag) => {
                    let tagged = self.by_tag.get(tag.as_str()).map_or(&[][..], Vec::as_slice);
                    places.extend(tagged.iter().copied().filter(matches));
                }
                None => places.extend((0..self.events.len()).filter(matches)),
            }
        }
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| number(place + 1)).collect()
    }
}

/// The answer of a call.
pub(crate) struct Answer {
    pub(crate) epoch: Epoch,
    pub(crate) head: Position,
    pub(crate) hash: Hash,
    verdicts: Vec<i32>,
    first: Vec<i64>,
    last: Vec<i64>,
    detail: Vec<i64>,
    versions: Vec<i64>,
}

/// An answer that can't be one. Nothing of the kind should ever come; if it does, nobody knows what was committed.
fn nonsense() -> AppendError {
    AppendError::Unknown {
        reason: Reason::Storage,
        source: Some("the database's answer makes no sense".into()),
    }
}

impl Answer {
    /// Reads the row that a call gave.
    pub(crate) fn read(row: &Row) -> Option<Self> {
        let hash: &[u8] = row.try_get(2).ok()?;
        Some(Self {
            epoch: Epoch::new(row.try_get::<_, &str>(0).ok()?).ok()?,
            head: Position::new(row.try_get(1).ok()?).ok()?,
            hash: Hash::from_bytes(hash.try_into().ok()?),
            verdicts: row.try_get(3).ok()?,
            first: row.try_get(4).ok()?,
            last: row.try_get(5).ok()?,
            detail: row.try_get(6).ok()?,
            versions: row.try_get(7).ok()?,
        })
    }

    /// What became of each append of the group, in its order.
    pub(crate) fn settle(&self, call: &Call<'_>, group: &[Asked]) -> Vec<Result<Settled, AppendError>> {
        let mut events = 0;
        let mut settled = Vec::with_capacity(group.len());
        for (place, asked) in group.iter().enumerate() {
            settled.push(self.one(place, events, call, asked).unwrap_or_else(|| Err(nonsense())));
            events += asked.sealed.len();
        }
        settled
    }

    /// `None`: the answer makes no sense.
    fn one(
        &self,
        place: usize,
        events: usize,
        call: &Call<'_>,
        asked: &Asked,
    ) -> Option<Result<Settled, AppendError>> {
        let (first, last, detail) =
            (*self.first.get(place)?, *self.last.get(place)?, *self.detail.get(place)?);
        let position = |number: i64| Position::new(number).ok();
        let after = asked.append.condition.as_ref().map(|condition| condition.after.position());
        Some(match self.verdicts.get(place)? {
            0 => Ok(Settled::Fresh(self.fresh(events, asked, first, last)?)),
            1 | 3 => Ok(Settled::Before(match first > last {
                true => Done::Nothing(position(last)?),
                false => Done::Events(position(first)?, position(last)?),
            })),
            2 => Err(AppendError::KeyReused),
            4 => Err(AppendError::IdReused { id: self.id(call, detail)? }),
            5 => Err(AppendError::Conflict(conflict(call, asked, first, detail)?)),
            6 => Err(AppendError::ConditionFailed { position: position(detail)? }),
            7 => Err(AppendError::StaleDecision { after: after?, head: position(detail)? }),
            8 => Err(AppendError::EpochChanged { head: Cursor::new(self.epoch.clone(), position(detail)?) }),
            9 => Err(AppendError::AheadOfLog { after: after?, head: position(detail)? }),
            _ => return None,
        })
    }

    fn fresh(&self, events: usize, asked: &Asked, first: i64, last: i64) -> Option<Appended> {
        let versions = self.versions.get(events..events + asked.sealed.len())?;
        let mut places = Vec::with_capacity(versions.len());
        for ((event, version), at) in asked.sealed.iter().zip(versions).zip(first..) {
            places.push((&event.event().stream, Version::new(*version).ok()?, Position::new(at).ok()?));
        }
        // The cheap assertion of P5 and P6: what was written is as long as what was asked for.
        if last - first + 1 != i64::try_from(places.len()).ok()? {
            return None;
        }
        let at = Cursor::new(self.epoch.clone(), Position::new(last).ok()?);
        Some(Appended::sum_up(places, at, false))
    }

    fn id(&self, call: &Call<'_>, event: i64) -> Option<EventId> {
        let place = usize::try_from(event).ok()?.checked_sub(1)?;
        EventId::new(*call.events.ids.get(place)?).ok()
    }
}

/// The conflict that an expectation of a group met: `place` counts all expectations of the group, but those for any state.
fn conflict(call: &Call<'_>, asked: &Asked, actual: i64, place: i64) -> Option<Conflict> {
    let place = usize::try_from(place).ok()?.checked_sub(1)?;
    let name = call.stream_names.get(usize::try_from(*call.expected.1.get(place)?).ok()?.checked_sub(1)?)?;
    let (stream, expected) = asked.append.expected.iter().find(|(stream, _)| stream.as_str() == *name)?;
    Some(Conflict { stream: stream.clone(), expected: *expected, actual: Version::new(actual).ok() })
}
