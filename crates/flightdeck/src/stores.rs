//! Opening whichever store is meant, for what is to be done with it.

use std::sync::Arc;

use flightdeck_store::{EventStore, Fill, Whole};
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

/// The store, to carry a log into it.
pub(crate) async fn fill(settings: &Settings) -> Result<Box<dyn Fill>, Failure> {
    Ok(match &settings.store.value {
        Target::Sqlite(path) => Box::new(SqliteStore::fill(path, sqlite_options(settings))?),
        Target::Postgres(url) => Box::new(PostgresStore::fill(url, postgres_options(settings)).await?),
    })
}
