//! Filling a store with a log that is carried there: events with their places, times and hashes as they are.
//!
//! The store is marked as being filled before anything is in it, and the mark goes with the last step; what was interrupted
//! goes on where it stands. Nothing is believed: every event must follow the one before by position, version and hash.
//! Whoever fills a store needs the rights of whoever made it.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use flightdeck_core::{Epoch, Position, Timestamp};
use flightdeck_migrations::POSTGRES;
use flightdeck_store::admit::Done;
use flightdeck_store::chain::{BrokenChain, Walk, digest_checksum};
use flightdeck_store::migrate::Access;
use flightdeck_store::stored::tag_lines;
use flightdeck_store::{
    Data, EventStore as _, Fill, FillError, Head, KeptRequest, KeptSnapshot, LogQuery, NotFilled, Recorded,
    Secret, Standing, StoreError, Verified, Watcher,
};
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Transaction};
use uuid::Uuid;

use crate::fault::kill_point;
use crate::history::History;
use crate::migrate;
use crate::names::Names;
use crate::open::{Dialing, OpenError};
use crate::options::Options;
use crate::store::PostgresStore;

/// A store that is being filled.
pub struct PostgresFill {
    store: PostgresStore,
    filler: Mutex<Filler>,
    options: Options,
}

/// The connection that writes, and how far it has come.
struct Filler {
    client: Client,
    walk: Walk,
}

impl std::fmt::Debug for PostgresFill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresFill").field("store", &self.store).finish_non_exhaustive()
    }
}

fn storage(error: Error) -> FillError {
    FillError::Storage(error.into())
}

impl PostgresStore {
    /// Opens the store behind `url` to carry a log into it: one that has no events, or that was not filled to its end.
    ///
    /// # Errors
    /// See [`NotFilled`].
    pub async fn fill(url: &str, options: Options) -> Result<PostgresFill, NotFilled<OpenError>> {
        let dialing = Dialing::new(url, &options)?;
        let mut client = dialing.ready(Access::Fill).await?;
        // What is in use is left as it is, older tables included.
        let steps = migrate::status(&client, &dialing.schema, POSTGRES).await.map_err(OpenError::from)?;
        if steps.first().is_some_and(|step| step.applied.is_some())
            && let Some(newest) = in_use(&client).await.map_err(OpenError::from)?
        {
            return Err(NotFilled::InUse(newest));
        }
        migrate::run(&mut client, &dialing.schema, POSTGRES).await.map_err(OpenError::from)?;
        mark(&mut client, &options).await?;
        History::new(std::sync::Arc::new(Names::default()), true)
            .check(&client)
            .await
            .map_err(OpenError::from)?;
        let store = Self::open_as(url, options.clone(), Access::Fill).await?;
        let walk = begun(&store).await?;
        Ok(PostgresFill { store, filler: Mutex::new(Filler { client, walk }), options })
    }
}

