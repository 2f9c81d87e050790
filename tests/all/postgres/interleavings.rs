//! Races that were thought of, step by step, on raw connections and two nodes: each goes right, and each goes wrong once the
//! mechanism is taken away. (F45–F48, F54, F56, F57)

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flightdeck_core::{EventType, Position, StreamId};
use flightdeck_store::{
    Append, AppendError, Condition, ConditionItem, EventStore as _, Filter, FollowOptions, Followed,
    LogQuery, NewEvent, Outcome, Reason, follow,
};
use flightdeck_store_postgres::{Options, PostgresStore};
use futures_util::StreamExt as _;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::proxy::{Proxy, port_of};
use super::{Place, append_raw, connect, event, eventually};
use crate::victim::{Victim, block_on, victim};

/// Positions of everything that a reader sees who goes on from where it was.
async fn read_on(store: &dyn flightdeck_store::EventStore, seen: &mut Vec<i64>) {
    let after = seen.last().map_or(Position::START, |last| Position::new(*last).unwrap());
    let page = store.read_log(&LogQuery::after(after)).await.unwrap();
    seen.extend(page.events.iter().map(|event| event.position.get()));
}

/// Waits until a connection waits for a lock. `false`: it did what it was to do without waiting.
async fn waits(
    watcher: &Client,
    pid: i32,
    done: &tokio::task::JoinHandle<Result<i64, tokio_postgres::Error>>,
) -> bool {
    for _ in 0..500 {
        let sql = "SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted";
        if watcher.query_one(sql, &[&pid]).await.unwrap().get::<_, i64>(0) > 0 {
            return true;
        }
        if done.is_finished() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it neither waits nor is through");
}

async fn pid(client: &Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0)
}

/// Two transactions of which the first to begin is the last to commit, and a reader in between. What goes wrong, if anything.
async fn first_in_last_out(place: &Place) -> Result<(), String> {
    let store = place.open().await;
    let (first, second, watcher) = (place.raw().await, place.raw().await, place.raw().await);
    first.batch_execute("BEGIN").await.unwrap();
    let one = append_raw(&first, 1).await.unwrap();
    let second_pid = pid(&second).await;
    let other = tokio::spawn(async move { append_raw(&second, 2).await });
    let waited = waits(&watcher, second_pid, &other).await;
    let mut seen = Vec::new();
    read_on(&store, &mut seen).await;
    first.batch_execute("COMMIT").await.unwrap();
    let two = other.await.unwrap().map_err(|error| format!("the second was refused: {error}"))?;
    read_on(&store, &mut seen).await;
    if (one, two) != (1, 2) || seen != [1, 2] || !waited {
        return Err(format!("positions {one} and {two}, and the reader saw {seen:?}"));
    }
    Ok(())
}

#[test]
fn positions_are_given_in_the_order_of_commits() {
    block_on(first_in_last_out(&Place::new())).unwrap();
}

/// Without the lock on the sequencer both get the same number, and one of them fails.
#[test]
fn without_the_sequencer_the_order_of_commits_goes_wrong() {
    block_on(async {
        let place = Place::new();
        place.open().await.close().await;
        let raw = place.raw().await;
        let source = "SELECT pg_get_functiondef('fd_append'::regproc)";
        let source: String = raw.query_one(source, &[]).await.unwrap().get(0);
        assert!(source.contains("FROM fd_sequencer q FOR UPDATE"));
        raw.batch_execute(&source.replace("FROM fd_sequencer q FOR UPDATE", "FROM fd_sequencer q"))
            .await
            .unwrap();
        let wrong = first_in_last_out(&place).await;
        assert!(wrong.is_err(), "the script does not see that nobody waits for anybody");
    });
}

