//! Filling a store with a log that is carried there: events with their places, times and hashes as they are.
//!
//! The store is marked as being filled before anything is in it, and the mark goes with the last step; what was interrupted
//! goes on where it stands. Nothing is believed: every event must follow the one before by position, version and hash.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flightdeck_core::{Epoch, StreamId, Timestamp, Version};
use flightdeck_store::chain::{BrokenChain, Place, Walk, checksum};
use flightdeck_store::migrate::Access;
use flightdeck_store::stored::tag_lines;
use flightdeck_store::{
    Data, EventStore as _, Fill, FillError, Head, KeptRequest, KeptSnapshot, NotFilled, Recorded, RequestKey,
    Secret, Standing, StoreError, Verified, Watcher,
};
use rusqlite::{Connection, ErrorCode, params};

use crate::connection::Reading;
use crate::fault::kill_point;
use crate::lock::Lock;
use crate::names::Names;
use crate::open::{At, Held, OpenError, begin_epoch, hold, settle};
use crate::options::Options;
use crate::row::{Damage, Rows, select_events};
use crate::store::SqliteStore;
use crate::streams;
use crate::{ledger, migrate, reader, snapshots, wal};

/// A store that is being filled, and that nobody else has open meanwhile.
pub struct SqliteFill {
    store: SqliteStore,
    filler: Arc<Mutex<Filler>>,
    options: Options,
}

/// The connection that writes, and how far it has come.
struct Filler {
    conn: Connection,
    walk: Walk,
    scratch: Vec<u8>,
    _lock: Lock,
}

impl std::fmt::Debug for SqliteFill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteFill").field("store", &self.store).finish_non_exhaustive()
    }
}

fn storage(error: rusqlite::Error) -> FillError {
    FillError::Storage(error.into())
}

fn damage(damage: Damage) -> FillError {
    match damage {
        Damage::Corrupt(corruption) => FillError::Store(corruption.into()),
        Damage::Sql(error) => storage(error),
    }
}

