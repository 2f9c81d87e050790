//! The store as a whole: what lies beside the log, and whether the log is still here.

use async_trait::async_trait;
use bytes::Bytes;
use flightdeck_core::{Cursor, Epoch, Position, SchemaNumber, StreamId, Version};
use flightdeck_store::admit::Done;
use flightdeck_store::chain::Hash;
use flightdeck_store::migrate::Access;
use flightdeck_store::{
    Head, KeptRequest, KeptSnapshot, Limit, Snapshot, Standing, StoreError, Verified, Watcher, Whole,
};
use tokio_postgres::{Client, Error};

use crate::connection::Session;
use crate::open::{Dialing, OpenError};
use crate::options::Options;
use crate::row::Damage;
use crate::snapshots::checksum;
use crate::store::{PostgresStore, to_error};

/// Snapshots that one look brings: each may be of 4 MiB.
const SNAPSHOTS: i64 = 8;

#[async_trait]
impl Whole for PostgresStore {
    async fn requests(
        &self,
        after: Option<(String, String)>,
        limit: Limit,
    ) -> Result<Vec<KeptRequest>, StoreError> {
        requests(&self.session().await?, after, limit).await.map_err(to_error)
    }

    async fn snapshots(&self, after: Option<StreamId>) -> Result<Vec<KeptSnapshot>, StoreError> {
        kept_snapshots(&self.session().await?, after).await.map_err(to_error)
    }

    async fn verify_watched(&self, watcher: &dyn Watcher) -> Result<Verified, StoreError> {
        self.check_all(watcher).await
    }
}

async fn requests(
    session: &Session,
    after: Option<(String, String)>,
    limit: Limit,
) -> Result<Vec<KeptRequest>, Damage> {
    let (caller, key) = after.unwrap_or_default();
    let sql = "SELECT r.caller, r.key, r.fingerprint, r.first, r.last FROM fd_request r WHERE (r.caller, r.key) > ($1, $2)
                 AND fd_require(r.checksum = fd_request_checksum(r.caller, r.key, r.fingerprint, r.first, r.last),
                 'what is remembered of request ' || r.key || ' of ' || r.caller)
               ORDER BY r.caller, r.key LIMIT $3";
    let limit = i64::try_from(limit.get()).unwrap_or(i64::MAX);
    let rows = session.query(sql, &[&caller, &key, &limit]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let (caller, key): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let damaged = || Damage::new(format!("what is remembered of request {key} of {caller} is damaged"));
        let position = |number: i64| Position::new(number).map_err(|_| damaged());
        let (first, last): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
        let done = match first > last {
            true => Done::Nothing(position(last)?),
            false => Done::Events(position(first)?, position(last)?),
        };
        let fingerprint = row.try_get::<_, &[u8]>(2)?.try_into().map_err(|_| damaged())?;
        found.push(KeptRequest { caller, key, fingerprint, done });
    }
    Ok(found)
}

async fn kept_snapshots(session: &Session, after: Option<StreamId>) -> Result<Vec<KeptSnapshot>, Damage> {
    let sql = "SELECT st.name, s.version, s.schema, s.checksum, s.state FROM fd_stream st JOIN fd_snapshot s USING (stream)
               WHERE st.name > $1 ORDER BY st.name LIMIT $2";
    let mut after = after.map_or_else(String::new, |after| after.to_string());
    loop {
        let rows = session.query(sql, &[&after, &SNAPSHOTS]).await?;
        let mut found = Vec::new();
        for row in &rows {
            after = row.try_get(0)?;
            let schema = u32::try_from(row.try_get::<_, i32>(2)?).unwrap_or(0);
            let read = (StreamId::new(&after), Version::new(row.try_get(1)?), SchemaNumber::new(schema));
            let (Ok(stream), Ok(version), Ok(schema)) = read else { continue };
            let snapshot = Snapshot { version, schema, state: Bytes::copy_from_slice(row.try_get(4)?) };
            if checksum(&stream, &snapshot) == row.try_get::<_, i64>(3)? {
                found.push(KeptSnapshot { stream, snapshot });
            }
        }
        if rows.is_empty() || !found.is_empty() {
            return Ok(found);
        }
    }
}

/// What the store is, as a whole.
pub(crate) async fn standing(client: &Client) -> Result<Standing, Error> {
    let row = client.query_one("SELECT state FROM fd_sequencer", &[]).await?;
    Ok(Standing::from_stored(row.try_get(0)?))
}

impl PostgresStore {
    /// Seals the store behind `url`: its log has moved elsewhere, and is only read here, on every node. Returns the head that it ends
    /// at. Sealing what is sealed for the same place changes nothing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn seal_off(url: &str, options: &Options, to: &str) -> Result<Head, OpenError> {
        let dialing = Dialing::new(url, options)?;
        let client = dialing.ready(Access::Read).await?;
        let state = Standing::Moved { to: to.to_owned() }.to_stored();
        // Whoever appends just now is let through first: this waits for the same row.
        let sql = "UPDATE fd_sequencer SET state = $1 WHERE state IS NULL OR state = $1";
        if client.execute(sql, &[&state]).await? == 0 {
            let moved = standing(&client).await?;
            Access::Write.check(moved)?;
        }
        let row = client.query_one("SELECT epoch, position, hash FROM fd_head", &[]).await?;
        let damaged = || Damage::new("the head is damaged");
        let head = || {
            let epoch = Epoch::new(row.try_get::<_, &str>(0)?).map_err(|_| damaged())?;
            let position = Position::new(row.try_get(1)?).map_err(|_| damaged())?;
            let hash = row.try_get::<_, &[u8]>(2)?.try_into().map_err(|_| damaged())?;
            Ok(Head { cursor: Cursor::new(epoch, position), hash: Hash::from_bytes(hash) })
        };
        head().map_err(|damage| match damage {
            Damage::Corrupt(corruption) => corruption.into(),
            Damage::Sql(error) => error.into(),
            Damage::Unreachable(error) => OpenError::Unreachable(error),
        })
    }

    /// Takes the seal off again, for a move that was given up. A new epoch begins: the log may have gone on elsewhere. `false`: there
    /// was none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn take_seal_off(url: &str, options: &Options) -> Result<bool, OpenError> {
        let client = Dialing::new(url, options)?.ready(Access::Read).await?;
        let epoch = Epoch::from_random(options.ids.random());
        let sql = "UPDATE fd_sequencer SET state = NULL, epoch = $1 WHERE state LIKE 'moved %'";
        Ok(client.execute(sql, &[&epoch.as_str()]).await? > 0)
    }
}
