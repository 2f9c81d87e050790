//! Opening whichever store is meant, for what is to be done with it.

use std::sync::Arc;

use flightdeck_core::Epoch;
use flightdeck_server::StoreFacts;
use flightdeck_store::chain::Hash;
use flightdeck_store::view::ViewStore;
use flightdeck_store::{EventStore, Fill, Head, NotFilled, StoreError, Whole};
use flightdeck_store_postgres::{Listen, PostgresStore};
use flightdeck_store_sqlite::SqliteStore;
use futures_util::future::BoxFuture;

use crate::exit::{Failure, REFUSED};
use crate::eyes::Bar;
use crate::remote::Remote;
use crate::settings::Settings;
use crate::target::Target;
use crate::verify;

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

/// The store and its views, to read them.
pub(crate) async fn read_views(
    settings: &Settings,
) -> Result<(Arc<dyn EventStore>, Arc<dyn ViewStore>), Failure> {
    Ok(match &settings.store.value {
        Target::Sqlite(path) => both(SqliteStore::open_read_only(path, sqlite_options(settings))?),
        Target::Postgres(url) => both(PostgresStore::open_read_only(url, postgres_options(settings)).await?),
    })
}

/// A store is both: what keeps the log, and what keeps the views.
fn both<S: EventStore + ViewStore + Clone>(store: S) -> (Arc<dyn EventStore>, Arc<dyn ViewStore>) {
    (Arc::new(store.clone()), Arc::new(store))
}

/// What is known of a store beside its log, soon.
type Facts = BoxFuture<'static, Result<StoreFacts, StoreError>>;

/// A store that is written.
#[derive(Clone)]
pub(crate) enum Writing {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

/// A store that events are appended to: by this program, or by the server that holds it.
pub(crate) enum Appending {
    Own(Writing),
    Remote(Remote),
}

impl Appending {
    /// The store, to append to it. It is made when there is none.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failure> {
        Ok(match remote(settings).await? {
            Some(remote) => Self::Remote(remote),
            None => Self::Own(Writing::open(settings).await?),
        })
    }

    pub(crate) fn store(&self) -> &dyn EventStore {
        match self {
            Self::Own(writing) => writing.store(),
            Self::Remote(remote) => remote,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Own(writing) => writing.close().await,
            Self::Remote(_) => {}
        }
    }
}

/// The server that holds the store, if one does.
pub(crate) async fn remote(settings: &Settings) -> Result<Option<Remote>, Failure> {
    match &settings.store.value {
        Target::Sqlite(path) => Remote::find(path, settings).await,
        Target::Postgres(_) => Ok(None),
    }
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

    /// What is known of the store beside its log, for whoever asks the server.
    pub(crate) fn facts(&self, durability: &'static str) -> impl Fn() -> Facts + Send + Sync + use<> {
        let asked = self.clone();
        move || Box::pin(asked.clone().look(durability))
    }

    async fn look(self, durability: &'static str) -> Result<StoreFacts, StoreError> {
        let (kind, size, wal, groups) = match self {
            Self::Sqlite(store) => {
                let (size, wal) = store.size_bytes();
                ("sqlite", size, Some(wal), store.groups())
            }
            Self::Postgres(store) => ("postgres", store.size_bytes().await?, None, store.groups()),
        };
        let (kind, durability) = (Some(kind.to_owned()), Some(durability.to_owned()));
        Ok(StoreFacts { kind, size_bytes: Some(size), wal_bytes: wal, durability, groups: Some(groups) })
    }

    /// The same store, with its views.
    pub(crate) fn views(&self) -> (Arc<dyn EventStore>, Arc<dyn ViewStore>) {
        match self {
            Self::Sqlite(store) => both(store.clone()),
            Self::Postgres(store) => both(store.clone()),
        }
    }

    /// Waits until the store has stopped after a failure that it could not see the end of.
    pub(crate) async fn stopped(&self) {
        match self {
            Self::Sqlite(store) => store.stopped().await,
            Self::Postgres(store) => store.stopped().await,
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
    /// The log is there, whole and in use: an earlier run came to its end, and nobody saw it. Its head.
    Done(Head),
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
    if in_use {
        let head = read(settings).await?.head().await?;
        if head.hash == ends {
            return Ok(Filling::Done(head));
        }
    }
    Err(refused)
}

/// Checks a store that was filled before, whose epoch must not be that of where its log came from, unless it moved.
pub(crate) async fn was_filled(
    settings: &Settings,
    head: &Head,
    not: Option<&Epoch>,
    bar: &Bar,
) -> Result<(Head, u64), Failure> {
    if not == Some(head.cursor.epoch()) {
        let text = format!(
            "{} holds the same log in the same epoch already: it is the same store, or a copy of its files",
            settings.store.value.url()
        );
        return Err(Failure::new(
            REFUSED,
            text,
            "name a store that is empty or not there; nothing was changed",
        ));
    }
    let verified = read(settings).await?.verify_watched(bar).await?;
    verify::refuse(&verified)?;
    Ok((head.clone(), verified.events))
}