/// How many events are in the way, if there are any that were not carried there.
async fn in_use(client: &Client) -> Result<Option<i64>, Error> {
    let row = client.query_one("SELECT q.state, h.position FROM fd_sequencer q, fd_head h", &[]).await?;
    let (state, newest): (Option<&str>, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok((newest > 0 && Standing::from_stored(state) != Standing::Filling).then_some(newest))
}

/// Marks a store that has no events as one that is being filled.
async fn mark(client: &mut Client, options: &Options) -> Result<(), NotFilled<OpenError>> {
    let tx = client.transaction().await.map_err(OpenError::from)?;
    let sql = "SELECT state FROM fd_sequencer FOR UPDATE";
    let state: Option<String> =
        tx.query_one(sql, &[]).await.and_then(|row| row.try_get(0)).map_err(OpenError::from)?;
    if Standing::from_stored(state.as_deref()) != Standing::Filling {
        let sql = "SELECT position FROM fd_head";
        let newest: i64 =
            tx.query_one(sql, &[]).await.and_then(|row| row.try_get(0)).map_err(OpenError::from)?;
        if newest > 0 {
            return Err(NotFilled::InUse(newest));
        }
        let filling = Standing::Filling.to_stored();
        // Whoever has it open is told by a new epoch that what comes is not for them.
        let epoch = Epoch::from_random(options.ids.random());
        let sql = "UPDATE fd_sequencer SET state = $1, epoch = $2";
        let marked = tx.execute(sql, &[&filling, &epoch.as_str()]).await;
        marked.map_err(OpenError::from)?;
    }
    tx.commit().await.map_err(OpenError::from)?;
    Ok(())
}

/// Goes on behind the last event.
async fn begun(store: &PostgresStore) -> Result<Walk, OpenError> {
    let failed = |error: StoreError| match error {
        StoreError::Corrupt(corruption) => OpenError::Damaged(corruption),
        other => OpenError::Storage(other.into()),
    };
    let head = store.head().await.map_err(failed)?.cursor.position();
    if head == Position::START {
        return Ok(Walk::from_start());
    }
    let page = store.read_log(&LogQuery::after(head.previous())).await.map_err(failed)?;
    Ok(page.events.last().map_or_else(Walk::from_start, Walk::behind))
}

impl Filler {
    /// Begins a transaction that has the store to itself, as long as it is still the one that is being filled.
    async fn begin(&mut self) -> Result<Transaction<'_>, FillError> {
        let tx = self.client.transaction().await.map_err(storage)?;
        tx.batch_execute("SET LOCAL flightdeck.appends TO yes; SET LOCAL statement_timeout TO 0")
            .await
            .map_err(storage)?;
        let row = tx.query_one("SELECT state FROM fd_sequencer FOR UPDATE", &[]).await.map_err(storage)?;
        let state: Option<&str> = row.try_get(0).map_err(storage)?;
        // In a statement of its own, which sees what was committed before the lock was given.
        let head = tx.query_one("SELECT hash FROM fd_head", &[]).await.map_err(storage)?;
        let hash: &[u8] = head.try_get(0).map_err(storage)?;
        if Standing::from_stored(state) != Standing::Filling || hash != self.walk.hash().as_bytes() {
            return Err(FillError::Storage("someone else has filled the store meanwhile".into()));
        }
        Ok(tx)
    }

    async fn add(&mut self, events: &[Recorded]) -> Result<(), FillError> {
        let mut walk = self.walk.clone();
        for event in events {
            walk.step(event)?;
        }
        if !walk.is_between_appends() {
            return Err(BrokenChain::Torn { position: walk.position() }.into());
        }
        let tx = self.begin().await?;
        let (streams, types) = numbers(&tx, events).await?;
        let columns = Columns::of(events, &streams, &types)?;
        columns.insert(&tx).await?;
        kill_point!("fill-insert");
        columns.streams(&tx, &streams).await?;
        kill_point!("fill-commit");
        tx.commit().await.map_err(storage)?;
        self.walk = walk;
        Ok(())
    }
}

/// A stream as it is before a batch.
struct Before {
    number: i64,
    version: i64,
}

