//! Rows that someone has changed behind the triggers' back: reported by whatever read meets them, and never given out. (F12–F14, P12)

use flightdeck_core::{Position, Tag};
use flightdeck_store::{
    Append, AppendError, Ask, Direction, EventStore, Filter, LogQuery, LogQuestion, Outcome, Reason,
    Recorded, StoreError, StreamPattern, StreamQuery,
};
use flightdeck_store_postgres::PostgresStore;
use tokio_postgres::Client;

use super::Place;
use crate::victim::block_on;

/// A node with some history, and a connection that no trigger stops.
async fn tampered() -> (Place, PostgresStore, Client) {
    let place = Place::new();
    let node = place.open().await;
    for number in 0..12 {
        node.append(flightdeck_tests::append(number)).await.unwrap();
    }
    let raw = place.raw().await;
    raw.batch_execute("SET session_replication_role TO replica").await.unwrap();
    (place, node, raw)
}

/// Every way to read an event, and what it gives.
async fn every_read(
    store: &PostgresStore,
    event: &Recorded,
) -> Vec<(&'static str, Result<Vec<Recorded>, StoreError>)> {
    let log = |filter: Filter, direction| LogQuery { filter, direction, ..LogQuery::default() };
    let stream = Filter { streams: vec![StreamPattern::Exact(event.stream.clone())], ..Filter::ALL };
    let tag = Filter::tagged(Tag::new("of:story").unwrap());
    let mut answers = Vec::new();
    for direction in [Direction::Forward, Direction::Backward] {
        for (name, filter) in [("all", Filter::ALL), ("stream filter", stream.clone()), ("tag", tag.clone())]
        {
            answers.push((name, store.read_log(&log(filter, direction)).await.map(|page| page.events)));
        }
        let query = StreamQuery { direction, ..StreamQuery::of(event.stream.clone()) };
        answers.push(("stream", store.read_stream(&query).await.map(|page| page.events)));
    }
    let counted = store.question(&LogQuestion::of(Ask::Days)).await;
    answers.push(("question", counted.map(|_| Vec::new())));
    answers.push(("id", store.event(event.id).await.map(|event| event.into_iter().collect())));
    answers
}

#[test]
fn a_changed_event_is_reported_by_every_read_that_meets_it() {
    block_on(async {
        let (_place, node, raw) = tampered().await;
        let log = flightdeck_tests::whole_log(&node).await;
        let event = log.iter().find(|event| event.position.get() == 9).unwrap();
        for (column, value) in [
            ("recorded", "recorded + 1"),
            ("occurred", "1"),
            ("type", "1 + type % 3"),
            ("schema", "2"),
            ("append_rest", "append_rest + 1"),
            ("checksum", "substr(sha256('x'), 1, 8)"),
            ("hash", "set_byte(hash, 31, get_byte(hash, 31) # 1)"),
            ("key", "substr(sha256('x'), 1, 16)"),
            ("actor", "'someone'"),
            ("correlation", "'something'"),
            ("causation", "''"),
            ("tags", "tags || 'x'"),
            ("tags", "NULL"),
            ("further", "'{}'"),
            ("data", "set_byte(data, 3, get_byte(data, 3) # 1)"),
            ("data", "'\\xff'"),
            ("version", "version + 1000"),
            ("id", "gen_random_uuid()"),
            ("stream", "stream + 1000"),
        ] {
            raw.batch_execute(&format!(
                "CREATE TEMP TABLE kept AS SELECT * FROM fd_log WHERE position = 9; UPDATE fd_log SET {column} = {value} WHERE position = 9"
            ))
            .await
            .unwrap();
            let mut met = 0;
            for (way, answer) in every_read(&node, event).await {
                match answer {
                    Err(StoreError::Corrupt(_)) => met += 1,
                    // The event is known by another id now; nobody who asks for the old one gets a damaged event.
                    Ok(events) if way == "id" && column == "id" => assert!(events.is_empty()),
                    Ok(_) => panic!("{column}: reading by {way} says nothing"),
                    Err(other) => panic!("{column}, {way}: {other}"),
                }
            }
            assert!(met >= 8, "{column}: {met}");
            let verified = node.verify().await.unwrap();
            let found = verified.problems.iter().any(|problem| problem.position == Position::new(9).ok());
            assert!(found && verified.events == 24, "{column}: {:?}", verified.problems);
            raw.batch_execute("DELETE FROM fd_log WHERE position = 9; INSERT INTO fd_log SELECT * FROM kept; DROP TABLE kept")
                .await
                .unwrap();
        }
        assert_eq!(node.verify().await.unwrap().problems, [], "and it is as it was");
    });
}