/// What most stores do: a number from a sequence, and a reader that goes on from the highest it has seen.
#[test]
fn a_plain_sequence_would_skip_and_burn() {
    block_on(async {
        let place = Place::new();
        let (first, second) = (place.raw().await, place.raw().await);
        let table = format!("{0}_naive (position bigserial PRIMARY KEY)", place.schema);
        first.batch_execute(&format!("CREATE TABLE public.{table}")).await.unwrap();
        let insert = format!("INSERT INTO public.{}_naive DEFAULT VALUES", place.schema);
        let read = format!(
            "SELECT position FROM public.{}_naive WHERE position > $1 ORDER BY position",
            place.schema
        );
        first.batch_execute(&format!("BEGIN; {insert}")).await.unwrap();
        second.batch_execute(&insert).await.unwrap();
        let mut seen: Vec<i64> =
            second.query(&read, &[&0_i64]).await.unwrap().iter().map(|row| row.get(0)).collect();
        first.batch_execute("COMMIT").await.unwrap();
        let after = *seen.last().unwrap();
        seen.extend(second.query(&read, &[&after]).await.unwrap().iter().map(|row| row.get::<_, i64>(0)));
        assert_eq!(seen, [2], "this reader has skipped the first event, and never comes back to it");
        first.batch_execute(&format!("BEGIN; {insert}; ROLLBACK; {insert}")).await.unwrap();
        let all: Vec<i64> =
            second.query(&read, &[&0_i64]).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(all, [1, 2, 4], "and a number is burned");
    });
}

#[test]
fn a_transaction_that_is_taken_back_burns_no_number() {
    block_on(async {
        let place = Place::new();
        let store = place.open().await;
        let raw = place.raw().await;
        for round in 0..5 {
            raw.batch_execute("BEGIN").await.unwrap();
            assert_eq!(append_raw(&raw, 100 + round).await.unwrap(), i64::try_from(round).unwrap() + 1);
            raw.batch_execute("ROLLBACK").await.unwrap();
            let done = store.append(Append::of([event(round)])).await.unwrap();
            assert_eq!(done.range.unwrap().0.get(), i64::try_from(round).unwrap() + 1);
        }
        assert_eq!(flightdeck_tests::whole_log(&store).await.len(), 5);
    });
}

