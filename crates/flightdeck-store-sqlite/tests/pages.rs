//! How many pages are written, and where they go: what shows only in the files.
#![expect(clippy::unwrap_used, reason = "a test that fails is what is wanted here")]

use std::path::Path;
use std::time::{Duration, Instant};

use flightdeck_core::{Cursor, EventType, Json, Metadata, Position, StreamId, Tags};
use flightdeck_store::view::{
    Checkpoint, Holder, Kind, Lease, Plan, Row, Table, TableChanges, Value, ViewStore as _, Work,
};
use flightdeck_store::{Append, EventStore as _, Limit, LogQuery, NewEvent};
use flightdeck_store_sqlite::{Options, SqliteStore};

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder.join("log.db"), Options::default()).unwrap()
}

fn large(stream: &str) -> NewEvent {
    let data = Json::new(format!("\"{}\"", "x".repeat(60_000)), 1 << 20).unwrap();
    NewEvent::new(StreamId::new(stream).unwrap(), EventType::new("Grew").unwrap(), data)
}

/// The WAL is copied back beside the writer, who goes on writing into it: and yet it begins anew, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn the_wal_begins_anew_while_all_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let writing: Vec<_> = (0..4)
        .map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    let events = (0..5).map(|_| large(&format!("a-{caller}")));
                    store.append(Append::of(events)).await.unwrap();
                }
            })
        })
        .collect();
    for writes in writing {
        writes.await.unwrap();
    }
    let bytes = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    let (file, wal) = (bytes("log.db"), bytes("log.db-wal"));
    store.close().await;
    assert!(file > 120_000_000, "what was copied back is in the file: {file}");
    assert!(wal < 180_000_000, "the WAL has not kept all that was ever written: {wal}");
}

/// Whoever follows the log gets what was committed last from memory, and that is what the file has.
#[tokio::test]
async fn what_was_committed_last_is_read_as_the_file_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, began) = (open(folder.path()), Instant::now());
    let metadata = Metadata { actor: Some("ada".parse().unwrap()), ..Metadata::default() };
    let small = |stream: &str, number: i64| {
        let data = Json::new(format!("{{ \"number\": {number} }}"), 1 << 10).unwrap();
        let tags = Tags::new(vec![format!("number:{number}").parse().unwrap()]).unwrap();
        NewEvent::new(StreamId::new(stream).unwrap(), EventType::new("Grew").unwrap(), data)
            .with_metadata(metadata.clone())
            .with_tags(tags)
    };
    for number in 0..20 {
        store
            .append(Append::of([small("a-1", number), small("b-1", number), small("a-1", -1)]))
            .await
            .unwrap();
        // One that is refused leaves nothing behind.
        let refused = Append::of([small("a-1", number)])
            .expecting(StreamId::new("a-1").unwrap(), flightdeck_store::Expected::NoStream);
        store.append(refused).await.unwrap_err();
    }
    let mut answered = 0;
    for after in 0..=60 {
        for (limit, until) in [(1, None), (7, Some(30)), (1_000, None), (1_000, Some(60)), (1_000, Some(61))]
        {
            let until = until.map(|until| Position::new(until).unwrap());
            let query = LogQuery {
                until,
                limit: Limit::new(limit).unwrap(),
                ..LogQuery::after(Position::new(after).unwrap())
            };
            // On a machine that is slow it is too old by now to be given out.
            let Some(page) = store.newest(&query) else { continue };
            assert_eq!(page, store.read_log(&query).await.unwrap(), "{query:?}");
            answered += 1;
        }
    }
    assert!(answered > 0 || began.elapsed() > Duration::from_secs(1));
    let elsewhere = LogQuery::after(Cursor::new("another".parse().unwrap(), Position::new(59).unwrap()));
    assert_eq!(store.newest(&elsewhere), None);
    store.close().await;
    assert_eq!(
        store.newest(&LogQuery::after(Position::new(59).unwrap())),
        None,
        "another may write the file by now"
    );
}

struct Pages {
    store: SqliteStore,
    plan: Plan,
    lease: Lease,
    at: Checkpoint,
}

impl Pages {
    async fn new(folder: &Path) -> Self {
        let store = open(folder);
        let table = Table::named("pages").key("id", Kind::Text).column("title", Kind::Text);
        let table = table.column("views", Kind::Integer).index(&["views"]).search(&["title"]);
        let plan = Plan::new("pages", 1, vec![table], "").unwrap();
        let of = store.prepare(&plan).await.unwrap().of;
        let holder = Holder::from_random(7);
        let lease = store.lease(&of, &holder, Duration::from_secs(60)).await.unwrap().unwrap();
        Self { store, plan, lease, at: Checkpoint::START }
    }

    async fn put(&mut self, title: &str, views: i64) {
        self.put_at("home", title, views).await;
    }

    async fn put_at(&mut self, id: &str, title: &str, views: i64) {
        let table = &self.plan.tables()[0];
        let values: Vec<Value> = vec![id.into(), title.into(), views.into()];
        let put = vec![Row::new(table, values).unwrap()];
        let changes = vec![TableChanges { table: table.clone(), put, gone: Vec::new() }];
        let to = Checkpoint { position: Position::new(self.at.position.get() + 1).unwrap(), folded: None };
        let work = Work { lease: self.lease.clone(), from: self.at, to, changes };
        self.store.apply(work).await.unwrap();
        self.at = to;
    }

    async fn tend(&self) {
        while self.store.tend(&self.lease).await.unwrap() {}
    }
}

/// Of a row whose words are what they were, the words are not looked at again; of one whose words are others, they are.
#[tokio::test]
async fn only_words_that_changed_are_indexed_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut pages = Pages::new(folder.path()).await;
    let conn = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
    let todo = || -> i64 {
        let sql = "SELECT name FROM sqlite_schema WHERE name LIKE 'fd_view_%_todo'";
        let name: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        conn.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0)).unwrap()
    };
    pages.put("Home", 1).await;
    pages.tend().await;
    pages.put("Home", 2).await;
    assert_eq!(todo(), 0);
    pages.put("At home", 2).await;
    assert_eq!(todo(), 1);
    let table: String = conn
        .query_row("SELECT name FROM sqlite_schema WHERE name GLOB 'fd_view_*_0'", [], |row| row.get(0))
        .unwrap();
    let found = conn.query_row(&format!("SELECT title, views FROM {table}"), [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    });
    assert_eq!(found.unwrap(), ("At home".to_owned(), 2));
    pages.store.close().await;
}

/// An index of words is written piece by piece, and pieces are made one as time goes on, a bit at a time.
#[tokio::test]
async fn an_index_of_words_does_not_fall_into_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let mut pages = Pages::new(folder.path()).await;
    let conn = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE name GLOB 'fd_view_*_idx'";
    let index: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    let mut most = 0;
    for number in 0..200 {
        pages.put_at(&number.to_string(), &format!("Page {number}"), number).await;
        pages.tend().await;
        let sql = format!("SELECT count(DISTINCT segid) FROM {index}");
        most = most.max(conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap());
    }
    assert!((2..40).contains(&most), "{most} pieces of 200");
    pages.store.close().await;
}
