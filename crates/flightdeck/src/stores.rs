//! Opening whichever store is meant, for what is to be done with it.

use std::sync::Arc;

use flightdeck_store::chain::Hash;
use flightdeck_store::{EventStore, Fill, Head, NotFilled, Whole};
use flightdeck_store_postgres::{Listen, PostgresStore};
use flightdeck_store_sqlite::SqliteStore;

use crate::exit::Failure;
use crate::settings::Settings;
use crate::target::Target;

pub(crate) fn sqlite_options(settings: &Settings) -> flightdeck_store_sqlite::Options {
    flightdeck_store_sqlite::Options {
        // Another command takes a moment; a server holds a file for ever.
        lock_wait: std::time::Duration::from_secs(3),
        allow_network_file_system: settings.allow_network_file_system.value,
        ..flightdeck_store_sqlite::Options::default()
    }
}

pub(crate) fn postgres_options(settings: &Settings) -> flightdeck_store_postgres::Options {
    flightdeck_store_postgres::Options {
        listen: settings.notify_url.value.clone().map_or(Listen::Same, Listen::Url),
        allow_unsafe_durability: settings.allow_unsafe_durability.value,
        ..flightdeck_store_postgres::Options::default()
    }
}

/// The store, to read it; it must be there.
pub(crate) async fn read(settings: &Settings) -> Result<Arc<dyn Whole>, Failure> {
    Ok(match &settings.store.value {
        Target::Sqlite(path) => Arc::new(SqliteStore::open_read_only(path, sqlite_options(settings))?),
        Target::Postgres(url) => {
            Arc::new(PostgresStore::open_read_only(url, postgres_options(settings)).await?)
        }
    })
}

/// A store that is written.
pub(crate) enum Writing {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Writing {
    /// The store, to append to it. It is made when there is none.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failure> {
        Ok(match &settings.store.value {
            Target::Sqlite(path) => Self::Sqlite(SqliteStore::open(path, sqlite_options(settings))?),
            Target::Postgres(url) => {
                Self::Postgres(PostgresStore::open(url, postgres_options(settings)).await?)
            }
        })
    }

    pub(crate) fn store(&self) -> &dyn EventStore {
        match self {
            Self::Sqlite(store) => store,
            Self::Postgres(store) => store,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// A store that a log is carried into.
pub(crate) enum Filling {
    /// It is being filled.
    Begun(Box<dyn Fill>),
    /// The log is there, whole and in use: an earlier run came to its end, and nobody saw it. Its head, and how many events it has.
    Done(Head, u64),
}

/// The store, to carry a log into it that ends with that hash.
pub(crate) async fn fill(settings: &Settings, ends: Hash) -> Result<Filling, Failure> {
    let (in_use, refused) = match &settings.store.value {
        Target::Sqlite(path) => match SqliteStore::fill(path, sqlite_options(settings)) {
            Ok(fill) => return Ok(Filling::Begun(Box::new(fill))),
            Err(error) => (matches!(error, NotFilled::InUse(_)), Failure::from(error)),
        },
        Target::Postgres(url) => match Box::pin(PostgresStore::fill(url, postgres_options(settings))).await {
            Ok(fill) => return Ok(Filling::Begun(Box::new(fill))),
            Err(error) => (matches!(error, NotFilled::InUse(_)), Failure::from(error)),
        },
    };
    if in_use && let Some(head) = is_there(settings, ends).await? {
        let events = u64::try_from(head.cursor.position().get()).unwrap_or(0);
        return Ok(Filling::Done(head, events));
    }
    Err(refused)
}

/// The head of the store, if it ends with that hash.
async fn is_there(settings: &Settings, ends: Hash) -> Result<Option<Head>, Failure> {
    let head = read(settings).await?.head().await?;
    Ok(Some(head).filter(|head| head.hash == ends))
}
