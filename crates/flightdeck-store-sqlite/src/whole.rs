//! The store as a whole: what lies beside the log, and whether the log is still here.

use std::path::Path;

use async_trait::async_trait;
use flightdeck_core::Epoch;
use flightdeck_core::{SchemaNumber, StreamId};
use flightdeck_store::admit::Remembered;
use flightdeck_store::migrate::Access;
use flightdeck_store::{
    Head, KeptRequest, KeptSnapshot, Limit, RequestKey, Standing, StoreError, Verified, Watcher, Whole,
};
use rusqlite::Connection;

use crate::connection::Reading;
use crate::names::Names;
use crate::open::{At, OpenError, begin_epoch, hold, settle};
use crate::options::Options;
use crate::row::Damage;
use crate::store::SqliteStore;
use crate::{ledger, migrate, reader, snapshots};

/// Snapshots that one look brings: each may be of 4 MiB.
const SNAPSHOTS: i64 = 8;

#[async_trait]
impl Whole for SqliteStore {
    async fn requests(
        &self,
        after: Option<(String, String)>,
        limit: Limit,
    ) -> Result<Vec<KeptRequest>, StoreError> {
        self.read(move |conn, _| requests(conn, after, limit)).await
    }

    async fn snapshots(&self, after: Option<StreamId>) -> Result<Vec<KeptSnapshot>, StoreError> {
        self.read(move |conn, _| kept_snapshots(conn, after)).await
    }

    async fn verify_watched(&self, watcher: &dyn Watcher) -> Result<Verified, StoreError> {
        self.check_all(watcher).await
    }
}

fn requests(
    conn: &Connection,
    after: Option<(String, String)>,
    limit: Limit,
) -> Result<Vec<KeptRequest>, Damage> {
    let (caller, key) = after.unwrap_or_default();
    let sql = "SELECT caller, key, fingerprint FROM fd_request WHERE (caller, key) > (?1, ?2) ORDER BY caller, key LIMIT ?3";
    let mut statement = conn.prepare_cached(sql)?;
    let limit = i64::try_from(limit.get()).unwrap_or(i64::MAX);
    let mut rows = statement.query((caller, key, limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (caller, key): (String, String) = (row.get(0)?, row.get(1)?);
        let damaged = |_| Damage::new(format!("what is remembered of request {key} of {caller} is damaged"));
        let request = RequestKey::new(&caller, &key, row.get(2)?).map_err(damaged)?;
        let Some(Remembered { fingerprint, done }) = ledger::remembered(conn, &request)? else { continue };
        found.push(KeptRequest { caller, key, fingerprint, done });
    }
    Ok(found)
}

fn kept_snapshots(conn: &Connection, after: Option<StreamId>) -> Result<Vec<KeptSnapshot>, Damage> {
    let sql = "SELECT f.name, s.schema FROM fd_stream f JOIN fd_snapshot s USING (stream)
               WHERE f.name > ?1 ORDER BY f.name LIMIT ?2";
    let mut after = after.map_or_else(String::new, |after| after.to_string());
    loop {
        let mut statement = conn.prepare_cached(sql)?;
        let names = statement.query_map((&after, SNAPSHOTS), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let names = names.collect::<Result<Vec<(String, u32)>, _>>()?;
        let Some((last, _)) = names.last() else { return Ok(Vec::new()) };
        after.clone_from(last);
        let mut found = Vec::new();
        for (name, schema) in names {
            let (Ok(stream), Ok(schema)) = (StreamId::new(&name), SchemaNumber::new(schema)) else {
                continue;
            };
            if let Some(snapshot) = snapshots::find(conn, &stream, schema)? {
                found.push(KeptSnapshot { stream, snapshot });
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
}

impl SqliteStore {
    /// Seals the store at `path`: its log has moved elsewhere, and is only read here. Returns the head that it ends at. Sealing what is
    /// sealed for the same place changes nothing.
    ///
    /// # Errors
    /// See [`OpenError`]; a store that is in use is not sealed.
    pub fn seal_off(path: impl AsRef<Path>, options: &Options, to: &str) -> Result<Head, OpenError> {
        let standing = Standing::Moved { to: to.to_owned() };
        if let Ok(store) = Self::open_reading(path.as_ref(), options.clone(), Access::Read, Reading::Shared)
            && store.look(|conn, _| Ok(migrate::standing(conn)?)).is_ok_and(|now| now == standing)
        {
            return store.look(reader::head).map_err(|damage| At(path.as_ref()).damage(damage));
        }
        let held = hold(path.as_ref(), options, Access::Write)?;
        let at = At(&held.path);
        settle(&held.conn, options).map_err(|damage| at.damage(damage))?;
        migrate::set_standing(&held.conn, &standing).map_err(|error| at.sql(error))?;
        let head = reader::head(&held.conn, &Names::default()).map_err(|damage| at.damage(damage))?;
        drop(held.conn);
        drop(held.lock);
        Ok(head)
    }

    /// Takes the seal off again, for a move that was given up. A new epoch begins: the log may have gone on elsewhere. `false`: there
    /// was none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn take_seal_off(path: impl AsRef<Path>, options: &Options) -> Result<bool, OpenError> {
        // What is not there is not made.
        path.as_ref().metadata().map_err(At(path.as_ref()).io())?;
        let held = hold(path.as_ref(), options, Access::Read)?;
        let at = At(&held.path);
        let unsealed = || -> rusqlite::Result<bool> {
            let tx = held.conn.unchecked_transaction()?;
            let sealed = matches!(migrate::standing(&tx)?, Standing::Moved { .. });
            if sealed {
                begin_epoch(&tx, &Epoch::from_random(options.ids.random()))?;
                migrate::set_standing(&tx, &Standing::Live)?;
            }
            tx.commit()?;
            Ok(sealed)
        };
        let unsealed = unsealed().map_err(|error| at.sql(error))?;
        drop(held.conn);
        drop(held.lock);
        Ok(unsealed)
    }
}
