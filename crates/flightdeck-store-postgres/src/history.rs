//! Whether the log is still the one that this node knows: a failover may have lost what was acknowledged, and given its
//! positions to other events. (DESIGN: a cursor is only good in its own epoch.)
//!
//! A node remembers the newest hash that it saw. Every new connection is asked whether that hash still stands where it
//! stood, and whether the cluster is still on the timeline that the log was settled on. When nobody can vouch for
//! the log, a new epoch begins, and every reader is told instead of being shown another history.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flightdeck_core::{Cursor, Epoch, Position};
use flightdeck_store::chain::Hash;
use tokio::sync::watch;
use tokio_postgres::{Client, Error, Row};

use crate::names::Names;

/// What this node has seen of the log.
pub(crate) struct History {
    seen: Mutex<Option<Seen>>,
    head: watch::Sender<Position>,
    names: Arc<Names>,
    /// Whether this node may decide that a new epoch begins. Who only reads leaves that to those who write.
    settles: bool,
}

/// The newest place of the log that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) epoch: Epoch,
    pub(crate) position: Position,
    pub(crate) hash: Hash,
}

impl History {
    pub(crate) fn new(names: Arc<Names>, settles: bool) -> Self {
        Self { seen: Mutex::new(None), head: watch::Sender::new(Position::START), names, settles }
    }

    /// Something that changes soon after the head did.
    pub(crate) fn watch(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// The epoch that was seen last.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.seen().as_ref().map(|seen| seen.epoch.clone())
    }

    /// The newest event that was seen.
    pub(crate) fn newest(&self) -> Option<Seen> {
        self.seen().clone()
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a head that was read or made, with its hash.
    pub(crate) fn saw(&self, epoch: &Epoch, position: Position, hash: Hash) {
        let mut seen = self.seen();
        match &*seen {
            Some(before) if before.epoch == *epoch && before.position >= position => return,
            Some(before) if before.epoch != *epoch => self.names.forget(),
            _ => {}
        }
        let another = seen.as_ref().is_some_and(|before| before.epoch != *epoch);
        *seen = Some(Seen { epoch: epoch.clone(), position, hash });
        // In a new epoch the head may be further back, and whoever waits has to look. Who was woken by a hint is not woken
        // again by what they read themselves.
        self.head.send_if_modified(|head| {
            let news = another || position > *head;
            if news {
                *head = position;
            }
            news
        });
    }

    /// Takes in a hint: it wakes whoever waits, and is not remembered, for it has no hash.
    pub(crate) fn hint(&self, cursor: &Cursor) {
        let known = self.epoch().is_none_or(|epoch| epoch == *cursor.epoch());
        self.head.send_if_modified(|head| {
            let newer = !known || cursor.position() > *head;
            if newer {
                *head = cursor.position();
            }
            newer
        });
    }

    /// Reads the head, and settles first whether the log is still the one that is known. Asked on every new connection.
    pub(crate) async fn check(&self, client: &Client) -> Result<(), Error> {
        let before = self.newest();
        let position = before.as_ref().map_or(0, |seen| seen.position.get());
        let sql = "SELECT h.epoch, h.position, h.hash, (SELECT l.hash FROM fd_log l WHERE l.position = $1),
                     fd_history() IS NOT DISTINCT FROM (SELECT m.value FROM fd_meta m WHERE m.name = 'history')
                   FROM fd_head h";
        let row = client.query_one(sql, &[&position]).await?;
        let settled: bool = row.try_get(4)?;
        let vouched = match &before {
            Some(seen) if seen.epoch.as_str() == row.try_get::<_, &str>(0)? => {
                let stands: Option<&[u8]> = row.try_get(3)?;
                seen.position == Position::START || stands == Some(seen.hash.as_bytes().as_slice())
            }
            _ => true,
        };
        if settled && vouched || !self.settles {
            self.take(&row)?;
            return Ok(());
        }
        let (epoch, hash) = match &before {
            Some(seen) => (Some(seen.epoch.as_str()), Some(seen.hash.as_bytes().as_slice())),
            None => (None, None),
        };
        let now: String = client
            .query_one("SELECT fd_settle($1, $2, $3)", &[&epoch, &position, &hash])
            .await?
            .try_get(0)?;
        // Numbers that were given to names since may be given to others, also within an epoch that someone vouched for.
        self.names.forget();
        if epoch.is_some_and(|epoch| epoch != now) {
            tracing::error!(%now, "the database is not the one that this node knew: a new epoch begins");
        }
        let row = client.query_one("SELECT epoch, position, hash FROM fd_head", &[]).await?;
        self.take(&row)
    }

    /// Takes in a row of epoch, position and hash.
    pub(crate) fn take(&self, row: &Row) -> Result<(), Error> {
        let hash: &[u8] = row.try_get(2)?;
        let read = (
            Epoch::new(row.try_get::<_, &str>(0)?),
            Position::new(row.try_get(1)?),
            <[u8; 32]>::try_from(hash).map(Hash::from_bytes),
        );
        // What can't be a head is damage, which whoever reads it properly is told of.
        if let (Ok(epoch), Ok(position), Ok(hash)) = read {
            self.saw(&epoch, position, hash);
        }
        Ok(())
    }
}
