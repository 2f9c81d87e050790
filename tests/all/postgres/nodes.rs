//! Two nodes with two tail readers each, on a server whose processes are killed under load. (F42–F45, F54, T6, T8)

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flightdeck_store::EventStore as _;
use flightdeck_test_postgres::{Cluster, Settings};
use flightdeck_tests::Said;

use super::Place;
use crate::victim::{Victim, block_on, victim};

/// What measures how soon nodes go on does not do so beside another load of nodes.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the load, waits for every tail reader, and holds what was said against the log.
#[track_caller]
pub(crate) fn settle(place: &Place, mut nodes: Vec<Victim>) {
    for node in &mut nodes {
        node.tell("stop");
        node.until(|said| said.count("idle") == 1);
    }
    let store = block_on(place.open());
    let head = block_on(store.head()).unwrap().cursor.position().get();
    let mut all = Said::default();
    for mut node in nodes {
        node.tell(&format!("until {head}"));
        node.until(|said| said.count("tails") == 1);
        let (said, status) = node.end();
        assert!(status.success());
        assert_eq!(said.count("gap") + said.count("reset"), 0, "{:?}", said.other);
        let tails = said.other.iter().find(|line| line.starts_with("tails")).unwrap();
        assert!(
            tails.split(' ').skip(1).all(|at| at == head.to_string()),
            "{tails}, and the head is at {head}"
        );
        assert_eq!(said.tried.len(), said.acked.len(), "whatever was unknown was settled in the end");
        all.tried.extend(said.tried);
        all.acked.extend(said.acked);
    }
    block_on(async {
        flightdeck_tests::check(&store, &all).await;
        let verified = store.verify().await.unwrap();
        assert_eq!(verified.problems, []);
        println!("{} appends acknowledged, {} events in the log", all.acked.len(), verified.events);
        store.close().await;
    });
}

/// Asks a server that may be coming up or going down, again and again until it gives an answer of so many rows.
async fn ask(server: &str, sql: &str, rows: usize) -> Vec<i32> {
    for _ in 0..3_000 {
        if let Ok((client, wire)) = tokio_postgres::connect(server, tokio_postgres::NoTls).await {
            tokio::spawn(wire);
            match client.query(sql, &[]).await {
                Ok(found) if found.len() >= rows => return found.iter().map(|row| row.get(0)).collect(),
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server has no answer after 30 s: {sql}");
}

/// The processes that serve a store's connections, of which there is one sooner or later.
async fn backends(server: &str) -> Vec<i32> {
    let sql =
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'flightdeck' AND pid <> pg_backend_pid()";
    ask(server, sql, 1).await
}

async fn terminate(server: &str, pid: i32) {
    ask(server, &format!("SELECT pg_terminate_backend({pid})::int"), 1).await;
}

/// Waits until every node appends again, and says how long that took.
fn resumed(nodes: &mut [Victim]) -> Duration {
    let begin = Instant::now();
    for node in nodes {
        node.hear_for(Duration::ZERO);
        let acked = node.said.acked.len();
        node.until(|said| said.acked.len() > acked);
    }
    begin.elapsed()
}

#[test]
fn torture_kills_of_the_server_lose_nothing_skip_nothing_and_leave_nothing_unknown() {
    let _alone = alone();
    let rounds: usize =
        std::env::var("FLIGHTDECK_TORTURE_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let cluster = Cluster::start(&Settings::default()).unwrap();
    let place = Place::on(&cluster.url());
    let mut nodes = [0_u64, 1_000_000_000]
        .map(|from| Victim::start(victim(&["node", &place.url(), &from.to_string(), "4", "2"])));
    resumed(&mut nodes);
    let (mut slowest, mut dice) = (Duration::ZERO, u64::from(std::process::id()) + 1);
    for round in 0..rounds {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        nodes[0].hear_for(Duration::from_millis(5 + (dice >> 33) % 100));
        let pids = block_on(backends(&cluster.url()));
        let pid = pids[usize::try_from(dice >> 40).unwrap() % pids.len()];
        // Half of them are ended like any session; a process that is killed takes all others with it.
        match round % 2 {
            0 => block_on(terminate(&cluster.url(), pid)),
            _ => drop(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()),
        }
        if round % (rounds / 2).max(1) == rounds / 4 {
            cluster.kill_postmaster().unwrap();
            cluster.restart().unwrap();
        }
        ready(&cluster);
        slowest = slowest.max(resumed(&mut nodes));
    }
    println!(
        "after {rounds} kills of processes and 2 of the postmaster, the slowest node appended again after {slowest:?}"
    );
    assert!(slowest < Duration::from_secs(2), "appends resumed only after {slowest:?}");
    let unknown: usize = nodes.iter().map(|node| node.said.count("unknown")).sum();
    println!("{unknown} answers were unknown at first");
    settle(&place, nodes.into());
}

/// Waits until the server takes connections, as psql would see it.
fn ready(cluster: &Cluster) {
    cluster.wait_ready().unwrap();
    block_on(ask(&cluster.url(), "SELECT 1", 1));
}

/// Two nodes, eight writers, four followers: every follower gets everything, in order, within moments of the last append.
#[test]
fn many_writers_on_two_nodes_and_no_follower_skips() {
    let _alone = alone();
    let place = Place::new();
    let mut nodes: Vec<_> = [0_u64, 1_000_000]
        .into_iter()
        .map(|from| Victim::start(victim(&["node", &place.url(), &from.to_string(), "16", "2"])))
        .collect();
    for node in &mut nodes {
        node.until(|said| said.acked.len() >= 1_000);
    }
    settle(&place, nodes);
}
