//! What the tests stand on: a log with its views, in memory or in a file, and a way to wait for things.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::{EventType, Json, SchemaNumber, StreamId};
use flightdeck_projections::RunnerOptions;
use flightdeck_store::view::{GenerationState, MemoryViews, ViewName, ViewQuery, ViewStore};
use flightdeck_store::{Append, Appended, EventStore, MemoryStore, NewEvent};
use flightdeck_store_sqlite::{Options, SqliteStore};

pub(crate) struct Ground {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) views: Arc<dyn ViewStore>,
    pub(crate) folder: Option<tempfile::TempDir>,
}

impl Ground {
    pub(crate) fn memory() -> Self {
        Self { store: Arc::new(MemoryStore::new()), views: Arc::new(MemoryViews::new()), folder: None }
    }

    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path().join("log.db"), Options::default()).unwrap());
        Self { store: Arc::clone(&store) as _, views: store, folder: Some(folder) }
    }

    pub(crate) async fn append(&self, stream: &str, event_type: &str, data: &str) -> Appended {
        self.append_of(stream, event_type, 1, data).await
    }

    pub(crate) async fn append_of(
        &self,
        stream: &str,
        event_type: &str,
        schema: u32,
        data: &str,
    ) -> Appended {
        let (stream, event_type) = (StreamId::new(stream).unwrap(), EventType::new(event_type).unwrap());
        let event = NewEvent::new(stream, event_type, Json::new(data.to_owned(), 1 << 20).unwrap());
        let event = NewEvent { schema: SchemaNumber::new(schema).unwrap(), ..event };
        self.store.append(Append::of([event])).await.unwrap()
    }

    pub(crate) async fn head(&self) -> i64 {
        self.store.head().await.unwrap().cursor.position().get()
    }

    pub(crate) async fn states(&self, view: &str) -> Vec<GenerationState> {
        let mut all = self.views.generations().await.unwrap();
        all.retain(|state| state.of.view.as_str() == view);
        all
    }

    pub(crate) async fn state(&self, view: &str) -> GenerationState {
        self.states(view).await.pop().unwrap()
    }

    /// Keys and numbers of a table of two columns.
    pub(crate) async fn counts(&self, view: &str, number: u32) -> Vec<(String, i64)> {
        let page = self.views.ask(&ViewQuery::of(name(view), number, view)).await.unwrap();
        let row = |row: &flightdeck_store::view::Row| {
            (row.text("name").unwrap().to_owned(), row.integer("count").unwrap())
        };
        page.rows.iter().map(row).collect()
    }
}

pub(crate) fn name(view: &str) -> ViewName {
    ViewName::new(view).unwrap()
}

/// Quick, so that tests are.
pub(crate) fn quick() -> RunnerOptions {
    RunnerOptions {
        standby: Duration::from_millis(20),
        retry_pause: Duration::from_millis(5),
        event_budget: Duration::from_millis(500),
        lease: Duration::from_millis(600),
        ..RunnerOptions::default()
    }
}

/// Waits until something is so, for 20 seconds at the most.
pub(crate) async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so().await {
        assert!(Instant::now() < end, "it never came to be so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A test on both stores.
#[macro_export]
macro_rules! on_both {
    ($($test:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::ground::Ground::memory()).await; })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::ground::Ground::sqlite()).await; })*
        }
    };
}