#[test]
fn whoever_repeats_what_is_damaged_is_not_told_that_it_never_was() {
    block_on(async {
        let (_place, node, raw) = tampered().await;
        let by_ids = Append { request: None, ..flightdeck_tests::append(4) };
        assert!(node.append(by_ids.clone()).await.unwrap().duplicate);
        let sql =
            "UPDATE fd_log SET data = set_byte(data, 3, get_byte(data, 3) # 1) WHERE tags LIKE 'number:4%'";
        assert_eq!(raw.execute(sql, &[]).await.unwrap(), 2);
        let unsure = node.append(by_ids).await.unwrap_err();
        assert!(matches!(unsure, AppendError::Unknown { reason: Reason::Corrupt(_), .. }), "{unsure}");
    });
}

#[test]
fn an_event_that_is_gone_is_missed() {
    block_on(async {
        let (_place, node, raw) = tampered().await;
        let log = flightdeck_tests::whole_log(&node).await;
        for position in [1_i64, 9, 24] {
            let event = log.iter().find(|event| event.position.get() == position).unwrap();
            raw.batch_execute(&format!(
                "CREATE TEMP TABLE kept AS SELECT * FROM fd_log WHERE position = {position}; DELETE FROM fd_log WHERE position = {position}"
            ))
            .await
            .unwrap();
            for (way, answer) in every_read(&node, event).await.into_iter().filter(|(way, _)| *way != "id") {
                assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{position}: {way} gives {answer:?}");
            }
            assert!(!node.verify().await.unwrap().problems.is_empty());
            raw.batch_execute("INSERT INTO fd_log SELECT * FROM kept; DROP TABLE kept").await.unwrap();
        }
    });
}

#[test]
fn what_lies_beside_the_log_is_checked_too() {
    block_on(async {
        let (_place, node, raw) = tampered().await;
        for (sql, undo) in [
            (
                "UPDATE fd_stream SET version = version + 1 WHERE stream = 3",
                "UPDATE fd_stream SET version = version - 1 WHERE stream = 3",
            ),
            (
                "UPDATE fd_stream SET updated = updated + 1 WHERE stream = 3",
                "UPDATE fd_stream SET updated = updated - 1 WHERE stream = 3",
            ),
            (
                "DELETE FROM fd_tag WHERE tag = 'number:3'",
                "INSERT INTO fd_tag SELECT 'number:3', position FROM fd_log WHERE tags LIKE 'number:3%'",
            ),
            ("INSERT INTO fd_tag VALUES ('of:other', 1)", "DELETE FROM fd_tag WHERE tag = 'of:other'"),
            (
                "UPDATE fd_request SET last = last + 1 WHERE key = '3'",
                "UPDATE fd_request SET last = last - 1 WHERE key = '3'",
            ),
        ] {
            raw.batch_execute(sql).await.unwrap();
            assert!(!node.verify().await.unwrap().problems.is_empty(), "nothing is said of: {sql}");
            raw.batch_execute(undo).await.unwrap();
            assert_eq!(node.verify().await.unwrap().problems, [], "{undo}");
        }
    });
}

#[test]
fn nothing_is_appended_on_damaged_ground_and_neighbours_go_on() {
    block_on(async {
        let (_place, node, raw) = tampered().await;
        raw.batch_execute("UPDATE fd_stream SET version = version + 1 WHERE name = 'story-3'").await.unwrap();
        // Number 20 goes to stream 3 and its neighbours; number 100 goes elsewhere. Both are asked at once.
        let (damaged, sound) = tokio::join!(
            node.append(flightdeck_tests::append(20)),
            node.append(flightdeck_tests::append(24))
        );
        let damaged = damaged.unwrap_err();
        assert!(matches!(damaged, AppendError::NotCommitted { reason: Reason::Corrupt(_), .. }), "{damaged}");
        sound.unwrap();
        raw.batch_execute("UPDATE fd_stream SET version = version - 1 WHERE name = 'story-3'").await.unwrap();
        node.append(flightdeck_tests::append(20)).await.unwrap();
        raw.batch_execute(
            "UPDATE fd_log SET hash = sha256('x') WHERE position = (SELECT position FROM fd_head)",
        )
        .await
        .unwrap();
        let refused = node.append(flightdeck_tests::append(25)).await.unwrap_err();
        assert_eq!(refused.outcome(), Outcome::NotCommitted, "{refused}");
        assert!(matches!(refused, AppendError::NotCommitted { reason: Reason::Corrupt(_), .. }), "{refused}");
    });
}
