//! Another history under the same name: a failover that lost commits, one that lost none, a dump that was restored. (F37, F49, DESIGN "Epoch")

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use flightdeck_store::{
    Append, EventStore as _, Filter, FollowOptions, Followed, LogQuery, ResetReason, StoreError, follow,
};
use flightdeck_store_postgres::{OpenError, Options, PostgresStore};
use flightdeck_test_postgres::{Cluster, Settings, programs};
use futures_util::StreamExt as _;

use super::{Place, connect, event};
use crate::victim::block_on;

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

async fn fill(node: &PostgresStore, numbers: std::ops::Range<u128>) {
    for number in numbers {
        node.append(Append::of([event(number)])).await.unwrap();
    }
}

#[test]
fn a_server_that_lost_acknowledged_events_begins_a_new_epoch_and_tells_everyone() {
    let cluster = Cluster::start(&Settings::default()).unwrap();
    let place = Place::on(&cluster.url());
    let (data, copied) = (cluster.folder().join("data"), cluster.folder().join("copy"));
    block_on(async {
        let node = place.open().await;
        fill(&node, 0..5).await;
        cluster.stop_immediate().unwrap();
        copy(&data, &copied);
        cluster.restart().unwrap();
        fill(&node, 5..10).await;
        let before = node.head().await.unwrap();
        assert_eq!(before.cursor.position().get(), 10);
        let store = Arc::new(node.clone());
        let following = follow(store, before.cursor.clone(), Filter::ALL, FollowOptions::default());
        let mut following = std::pin::pin!(following);
        assert!(matches!(following.next().await, Some(Ok(Followed::CaughtUp(_)))));

        // What an asynchronous standby looks like that was promoted too early: the same log, five events ago.
        cluster.stop_immediate().unwrap();
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::rename(&copied, &data).unwrap();
        cluster.restart().unwrap();
        let other = node.append(Append::of([event(100)])).await.unwrap();
        assert_eq!(other.range.unwrap().0.get(), 6, "the position is given again");
        assert_ne!(other.cursor.epoch(), before.cursor.epoch(), "but not in the same epoch");
        let page = node.read_log(&LogQuery::after(before.cursor.clone())).await;
        assert!(matches!(page, Err(StoreError::EpochChanged { .. })), "{page:?}");
        // An error of the connection ends a follower as well; whoever follows again from its cursor is told then.
        let reset = match following.next().await {
            Some(Ok(item)) => item,
            _ => {
                let again = follow(
                    Arc::new(node.clone()),
                    before.cursor.clone(),
                    Filter::ALL,
                    FollowOptions::default(),
                );
                std::pin::pin!(again).next().await.unwrap().unwrap()
            }
        };
        assert!(matches!(reset, Followed::Reset(ResetReason::Epoch, _)), "{reset:?}");
        assert_eq!(node.verify().await.unwrap().problems, []);
        node.close().await;
        let fresh = place.open().await;
        assert_eq!(fresh.epoch().as_ref(), Some(other.cursor.epoch()), "once begun, it stays");
    });
}

/// A node that only reads, and has handed out what the failover lost: it must not vouch for the log by what it opened it with.
#[test]
fn a_reader_is_told_when_what_it_was_given_is_gone() {
    let cluster = Cluster::start(&Settings::default()).unwrap();
    let place = Place::on(&cluster.url());
    let (data, copied) = (cluster.folder().join("data"), cluster.folder().join("copy"));
    block_on(async {
        let writer = place.open().await;
        fill(&writer, 0..5).await;
        cluster.stop_immediate().unwrap();
        copy(&data, &copied);
        cluster.restart().unwrap();
        // Its own look at the head never comes: what it knows is what it reads.
        let seldom = Options { poll: std::time::Duration::from_secs(3_600), ..Options::default() };
        let reader = place.open_with(seldom).await;
        assert_eq!(flightdeck_tests::whole_log(&reader).await.len(), 5);
        fill(&writer, 5..10).await;
        let page = reader.read_log(&LogQuery::default()).await.unwrap();
        assert_eq!(page.events.len(), 10);
        writer.close().await;
        drop(writer);
        cluster.stop_immediate().unwrap();
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::rename(&copied, &data).unwrap();
        cluster.restart().unwrap();
        super::eventually("it appends again", || async {
            reader.append(Append::of([event(100)])).await.is_ok()
        })
        .await;
        fill(&reader, 101..107).await;
        let on = reader.read_log(&LogQuery::after(page.scanned_to())).await;
        assert!(matches!(on, Err(StoreError::EpochChanged { .. })), "{on:?}");
    });
}

#[test]
fn a_failover_that_lost_nothing_keeps_the_epoch_if_a_node_can_vouch_for_it() {
    let cluster = Cluster::start(&Settings::default()).unwrap();
    let place = Place::on(&cluster.url());
    block_on(async {
        let node = place.open().await;
        fill(&node, 0..5).await;
        let epoch = node.epoch().unwrap();
        promote(&cluster, &place).await;
        fill(&node, 5..7).await;
        assert_eq!(node.epoch().unwrap(), epoch, "the node knows that it is the same log");
        assert_eq!(place.open().await.epoch().unwrap(), epoch, "and that was written down");
        node.close().await;
        drop(node);
        // The next time nobody is there who remembers.
        promote(&cluster, &place).await;
        let fresh = place.open().await;
        assert_ne!(fresh.epoch().unwrap(), epoch);
        assert_eq!(flightdeck_tests::whole_log(&fresh).await.len(), 7);
    });
}

/// Makes a standby of the server, and then a primary again: on another timeline.
async fn promote(cluster: &Cluster, place: &Place) {
    cluster.stop_immediate().unwrap();
    std::fs::write(cluster.folder().join("data/standby.signal"), "").unwrap();
    cluster.restart().unwrap();
    let refused = PostgresStore::open(&place.url(), Options::default()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Standby), "{refused}");
    let client = connect(&cluster.url(), "public").await;
    assert!(client.query_one("SELECT pg_promote(true)", &[]).await.unwrap().get::<_, bool>(0));
}

#[test]
fn a_dump_that_is_restored_is_another_life_of_the_log() {
    let place = Place::new();
    let programs = programs().unwrap();
    block_on(async {
        let node = place.open().await;
        for number in 0..20 {
            node.append(flightdeck_tests::append(number)).await.unwrap();
        }
        let log = flightdeck_tests::whole_log(&node).await;
        let dump = Command::new(programs.join("pg_dump"))
            .args(["-n", &place.schema, &place.server])
            .output()
            .unwrap();
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        let database = format!("{}_restored", place.schema);
        place.raw().await.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let (server, _) = place.server.rsplit_once('/').unwrap();
        let elsewhere = Place { server: format!("{server}/{database}"), schema: place.schema.clone() };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dump.sql");
        std::fs::write(&file, dump.stdout).unwrap();
        let restored = Command::new(programs.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(&file)
            .arg(&elsewhere.server)
            .output()
            .unwrap();
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        let copy = elsewhere.open().await;
        assert_ne!(copy.epoch(), node.epoch(), "its cursors are not those of the original");
        assert_eq!(flightdeck_tests::whole_log(&copy).await, log, "hashes and times included");
        assert_eq!(copy.verify().await.unwrap().problems, []);
        assert!(copy.append(flightdeck_tests::append(3)).await.unwrap().duplicate);
        copy.append(flightdeck_tests::append(20)).await.unwrap();
        assert_eq!(place.open().await.epoch(), node.epoch(), "and the original goes on as before");
    });
}