impl SqliteStore {
    /// Opens the store at `path` to carry a log into it: one that has no events, or that was not filled to its end.
    ///
    /// # Errors
    /// See [`NotFilled`].
    pub fn fill(path: impl AsRef<Path>, options: Options) -> Result<SqliteFill, NotFilled<OpenError>> {
        // What is in use is left as it is, to the byte.
        if path.as_ref().exists() {
            match Self::open_reading(path.as_ref(), options.clone(), Access::Fill, Reading::Shared) {
                Ok(store) => {
                    let newest = store
                        .look(|conn, _| in_use(conn))
                        .map_err(|damage| At(path.as_ref()).damage(damage))?;
                    newest.map_or(Ok(()), |newest| Err(NotFilled::InUse(newest)))?;
                }
                Err(OpenError::NotMigrated { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Held { path, lock, mut conn } = hold(path.as_ref(), &options, Access::Fill)?;
        let at = At(&path);
        migrate::run(&mut conn, flightdeck_migrations::SQLITE, options.clock.now())
            .map_err(OpenError::from)?;
        if let Some(newest) = in_use(&conn).map_err(|damage| at.damage(damage))? {
            return Err(NotFilled::InUse(newest));
        }
        if migrate::standing(&conn).map_err(|error| at.sql(error))? != Standing::Filling {
            // Whoever has it open is told by a new epoch that what comes is not for them.
            let marked = || {
                let tx = conn.unchecked_transaction()?;
                begin_epoch(&tx, &Epoch::from_random(options.ids.random()))?;
                migrate::set_standing(&tx, &Standing::Filling)?;
                tx.commit()
            };
            marked().map_err(|error| at.sql(error))?;
        }
        settle(&conn, &options).map_err(|damage| at.damage(damage))?;
        let walk = begun(&conn).map_err(|damage| at.damage(damage))?;
        wal::take_over(&conn);
        let store = Self::open_reading(&path, options.clone(), Access::Fill, Reading::Shared)?;
        let filler = Filler { conn, walk, scratch: Vec::new(), _lock: lock };
        Ok(SqliteFill { store, filler: Arc::new(Mutex::new(filler)), options })
    }
}

/// How many events are in the way, if there are any that were not carried there.
fn in_use(conn: &Connection) -> Result<Option<i64>, Damage> {
    let newest = reader::newest(conn)?.get();
    Ok((newest > 0 && migrate::standing(conn)? != Standing::Filling).then_some(newest))
}

/// Goes on behind the last event.
fn begun(conn: &Connection) -> Result<Walk, Damage> {
    let names = Names::default();
    let mut statement = conn.prepare(select_events!("ORDER BY position DESC LIMIT 1"))?;
    let mut rows = statement.query([])?;
    Ok(match rows.next()? {
        Some(row) => Walk::behind(&Rows::new(conn, &names).event(row)?),
        None => Walk::from_start(),
    })
}

impl SqliteFill {
    /// Does something on the connection that writes, in one transaction.
    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Filler) -> Result<T, FillError> + Send + 'static,
    ) -> Result<T, FillError> {
        let filler = Arc::clone(&self.filler);
        let written = tokio::task::spawn_blocking(move || {
            let mut filler = filler.lock().unwrap_or_else(PoisonError::into_inner);
            let walk = filler.walk.clone();
            filler.conn.execute_batch("BEGIN IMMEDIATE").map_err(storage)?;
            let written = write(&mut filler).and_then(|written| {
                kill_point!("fill-commit");
                filler.conn.execute_batch("COMMIT").map_err(storage)?;
                Ok(written)
            });
            if written.is_err() {
                filler.walk = walk;
                if !filler.conn.is_autocommit() {
                    filler.conn.execute_batch("ROLLBACK").map_err(storage)?;
                }
            } else if wal::pages() >= wal::CHECKPOINT_PAGES {
                wal::checkpoint(&filler.conn).map_err(storage)?;
            }
            written
        });
        written.await.map_err(|error| FillError::Storage(error.into()))?
    }
}

#[async_trait]
impl Fill for SqliteFill {
    async fn head(&self) -> Result<Head, StoreError> {
        self.store.head().await
    }

    async fn add_events(&self, events: Vec<Recorded>) -> Result<(), FillError> {
        self.write(move |filler| filler.add(&events)).await
    }

    async fn add_requests(&self, requests: Vec<KeptRequest>) -> Result<(), FillError> {
        self.write(move |filler| {
            for KeptRequest { caller, key, fingerprint, done } in requests {
                let wrong = |caller: &str, key: &str| FillError::Request {
                    caller: caller.to_owned(),
                    key: key.to_owned(),
                };
                if done.last() > filler.walk.position() {
                    return Err(wrong(&caller, &key));
                }
                let request =
                    RequestKey::new(&caller, &key, fingerprint).map_err(|_| wrong(&caller, &key))?;
                if ledger::remembered(&filler.conn, &request).map_err(damage)?.is_none() {
                    ledger::remember(&filler.conn, &request, done).map_err(storage)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn add_snapshots(&self, snapshots: Vec<KeptSnapshot>) -> Result<(), FillError> {
        self.write(move |filler| {
            for KeptSnapshot { stream, snapshot } in snapshots {
                snapshots::save(&filler.conn, &stream, &snapshot).map_err(storage)?;
            }
            Ok(())
        })
        .await
    }

    async fn verify(&self, watcher: &dyn Watcher) -> Result<Verified, StoreError> {
        self.store.check_all(watcher).await
    }

    async fn finish(&self, epoch: Option<Epoch>, secret: Secret) -> Result<Head, FillError> {
        let epoch = epoch.unwrap_or_else(|| Epoch::from_random(self.options.ids.random()));
        self.write(move |filler| {
            let conn = &filler.conn;
            begin_epoch(conn, &epoch).map_err(storage)?;
            let sql = "UPDATE fd_meta SET value = ?1 WHERE name = 'secret'";
            conn.execute(sql, [secret.bytes().as_slice()]).map_err(storage)?;
            migrate::set_standing(conn, &Standing::Live).map_err(storage)?;
            kill_point!("fill-finish");
            Ok(())
        })
        .await?;
        Ok(self.store.head().await?)
    }
}

impl Filler {
    /// Writes the next events, each checked against the one before.
    fn add(&mut self, events: &[Recorded]) -> Result<(), FillError> {
        let mut touched: HashMap<&StreamId, Touched> = HashMap::new();
        for event in events {
            self.walk.step(event)?;
            let touched = match touched.entry(&event.stream) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    let row = streams::find(&self.conn, &event.stream).map_err(damage)?;
                    let number = match row {
                        Some(row) => row.number,
                        None => {
                            streams::insert(&self.conn, &event.stream, &place(event)).map_err(damage)?.number
                        }
                    };
                    let version = row.map(|row| row.version);
                    entry.insert(Touched { number, version, last: place(event) })
                }
            };
            let comes_to = Version::after(touched.version);
            if event.version != comes_to {
                return Err(FillError::Version {
                    position: event.position.get(),
                    stream: event.stream.clone(),
                    says: event.version.get(),
                    comes_to: comes_to.get(),
                });
            }
            touched.version = Some(event.version);
            touched.last = place(event);
            let number = touched.number;
            self.insert(event, number)?;
            kill_point!("fill-insert");
        }
        if !self.walk.is_between_appends() {
            return Err(BrokenChain::Torn { position: self.walk.position() }.into());
        }
        for (stream, Touched { last, .. }) in touched {
            let Some(row) = streams::find(&self.conn, stream).map_err(damage)? else { continue };
            if row.version < last.version {
                streams::update(&self.conn, stream, row, &last).map_err(damage)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, event: &Recorded, stream: i64) -> Result<(), FillError> {
        let event_type = ledger::type_number(&self.conn, &event.event_type).map_err(storage)?;
        let metadata = &event.metadata;
        let (data, tombstone) = match &event.data {
            Data::Json(json) => (Some(json.as_bytes()), None),
            Data::Tombstone(hash) => (None, Some(hash.as_slice())),
        };
        let sql = "INSERT OR FAIL INTO fd_log (position, stream, version, type, schema, recorded, append_rest, id, key, actor,
                     correlation, causation, occurred, tags, checksum, hash, tombstone, further, data)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
        let inserted = self.conn.prepare_cached(sql).and_then(|mut insert| {
            insert.execute(params![
                event.position.get(),
                stream,
                event.version.get(),
                event_type,
                event.schema.get(),
                event.recorded_at.micros(),
                event.append_end.get() - event.position.get(),
                event.id.as_bytes(),
                event.key.as_ref().map(|key| key.as_bytes()),
                metadata.actor.as_ref().map(AsRef::<str>::as_ref),
                metadata.correlation.as_ref().map(AsRef::<str>::as_ref),
                metadata.causation.as_ref().map(AsRef::<str>::as_ref),
                metadata.occurred.map(Timestamp::micros),
                tag_lines(&event.tags),
                checksum(event, &mut self.scratch).cast_signed(),
                event.hash.as_bytes(),
                tombstone,
                metadata.further.as_ref().map(|further| further.as_json().as_bytes()),
                data,
            ])
        });
        match inserted {
            Ok(_) => {}
            // Position and version were looked at: what is there already is the id.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                return Err(FillError::IdKnown { position: event.position.get() });
            }
            Err(error) => return Err(storage(error)),
        }
        let tagged = self.conn.prepare_cached("INSERT OR FAIL INTO fd_tag (tag, position) VALUES (?1, ?2)");
        let mut tagged = tagged.map_err(storage)?;
        for tag in &event.tags {
            tagged.execute(params![tag.as_str(), event.position.get()]).map_err(storage)?;
        }
        Ok(())
    }
}

/// A stream that a batch has events of.
struct Touched {
    number: i64,
    version: Option<Version>,
    last: Place,
}

fn place(event: &Recorded) -> Place {
    Place {
        position: event.position,
        version: event.version,
        recorded_at: event.recorded_at,
        append_end: event.append_end,
    }
}
