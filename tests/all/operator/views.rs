//! Views as an operator meets them: how far they are, built anew, waiting, halted, saved and brought back; and read with SQL by someone
//! who knows nothing of us. (F12, F36, F37, F68)

use flightdeck_core::{EventType, Json, SchemaNumber, StreamId};
use flightdeck_server::Desk as Commands;
use flightdeck_store::{Append, EventStore, NewEvent};
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::SqliteStore;
use std::sync::Arc;

use super::{Desk, Kind, Ran, done, refused, run};
use crate::victim::block_on;

/// Does something to a store in this process, and closes it again.
fn with(store: &str, act: impl AsyncFnOnce(Arc<dyn EventStore>)) {
    block_on(async {
        if let Some(path) = store.strip_prefix("sqlite:") {
            let opened = SqliteStore::open(path, Default::default()).unwrap();
            act(Arc::new(opened.clone())).await;
            opened.close().await;
        } else {
            let opened = PostgresStore::open(store, Default::default()).await.unwrap();
            act(Arc::new(opened.clone())).await;
            opened.close().await;
        }
    });
}

/// A store with three contents, one of them published, one deleted again.
fn with_contents(desk: &Desk, kind: &Kind) -> String {
    let store = desk.store(kind, "views.db");
    with(&store, async |opened| {
        let commands = Commands::new(opened);
        for number in 1..=3 {
            let create = crate::domain::create(&number.to_string(), &format!("slug-{number}"));
            crate::domain::ask(&commands, &number.to_string(), create).await.unwrap();
        }
        crate::domain::ask(&commands, "2", flightdeck_domain::content::Command::Publish).await.unwrap();
        crate::domain::ask(&commands, "3", flightdeck_domain::content::Command::Delete).await.unwrap();
    });
    store
}

/// What anyone reads with SQL.
fn titles(store: &str) -> Vec<(String, String)> {
    let sql = "SELECT slug, status FROM content ORDER BY slug";
    if let Some(path) = store.strip_prefix("sqlite:") {
        let conn = rusqlite::Connection::open(path).unwrap();
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        return rows.collect::<Result<_, _>>().unwrap();
    }
    block_on(async {
        let (server, schema) = store.split_once("?schema=").unwrap();
        let (client, wire) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(wire);
        client.batch_execute(&format!("SET search_path TO {schema}")).await.unwrap();
        let rows = client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    })
}

/// An event as only a damaged program writes it.
fn poison(store: &str) {
    with(store, async |opened| {
        let data = Json::new("{\"contentId\":\"1\",\"title\":7}".to_owned(), 1_000).unwrap();
        let stream = StreamId::new("content-1").unwrap();
        let event = NewEvent::new(stream, EventType::new("ContentUpdated").unwrap(), data);
        opened.append(Append::of([NewEvent { schema: SchemaNumber::FIRST, ..event }])).await.unwrap();
    });
}

fn state(store: &str) -> serde_json::Value {
    let listed = done(&["projections"], store);
    serde_json::from_str(listed.lines().last().unwrap()).unwrap()
}

fn is_looked_after(kind: &Kind) {
    let desk = Desk::new();
    let store = with_contents(&desk, kind);
    assert_eq!(done(&["projections", "list", "--text"], &store), "no view was built yet\n");
    let built = done(&["projections", "rebuild", "content", "--text"], &store);
    // What an administrator does is an event itself: the sixth.
    assert_eq!(built, "content 1.1 is built, up to position 6\n");
    let expected = [("slug-1", "Draft"), ("slug-2", "Published")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(titles(&store), expected);
    let listed = done(&["projections", "--text"], &store);
    assert_eq!(listed, "content              1.1    serving        position 6, at the head\n");
    let again: serde_json::Value =
        serde_json::from_str(&done(&["projections", "rebuild", "content"], &store)).unwrap();
    assert_eq!((again["build"].as_i64(), again["position"].as_i64()), (Some(2), Some(7)));
    assert_eq!(titles(&store), expected);
    assert_eq!(done(&["projections", "pause", "content", "--text"], &store), "content waits\n");
    assert_eq!((state(&store)["state"].as_str(), state(&store)["lag"].as_i64()), (Some("paused"), Some(1)));
    assert_eq!(done(&["projections", "resume", "content", "--text"], &store), "content goes on\n");
    let audit = done(&["read", "$audit"], &store);
    let types: Vec<String> = audit
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["eventType"].as_str().unwrap().to_owned()
        })
        .collect();
    let started = "ProjectionRebuildStarted";
    assert_eq!(types, [started, started, "ProjectionPaused", "ProjectionResumed"]);
    assert!(audit.contains("\"userId\":\"operator:"), "{audit}");
    let verified = done(&["verify", "--text"], &store);
    assert!(verified.starts_with("whole"), "{verified}");
}

#[test]
fn views_of_a_file_are_looked_after() {
    is_looked_after(&Kind::Sqlite);
}

#[test]
fn views_of_a_database_are_looked_after() {
    is_looked_after(&Kind::Postgres);
}

