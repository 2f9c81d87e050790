//! What other programs may do to a store's file: look, and lay data to rest. Everything else the file itself refuses. (P3–P6)

use flightdeck_core::{SchemaNumber, StreamId, Version};
use flightdeck_store::chain::{checksum, sha256};
use flightdeck_store::{Data, EventStore as _, Snapshot};
use rusqlite::{Connection, params};

use crate::victim::{block_on, open};

fn store() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = open(&path);
    block_on(async {
        for number in 0..9 {
            store.append(flightdeck_tests::append(number)).await.unwrap();
        }
        let snapshot =
            Snapshot { version: Version::FIRST, schema: SchemaNumber::FIRST, state: "state".into() };
        store.save_snapshot(&StreamId::new("story-1").unwrap(), snapshot).await.unwrap();
        store.close().await;
    });
    (folder, path)
}

#[test]
fn no_event_changes_goes_or_is_replaced() {
    let (_folder, path) = store();
    let raw = Connection::open(&path).unwrap();
    for sql in [
        "UPDATE fd_log SET data = x'7b7d' WHERE position = 3",
        "UPDATE fd_log SET version = 99 WHERE position = 3",
        "UPDATE fd_log SET hash = zeroblob(32) WHERE position = 3",
        "UPDATE fd_log SET position = 99 WHERE position = 3",
        "UPDATE fd_log SET data = NULL, tombstone = zeroblob(32), actor = 'me' WHERE position = 3",
        "UPDATE OR REPLACE fd_log SET position = 4 WHERE position = 3",
        "DELETE FROM fd_log WHERE position = 18",
        "DELETE FROM fd_log",
        "INSERT OR REPLACE INTO fd_log SELECT * FROM fd_log WHERE position = 3",
        "REPLACE INTO fd_log SELECT 19, stream, version, type, schema, recorded, 0, id, NULL, actor, correlation, causation,
           occurred, tags, checksum, hash, tombstone, further, data FROM fd_log WHERE position = 3",
        "INSERT INTO fd_log SELECT 30, stream, 99, type, schema, recorded, 0, randomblob(16), NULL, actor, correlation,
           causation, occurred, tags, checksum, hash, tombstone, further, data FROM fd_log WHERE position = 3",
        "UPDATE fd_stream SET name = 'other-1' WHERE stream = 1",
        "UPDATE fd_stream SET version = 1 WHERE stream = 1",
        "DELETE FROM fd_stream WHERE stream = 1",
        "REPLACE INTO fd_stream (stream, name, version, created, updated, checksum) VALUES (1, 'x-1', 1, 1, 1, 1)",
        "UPDATE fd_type SET name = 'Other'",
        "DELETE FROM fd_type",
        "REPLACE INTO fd_type VALUES (1, 'Other')",
        "UPDATE fd_tag SET tag = 'of:other'",
        "DELETE FROM fd_tag",
        "INSERT INTO fd_tag VALUES ('of:other', 1)",
        "INSERT INTO fd_tag VALUES ('of:story', 99)",
        "INSERT OR REPLACE INTO fd_tag VALUES ('story', 1)",
        "UPDATE fd_request SET first = 1",
        "DELETE FROM fd_request",
        "REPLACE INTO fd_request SELECT caller, key, zeroblob(32), first, last, checksum FROM fd_request",
    ] {
        assert!(raw.execute(sql, []).is_err(), "this was taken: {sql}");
    }
    drop(raw);
    let store = open(&path);
    block_on(async {
        assert_eq!(flightdeck_tests::whole_log(&store).await.len(), 18);
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await;
    });
}

#[test]
fn data_may_give_way_to_its_tombstone_and_the_chain_stays() {
    let (_folder, path) = store();
    let store = open(&path);
    let mut event = block_on(async {
        let log = flightdeck_tests::whole_log(&store).await;
        store.close().await;
        log[4].clone()
    });
    let hash = sha256(event.data_bytes());
    event.data = Data::Tombstone(hash);
    let sum = checksum(&event, &mut Vec::new()).cast_signed();
    let raw = Connection::open(&path).unwrap();
    let sql = "UPDATE fd_log SET data = NULL, tombstone = ?1, checksum = ?2 WHERE position = 5";
    assert_eq!(raw.execute(sql, params![hash, sum]).unwrap(), 1);
    let again = raw.execute("UPDATE fd_log SET data = x'7b7d', tombstone = NULL WHERE position = 5", []);
    assert!(again.is_err(), "what is laid to rest does not come back");
    drop(raw);
    let store = open(&path);
    block_on(async {
        assert_eq!(store.event(event.id).await.unwrap(), Some(event));
        assert_eq!(store.verify().await.unwrap().problems, [], "the chain holds across a tombstone");
        let again = store.append(flightdeck_tests::append(2)).await.unwrap();
        assert!(again.duplicate, "who repeats the append is still told that it was done");
        store.close().await;
    });
}

#[test]
fn snapshots_may_be_deleted_by_anyone_at_any_time() {
    let (_folder, path) = store();
    assert_eq!(Connection::open(&path).unwrap().execute("DELETE FROM fd_snapshot", []).unwrap(), 1);
    let store = open(&path);
    block_on(async {
        let stream = StreamId::new("story-1").unwrap();
        assert_eq!(store.snapshot(&stream, SchemaNumber::FIRST).await.unwrap(), None);
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await;
    });
}