/// The numbers of all streams and types of a batch: those they have, and new ones.
async fn numbers<'e>(
    tx: &Transaction<'_>,
    events: &'e [Recorded],
) -> Result<(HashMap<&'e str, Before>, HashMap<&'e str, i32>), FillError> {
    let names: BTreeSet<&str> = events.iter().map(|event| event.stream.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let sql = "SELECT n.name, st.stream, st.version, (SELECT coalesce(max(m.stream), 0) FROM fd_stream m)
               FROM unnest($1::text[]) n(name) LEFT JOIN fd_stream st ON st.name = n.name";
    let (mut streams, mut new) = (HashMap::new(), 0);
    for row in tx.query(sql, &[&names]).await.map_err(storage)? {
        let name: &str = row.try_get(0).map_err(storage)?;
        let Some(name) = names.iter().find(|own| **own == name) else { continue };
        let number: Option<i64> = row.try_get(1).map_err(storage)?;
        let version: Option<i64> = row.try_get(2).map_err(storage)?;
        let last: i64 = row.try_get(3).map_err(storage)?;
        new += i64::from(number.is_none());
        let number = number.unwrap_or(last + new);
        streams.insert(*name, Before { number, version: version.unwrap_or(0) });
    }
    let names: BTreeSet<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let sql = "INSERT INTO fd_type (type, name)
               SELECT (SELECT coalesce(max(m.type), 0) FROM fd_type m) + row_number() OVER (), n.name
               FROM unnest($1::text[]) n(name) WHERE NOT EXISTS (SELECT 1 FROM fd_type ty WHERE ty.name = n.name)";
    tx.execute(sql, &[&names]).await.map_err(storage)?;
    let mut types = HashMap::new();
    for row in
        tx.query("SELECT name, type FROM fd_type WHERE name = ANY ($1)", &[&names]).await.map_err(storage)?
    {
        let name: &str = row.try_get(0).map_err(storage)?;
        if let Some(name) = names.iter().find(|own| **own == name) {
            types.insert(*name, row.try_get(1).map_err(storage)?);
        }
    }
    Ok((streams, types))
}

/// A batch, column by column.
#[derive(Default)]
struct Columns<'e> {
    position: Vec<i64>,
    stream: Vec<i64>,
    version: Vec<i64>,
    recorded: Vec<i64>,
    occurred: Vec<Option<i64>>,
    id: Vec<Uuid>,
    event_type: Vec<i32>,
    schema: Vec<i32>,
    rest: Vec<i32>,
    checksum: Vec<Vec<u8>>,
    hash: Vec<&'e [u8]>,
    key: Vec<Option<&'e [u8]>>,
    actor: Vec<Option<&'e str>>,
    correlation: Vec<Option<&'e str>>,
    causation: Vec<Option<&'e str>>,
    tags: Vec<Option<String>>,
    tombstone: Vec<Option<&'e [u8]>>,
    further: Vec<Option<&'e [u8]>>,
    data: Vec<Option<&'e [u8]>>,
    tag: (Vec<&'e str>, Vec<i64>),
    /// Of each stream: name, last version, times of its first and last event in the batch.
    touched: HashMap<&'e str, (i64, i64, i64)>,
}

impl<'e> Columns<'e> {
    fn of(
        events: &'e [Recorded],
        streams: &HashMap<&str, Before>,
        types: &HashMap<&str, i32>,
    ) -> Result<Self, FillError> {
        let (mut columns, mut scratch) = (Self::default(), Vec::new());
        for event in events {
            let name = event.stream.as_str();
            let missing = || FillError::Storage("a name has no number".into());
            let before = streams.get(name).ok_or_else(missing)?;
            let recorded = event.recorded_at.micros();
            let (version, _, last) =
                columns.touched.entry(name).or_insert((before.version, recorded, recorded));
            *version += 1;
            *last = recorded;
            if *version != event.version.get() {
                return Err(FillError::Version {
                    position: event.position.get(),
                    stream: event.stream.clone(),
                    says: event.version.get(),
                    comes_to: *version,
                });
            }
            columns.position.push(event.position.get());
            columns.stream.push(before.number);
            columns.version.push(event.version.get());
            columns.recorded.push(recorded);
            columns.id.push(*event.id.uuid());
            columns.event_type.push(*types.get(event.event_type.as_str()).ok_or_else(missing)?);
            columns.schema.push(i32::try_from(event.schema.get()).unwrap_or(i32::MAX));
            let rest = event.append_end.get() - event.position.get();
            columns.rest.push(i32::try_from(rest).unwrap_or(i32::MAX));
            columns.checksum.push(digest_checksum(event, &mut scratch).to_vec());
            columns.hash.push(event.hash.as_bytes());
            columns.key.push(event.key.as_ref().map(|key| key.as_bytes().as_slice()));
            columns.rest_of(event);
        }
        Ok(columns)
    }

    fn rest_of(&mut self, event: &'e Recorded) {
        let metadata = &event.metadata;
        self.occurred.push(metadata.occurred.map(Timestamp::micros));
        self.actor.push(metadata.actor.as_ref().map(AsRef::as_ref));
        self.correlation.push(metadata.correlation.as_ref().map(AsRef::as_ref));
        self.causation.push(metadata.causation.as_ref().map(AsRef::as_ref));
        self.tags.push(tag_lines(&event.tags));
        self.further.push(metadata.further.as_ref().map(|further| further.as_json().as_bytes()));
        let (data, tombstone) = match &event.data {
            Data::Json(json) => (Some(json.as_bytes()), None),
            Data::Tombstone(hash) => (None, Some(hash.as_slice())),
        };
        self.data.push(data);
        self.tombstone.push(tombstone);
        for tag in &event.tags {
            self.tag.0.push(tag.as_str());
            self.tag.1.push(event.position.get());
        }
    }

    async fn insert(&self, tx: &Transaction<'_>) -> Result<(), FillError> {
        let sql = "INSERT INTO fd_log (position, stream, version, recorded, occurred, id, type, schema, append_rest, checksum, hash,
                     key, actor, correlation, causation, tags, tombstone, further, data)
                   SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::uuid[], $7::int[],
                     $8::int[], $9::int[], $10::bytea[], $11::bytea[], $12::bytea[], $13::text[], $14::text[], $15::text[],
                     $16::text[], $17::bytea[], $18::bytea[], $19::bytea[])";
        let values: [&(dyn ToSql + Sync); 19] = [
            &self.position,
            &self.stream,
            &self.version,
            &self.recorded,
            &self.occurred,
            &self.id,
            &self.event_type,
            &self.schema,
            &self.rest,
            &self.checksum,
            &self.hash,
            &self.key,
            &self.actor,
            &self.correlation,
            &self.causation,
            &self.tags,
            &self.tombstone,
            &self.further,
            &self.data,
        ];
        if let Err(error) = tx.execute(sql, &values).await {
            // Position and version were looked at: what is there already is an id.
            return Err(match error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
                true => FillError::IdKnown { position: self.position.first().copied().unwrap_or_default() },
                false => storage(error),
            });
        }
        let sql = "INSERT INTO fd_tag (tag, position) SELECT * FROM unnest($1::text[], $2::bigint[])";
        tx.execute(sql, &[&self.tag.0, &self.tag.1]).await.map_err(storage)?;
        Ok(())
    }

    /// Brings the streams of the batch to where their last events are.
    async fn streams(&self, tx: &Transaction<'_>, before: &HashMap<&str, Before>) -> Result<(), FillError> {
        let (mut numbers, mut names, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut created, mut updated) = (Vec::new(), Vec::new());
        for (name, (version, first, last)) in &self.touched {
            names.push(*name);
            numbers.push(before.get(name).map_or(0, |before| before.number));
            versions.push(*version);
            created.push(*first);
            updated.push(*last);
        }
        let sql = "INSERT INTO fd_stream (stream, name, version, created, updated, checksum)
                   SELECT n.stream, n.name, n.version, n.created, n.updated,
                     fd_stream_checksum(n.stream, n.version, n.created, n.updated, n.name)
                   FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
                     n(stream, name, version, created, updated)
                   ON CONFLICT (stream) DO UPDATE SET version = EXCLUDED.version, updated = EXCLUDED.updated,
                     checksum = fd_stream_checksum(EXCLUDED.stream, EXCLUDED.version, fd_stream.created, EXCLUDED.updated, EXCLUDED.name)";
        tx.execute(sql, &[&numbers, &names, &versions, &created, &updated]).await.map_err(storage)?;
        Ok(())
    }
}