fn halts_and_goes_on(kind: &Kind) {
    let desk = Desk::new();
    let store = with_contents(&desk, kind);
    poison(&store);
    // What was tried in vain is said before the end.
    let Ran { code, err: said, .. } = run(&["projections", "rebuild", "content"], &store);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("flightdeck: content 1.1 has come to a halt: poison at position 6 (event "),
        "{said}"
    );
    assert!(said.contains("flightdeck projections skip"), "{said}");
    let listed = run(&["projections", "--text"], &store);
    assert!(listed.out.contains("poison") && listed.out.contains("at position 6"), "{}", listed.out);
    let said = done(&["projections", "skip", "content", "--text"], &store);
    assert_eq!(said, "content leaves out the event at position 6\n");
    assert_eq!(state(&store)["skips"], serde_json::json!([6]));
    let said = refused(&["projections", "skip", "content"], &store, 1);
    assert!(said.contains("has not come to a halt"), "{said}");
    done(&["projections", "rebuild", "content"], &store);
    assert_eq!(titles(&store).len(), 2);
    assert_eq!(state(&store)["skips"], serde_json::json!([6]), "it stays left out");
}

#[test]
fn a_view_of_a_file_that_is_halted_goes_on_without_an_event() {
    halts_and_goes_on(&Kind::Sqlite);
}

#[test]
fn a_view_of_a_database_that_is_halted_goes_on_without_an_event() {
    halts_and_goes_on(&Kind::Postgres);
}

#[test]
fn what_is_no_view_is_refused() {
    let desk = Desk::new();
    let store = with_contents(&desk, &Kind::Sqlite);
    let said = refused(&["projections", "rebuild", "nothing"], &store, 1);
    assert!(said.contains("there is no view nothing\n  there are: content"), "{said}");
    for act in ["pause", "resume", "skip"] {
        let said = refused(&["projections", act, "content"], &store, 1);
        assert!(said.contains("there is no view content"), "{said}");
    }
    refused(&["projections", "pause", "No View"], &store, 64);
    refused(&["projections", "list"], &format!("sqlite:{}", desk.path("not-there.db")), 69);
}

#[test]
fn a_backup_with_views_is_restored_and_a_strange_one_refused() {
    let desk = Desk::new();
    let store = with_contents(&desk, &Kind::Sqlite);
    done(&["projections", "rebuild", "content"], &store);
    done(&["projections", "rebuild", "content"], &store);
    let saved = desk.path("saved.db");
    done(&["backup", &saved], &store);
    let again = desk.store(&Kind::Sqlite, "again.db");
    done(&["restore", &saved], &again);
    assert_eq!(
        done(&["projections", "--text"], &again),
        "no view was built yet\n",
        "views come from the log"
    );
    done(&["projections", "rebuild", "content"], &again);
    assert_eq!(titles(&again).len(), 2);
    // A table that looks like a view's, and is none.
    for strange in [
        "CREATE TABLE fd_view_9_0 (a)",
        "CREATE TRIGGER t AFTER INSERT ON content BEGIN SELECT 1; END",
        "ALTER TABLE content ADD COLUMN more TEXT",
        "UPDATE fd_projection SET plan = replace(plan, 'slug', 'sl_g')",
        "UPDATE fd_projection SET plan = 'x'",
        "UPDATE fd_projection SET view = 'a b'",
    ] {
        let copy = desk.file("strange.db");
        std::fs::copy(&saved, &copy).unwrap();
        rusqlite::Connection::open(&copy).unwrap().execute_batch(strange).unwrap();
        let said = refused(&["restore", copy.to_str().unwrap()], &desk.store(&Kind::Sqlite, "no.db"), 1);
        assert!(said.contains("there is something in it that no FlightDeck has made"), "{strange}: {said}");
    }
    // A backup that is opened as it is has its views.
    let store = format!("sqlite:{saved}");
    assert_eq!(state(&store)["state"].as_str(), Some("serving"));
    done(&["migrate"], &store);
    assert_eq!(titles(&store).len(), 2);
}

fn verify_finds_a_view_of_another_log(kind: &Kind) {
    let desk = Desk::new();
    let store = with_contents(&desk, kind);
    done(&["projections", "rebuild", "content"], &store);
    let damage = "UPDATE fd_projection SET hash = ";
    match store.strip_prefix("sqlite:") {
        Some(path) => {
            let conn = rusqlite::Connection::open(path).unwrap();
            conn.execute(&format!("{damage} zeroblob(32)"), []).unwrap();
        }
        None => block_on(async {
            let (server, schema) = store.split_once("?schema=").unwrap();
            let (client, wire) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(wire);
            client.batch_execute(&format!("SET search_path TO {schema}")).await.unwrap();
            client.execute(&format!("{damage} decode(repeat('00', 32), 'hex')"), &[]).await.unwrap();
        }),
    }
    let ran = run(&["verify", "--text"], &store);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(
        ran.out.contains("position 5: the view content 1.1 was folded from another event"),
        "{}",
        ran.out
    );
    // Whoever runs it notices as well, and builds it anew.
    let built = done(&["projections", "rebuild", "content", "--text"], &store);
    assert!(built.starts_with("content 1.2 is built"), "{built}");
    assert!(done(&["verify", "--text"], &store).starts_with("whole"));
}

#[test]
fn verify_finds_a_view_of_a_file_that_is_of_another_log() {
    verify_finds_a_view_of_another_log(&Kind::Sqlite);
}

#[test]
fn verify_finds_a_view_of_a_database_that_is_of_another_log() {
    verify_finds_a_view_of_another_log(&Kind::Postgres);
}