/// A transaction that someone leaves open in another database of the same cluster holds up whoever waits for the oldest one.
#[test]
fn a_long_transaction_elsewhere_holds_nobody_up() {
    block_on(async {
        let place = Place::new();
        let (node, other) = (place.open().await, place.open().await);
        let raw = place.raw().await;
        let elsewhere = format!("{}_elsewhere", place.schema);
        raw.batch_execute(&format!("CREATE DATABASE {elsewhere}")).await.unwrap();
        let (server, _) = place.server.rsplit_once('/').unwrap();
        let blocker = connect(&format!("{server}/{elsewhere}"), "public").await;
        blocker.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
        // The usual repair of a plain sequence: only what is older than every running transaction may be read.
        let naive = format!("public.{}_visible", place.schema);
        raw.batch_execute(&format!(
            "CREATE TABLE {naive} (position bigserial, tx xid8 DEFAULT pg_current_xact_id()); INSERT INTO {naive} DEFAULT VALUES"
        ))
        .await
        .unwrap();
        let safe = format!("SELECT count(*) FROM {naive} WHERE tx < pg_snapshot_xmin(pg_current_snapshot())");

        let following =
            follow(std::sync::Arc::new(other), Position::START, Filter::ALL, FollowOptions::default());
        let mut following = std::pin::pin!(following);
        assert!(matches!(following.next().await, Some(Ok(Followed::CaughtUp(_)))));
        let begin = Instant::now();
        for number in 0..20 {
            node.append(Append::of([event(number)])).await.unwrap();
            let Some(Ok(Followed::Event(arrived, _))) = following.next().await else { panic!("no event") };
            assert_eq!(arrived.position.get(), i64::try_from(number).unwrap() + 1);
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(
            raw.query_one(&safe, &[]).await.unwrap().get::<_, i64>(0),
            0,
            "that reader would still wait"
        );
        blocker.batch_execute("ROLLBACK").await.unwrap();
        // Other tests write to the same server meanwhile, and hold that reader up as well, each for a moment.
        eventually("that reader goes on", || async {
            raw.query_one(&safe, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
    });
}

/// The connection that listens is lost; something is appended before it listens again. Whether the follower hears of it.
async fn hears_what_came_while_it_did_not_listen(order: &str) -> bool {
    let place = Place::new();
    let node = place.open().await;
    let proxy = Proxy::to(port_of(&place.server)).await;
    let mut command = victim(&["follow", &place.url(), &proxy.url(&place.server)]);
    command.env("FLIGHTDECK_FAULT_LISTEN", order);
    let mut follower = Victim::start(command);
    follower.until(|said| said.count("CaughtUp") == 1);
    follower.hear_for(Duration::from_secs(1));
    node.append(Append::of([event(1)])).await.unwrap();
    follower.until(|said| said.count("event 1") == 1);
    // One connection was there to try whether notifications arrive, and one listens.
    let listened = proxy.through();
    proxy.cut();
    node.append(Append::of([event(2)])).await.unwrap();
    proxy.mend();
    // What came while nobody listened is found by the look at the head.
    eventually("it connects again", || async { proxy.through() > listened }).await;
    follower.until(|said| said.count("event 2") == 1);
    // And what comes between the two steps of connecting is not lost either, if they are taken in the right order.
    let listened = proxy.through();
    proxy.cut();
    tokio::time::sleep(Duration::from_millis(50)).await;
    proxy.mend();
    eventually("it connects again", || async { proxy.through() > listened }).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    node.append(Append::of([event(3)])).await.unwrap();
    follower.hear_for(Duration::from_secs(2));
    let heard = follower.said.count("event 3") == 1;
    follower.kill();
    heard
}

#[test]
fn a_listener_that_was_away_misses_nothing() {
    assert!(block_on(hears_what_came_while_it_did_not_listen("listen-first")));
}

#[test]
fn a_listener_that_looks_before_it_listens_would_miss_something() {
    assert!(
        !block_on(hears_what_came_while_it_did_not_listen("head-first")),
        "the script does not see the gap"
    );
}

#[test]
fn a_node_that_is_stopped_holds_nobody_up() {
    let _alone = super::nodes::alone();
    let place = Place::new();
    let url = place.url();
    let mut nodes = [0_u64, 1_000_000].map(|from| {
        let mut node = Victim::start(victim(&["node", &url, &from.to_string(), "4", "1"]));
        node.until(|said| said.acked.len() >= 5);
        node
    });
    let mut slowest = Duration::ZERO;
    for round in 0..12_u64 {
        let [first, second] = &mut nodes;
        let (stopped, running) = if round % 2 == 0 { (first, second) } else { (second, first) };
        running.hear_for(Duration::from_millis(round * 3));
        stopped.signal("-STOP");
        running.hear_for(Duration::ZERO);
        let (acked, begin) = (running.said.acked.len(), Instant::now());
        running.until(|said| said.acked.len() >= acked + 20);
        slowest = slowest.max(begin.elapsed());
        stopped.signal("-CONT");
        let acked = stopped.said.acked.len();
        stopped.until(|said| said.acked.len() >= acked + 5);
    }
    assert!(slowest < Duration::from_secs(2), "a node waited {slowest:?} for one that was stopped");
    super::nodes::settle(&place, nodes.into());
}

/// What a node would be that begins a transaction, appends, and commits in calls of their own, stopped in between: a process
/// of its own that holds the sequencer. Whether another node goes on.
fn goes_on_beside(transaction: &str) -> bool {
    let place = Place::new();
    let patient = Options { answer_wait: Duration::from_secs(1), ..Options::default() };
    let node = block_on(place.open_with(patient));
    let psql = flightdeck_test_postgres::programs().unwrap().join("psql");
    let mut careless = Command::new(psql);
    careless.args(["-X", "-q", "-A", "-t", &place.server]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut careless = careless.spawn().unwrap();
    let mut input = careless.stdin.take().unwrap();
    writeln!(input, "SET search_path TO {}; {transaction} SELECT 'holding';", place.schema).unwrap();
    let mut said = BufReader::new(careless.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap() == "holding"));
    let signal = |signal: &str| {
        assert!(Command::new("kill").args([signal, &careless.id().to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    let done = block_on(node.append(Append::of([event(1)])));
    signal("-CONT");
    drop(input);
    careless.wait().unwrap();
    block_on(node.append(Append::of([event(2)]))).unwrap();
    done.is_ok()
}

#[test]
fn a_node_that_appended_in_calls_of_its_own_would_hold_everyone_up_when_stopped() {
    assert!(
        goes_on_beside("SELECT epoch FROM fd_sequencer FOR UPDATE;"),
        "alone, it is a transaction of its own"
    );
    assert!(
        !goes_on_beside("BEGIN; SELECT epoch FROM fd_sequencer FOR UPDATE;"),
        "the script does not see who holds the sequencer"
    );
}

/// How many pages a look at the head touches.
async fn touched(client: &Client, what: &str) -> i64 {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {what}");
    // What a session looks up once about a table that has grown is not what a look costs.
    client.simple_query(&explain).await.unwrap();
    let plan = client.simple_query(&explain).await.unwrap();
    let text = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    let text = plan.iter().find_map(text).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    plan[0]["Plan"]["Shared Hit Blocks"].as_i64().unwrap()
        + plan[0]["Plan"]["Shared Read Blocks"].as_i64().unwrap()
}

/// A dump, or a report, keeps an old snapshot of the same database for as long as it runs.
#[test]
fn an_old_snapshot_makes_no_look_at_the_head_dearer() {
    block_on(async {
        let place = Place::new();
        let (node, old, raw) = (place.open().await, place.raw().await, place.raw().await);
        let look = "SELECT epoch, position, hash FROM fd_head";
        raw.batch_execute("SET enable_seqscan TO off").await.unwrap();
        raw.batch_execute(
            "CREATE TABLE naive (one int PRIMARY KEY, position bigint, more text) WITH (fillfactor = 50)",
        )
        .await
        .unwrap();
        raw.batch_execute("INSERT INTO naive VALUES (1, 0, repeat('x', 200))").await.unwrap();
        let naive = "SELECT position FROM naive WHERE one = 1";
        node.append(Append::of([event(0)])).await.unwrap();
        old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM fd_head").await.unwrap();
        let before = (touched(&raw, look).await, touched(&raw, naive).await);
        for number in 1..1_000 {
            node.append(Append::of([event(number)])).await.unwrap();
            raw.batch_execute("UPDATE naive SET position = position + 1").await.unwrap();
        }
        let after = (touched(&raw, look).await, touched(&raw, naive).await);
        assert!(after.0 <= before.0 + 2, "{} pages before, {} after", before.0, after.0);
        assert!(after.1 > before.1 + 5, "the script does not see what an old snapshot does to a counter");
        let size = "SELECT pg_relation_size('fd_sequencer')";
        assert_eq!(raw.query_one(size, &[]).await.unwrap().get::<_, i64>(0), 8_192);
    });
}

/// A condition that asks about much is looked at before its turn; what comes in between is not missed.
#[test]
fn what_comes_between_a_long_look_and_its_turn_still_breaks_a_condition() {
    block_on(async {
        let place = Place::new();
        let node = place.open().await;
        for part in 0..4 {
            let events = (0..1_000).map(|number| NewEvent {
                stream: StreamId::new("many-1").unwrap(),
                ..event(part * 1_000 + number)
            });
            node.append(Append::of(events)).await.unwrap();
        }
        let item = |event_type: &str| ConditionItem {
            tags: Vec::new(),
            types: vec![EventType::new(event_type).unwrap()],
        };
        let raw = place.raw().await;
        let append = |number: u128, any: Vec<ConditionItem>| Append {
            condition: Some(Condition { after: Position::START.into(), any }),
            ..Append::of([NewEvent { event_type: EventType::new("Decided").unwrap(), ..event(number) }])
        };
        node.append(append(5_000, vec![item("Other")])).await.unwrap();
        let failed = node.append(append(5_001, vec![item("Raw")])).await.unwrap_err();
        assert!(
            matches!(failed, AppendError::ConditionFailed { position } if position.get() == 1),
            "{failed}"
        );
        // Whoever holds the sequencer appends what breaks the condition, after the look and before the turn.
        raw.batch_execute("BEGIN; SELECT * FROM fd_sequencer FOR UPDATE").await.unwrap();
        let asking = node.clone();
        let late = append(5_002, vec![item("Late"), item("Later")]);
        let asked = tokio::spawn(async move { asking.append(late).await });
        eventually("it waits for its turn", || async {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%fd_append(%'";
            raw.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0
        })
        .await;
        raw.batch_execute("SET LOCAL flightdeck.appends TO yes; INSERT INTO fd_type VALUES (99, 'Late')")
            .await
            .unwrap();
        raw.batch_execute("INSERT INTO fd_log SELECT 4002, stream, 4002, recorded, occurred, gen_random_uuid(), 99, schema, 0, checksum,
            hash, key, actor, correlation, causation, tags, tombstone, further, data FROM fd_log WHERE position = 4000; COMMIT").await.unwrap();
        let failed = asked.await.unwrap().unwrap_err();
        assert!(
            matches!(failed, AppendError::ConditionFailed { position } if position.get() == 4_002),
            "{failed}"
        );
    });
}

/// A node that migrates takes its time; another one that starts meanwhile waits, however long an answer may take otherwise.
#[test]
fn who_starts_while_another_migrates_waits_for_it() {
    block_on(async {
        let place = Place::new();
        let slow = place.raw().await;
        let lock = format!("flightdeck migrates {}", place.schema);
        slow.batch_execute("BEGIN").await.unwrap();
        slow.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&lock]).await.unwrap();
        let impatient = Options { answer_wait: Duration::from_millis(200), ..Options::default() };
        let url = place.url();
        let waiting = tokio::spawn(async move { PostgresStore::migrate(&url, &impatient).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished(), "it did not wait");
        slow.batch_execute("COMMIT").await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap().len(), 3);
    });
}

/// What a node that were stopped inside a transaction of its own would do to the others; ours has none to be stopped in.
#[test]
fn whoever_holds_the_sequencer_delays_appends_and_no_reads() {
    block_on(async {
        let place = Place::new();
        let patient = Options { answer_wait: Duration::from_secs(1), ..Options::default() };
        let node = place.open_with(patient).await;
        node.append(Append::of([event(0)])).await.unwrap();
        let holder = place.raw().await;
        holder.batch_execute("BEGIN; SELECT * FROM fd_sequencer FOR UPDATE").await.unwrap();
        let refused = node.append(Append::of([event(1)])).await.unwrap_err();
        assert!(matches!(&refused, AppendError::NotCommitted { reason: Reason::Busy, .. }), "{refused}");
        assert!(refused.retry_helps() && refused.outcome() == Outcome::NotCommitted);
        let begin = Instant::now();
        assert_eq!(flightdeck_tests::whole_log(&node).await.len(), 1);
        assert!(begin.elapsed() < Duration::from_millis(900), "a read waited {:?}", begin.elapsed());
        holder.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(node.append(Append::of([event(1)])).await.unwrap().range.unwrap().0.get(), 2);
        let limits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flightdeck' AND state = 'idle in transaction' AND query LIKE '%fd_append(%'";
        assert_eq!(
            holder.query_one(limits, &[]).await.unwrap().get::<_, i64>(0),
            0,
            "no node keeps a transaction open"
        );
    });
}