#[async_trait]
impl Fill for PostgresFill {
    async fn head(&self) -> Result<Head, StoreError> {
        self.store.head().await
    }

    async fn add_events(&self, events: Vec<Recorded>) -> Result<(), FillError> {
        self.filler.lock().await.add(&events).await
    }

    async fn add_requests(&self, requests: Vec<KeptRequest>) -> Result<(), FillError> {
        let mut filler = self.filler.lock().await;
        let end = filler.walk.position();
        let (mut callers, mut keys, mut fingerprints) = (Vec::new(), Vec::new(), Vec::new());
        let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
        for request in &requests {
            if request.done.last() > end {
                let (caller, key) = (request.caller.clone(), request.key.clone());
                return Err(FillError::Request { caller, key });
            }
            callers.push(request.caller.as_str());
            keys.push(request.key.as_str());
            fingerprints.push(request.fingerprint.as_slice());
            let (first, last) = match request.done {
                Done::Events(first, last) => (first.get(), last.get()),
                Done::Nothing(at) => (at.get() + 1, at.get()),
            };
            firsts.push(first);
            lasts.push(last);
        }
        let tx = filler.begin().await?;
        let sql = "INSERT INTO fd_request (caller, key, fingerprint, first, last, checksum)
                   SELECT n.caller, n.key, n.fingerprint, n.first, n.last,
                     fd_request_checksum(n.caller, n.key, n.fingerprint, n.first, n.last)
                   FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[])
                     n(caller, key, fingerprint, first, last) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[&callers, &keys, &fingerprints, &firsts, &lasts]).await.map_err(storage)?;
        kill_point!("fill-commit");
        tx.commit().await.map_err(storage)
    }

    async fn add_snapshots(&self, snapshots: Vec<KeptSnapshot>) -> Result<(), FillError> {
        for KeptSnapshot { stream, snapshot } in snapshots {
            self.store.keep_snapshot(&stream, &snapshot).await?;
        }
        Ok(())
    }

    async fn verify(&self, watcher: &dyn Watcher) -> Result<Verified, StoreError> {
        self.store.check_all(watcher).await
    }

    async fn finish(&self, epoch: Option<Epoch>, secret: Secret) -> Result<Head, FillError> {
        let epoch = epoch.unwrap_or_else(|| Epoch::from_random(self.options.ids.random()));
        let mut filler = self.filler.lock().await;
        let tx = filler.begin().await?;
        tx.execute("UPDATE fd_secret SET secret = $1", &[&secret.bytes().as_slice()])
            .await
            .map_err(storage)?;
        let sql = "UPDATE fd_sequencer SET state = NULL, epoch = $1";
        tx.execute(sql, &[&epoch.as_str()]).await.map_err(storage)?;
        kill_point!("fill-finish");
        tx.commit().await.map_err(storage)?;
        drop(filler);
        Ok(self.store.head().await?)
    }
}
