//! Much at once: pages that are folded in pieces, pieces of work that are staged, and appends in between.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{EventType, Json, StreamId};
use flightdeck_projections::{Projection, Reads, Runner, RunnerOptions};
use flightdeck_store::view::{FoldError, Key, Kind, Mark, Rows, Table, ViewQuery};
use flightdeck_store::{Append, NewEvent, Recorded};

use crate::counts::Counts;
use crate::ground::{Ground, eventually, name, quick};
use crate::small::Small;

const LONG: Duration = Duration::from_secs(60);

/// An event names a group, and each row of the group counts one up.
struct Fan {
    rows: i64,
    pad: usize,
}

fn group(event: &Recorded) -> Result<String, FoldError> {
    Ok(serde_json::from_slice(event.data_bytes())?)
}

impl Projection for Fan {
    fn name(&self) -> &'static str {
        "fan"
    }
    fn reads(&self) -> Reads {
        Reads::types(["Fanned"])
    }
    fn tables(&self) -> Vec<Table> {
        let table = Table::named("fan").key("g", Kind::Text).key("n", Kind::Integer);
        vec![table.column("count", Kind::Integer).column("pad", Kind::Text)]
    }
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(vec![Key::of("fan", group(event)?)])
    }
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let group = group(event)?;
        for number in 0..self.rows {
            let key = [group.as_str().into(), number.into()];
            let before = rows.find("fan", &key).and_then(|row| row.integer("count")).unwrap_or(0);
            let [group, number] = key;
            rows.put("fan", [group, number, (before + 1).into(), "x".repeat(self.pad).into()])?;
        }
        Ok(())
    }
}

fn fanned(group: usize) -> NewEvent {
    let data = Json::new(format!("\"{group}\""), 1_000).unwrap();
    NewEvent::new(StreamId::new("f-1").unwrap(), EventType::new("Fanned").unwrap(), data)
}

async fn fan_out(ground: &Ground, groups: usize) {
    ground.store.append(Append::of((0..groups).map(fanned))).await.unwrap();
}

/// How much was counted, in how many rows.
async fn counted(ground: &Ground) -> (i64, i64) {
    let mut query = ViewQuery::of(name("fan"), 1, "fan");
    let (mut sum, mut rows) = (0, 0);
    loop {
        let page = ground.views.ask(&query).await.unwrap();
        sum += page.rows.iter().map(|row| row.integer("count").unwrap()).sum::<i64>();
        rows += i64::try_from(page.rows.len()).unwrap();
        match query.next(&page) {
            Some(next) => query = next,
            None => return (sum, rows),
        }
    }
}

async fn ready_at(ground: &Ground, view: &str, position: i64) {
    eventually("it has caught up", async || {
        let state = ground.state(view).await;
        state.ready && state.checkpoint.position.get() == position
    })
    .await;
}

async fn loses_nothing_of_a_page_that_is_folded_in_pieces(ground: Ground) {
    let running = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick());
    let running = running.projection(Fan { rows: 100, pad: 13_000 }).start().await.unwrap();
    eventually("it is ready", async || ground.state("fan").await.ready).await;
    // More rows than one piece of work may have, and more bytes than are held for long, in one page; and each row twice.
    let events: Vec<NewEvent> = (0..80).chain(0..80).map(fanned).collect();
    ground.store.append(Append::of(events)).await.unwrap();
    ready_at(&ground, "fan", 160).await;
    assert_eq!(counted(&ground).await, (160 * 100, 80 * 100));
    running.stop().await;
}

async fn an_event_may_change_more_rows_than_a_piece_of_work_has(ground: Ground) {
    let running = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick());
    let running = running.projection(Fan { rows: 3_000, pad: 1 }).start().await.unwrap();
    eventually("it is ready", async || ground.state("fan").await.ready).await;
    fan_out(&ground, 2).await;
    ready_at(&ground, "fan", 2).await;
    assert_eq!(counted(&ground).await, (6_000, 6_000));
    running.stop().await;
}

/// While the store is at one piece it gets the next one, and no more; and each where the one before ended.
async fn a_slow_store_has_two_pieces_at_once_in_their_order(ground: Ground) {
    let slow = Arc::new(Small::slow(Arc::clone(&ground.views), Duration::from_millis(30)));
    let options =
        RunnerOptions { linger: Duration::from_millis(1), gather: Duration::ZERO, lease: LONG, ..quick() };
    let running = Runner::new(Arc::clone(&ground.store), Arc::clone(&slow) as _).options(options);
    let running = running.projection(Counts::named("counts")).start().await.unwrap();
    eventually("it is ready", async || ground.state("counts").await.ready).await;
    for _ in 0..200 {
        ground.append("a-1", "Counted", "\"a\"").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ready_at(&ground, "counts", 200).await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 200)]);
    running.stop().await;
    let turns = slow.turns();
    assert!(turns.iter().all(|(at_once, refused)| *at_once <= 2 && !refused), "{turns:?}");
    assert!(
        turns.iter().any(|(at_once, _)| *at_once == 2),
        "the next was there when one was done: {turns:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_appended_while_work_is_staged_is_counted_once() {
    let ground = Ground::sqlite();
    for _ in 0..10 {
        fan_out(&ground, 100).await;
    }
    let running = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick());
    let running = running.inline(Fan { rows: 100, pad: 20 }).start().await.unwrap();
    let path = ground.folder.as_ref().unwrap().path().join("log.db");
    let staged = || {
        let conn = rusqlite::Connection::open(&path).unwrap();
        let staged =
            conn.query_row("SELECT staged FROM fd_projection", [], |row| row.get::<_, Option<String>>(0));
        staged.is_ok_and(|staged| staged.is_some())
    };
    eventually("something is staged", async || staged()).await;
    for _ in 0..5 {
        ground.store.append(Append::of([fanned(0)])).await.unwrap();
    }
    ready_at(&ground, "fan", 1_005).await;
    assert_eq!(counted(&ground).await, (1_005 * 100, 100 * 100));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inline_is_at_the_head_whatever_a_group_brings() {
    let ground = Ground::sqlite();
    let running = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick());
    let running = running.inline(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ready_at(&ground, "counts", 1).await;
    let each: Vec<_> = (0..8)
        .map(|stream| {
            let (store, views) = (Arc::clone(&ground.store), Arc::clone(&ground.views));
            tokio::spawn(async move {
                let (stream, counted) =
                    (StreamId::new(format!("a-{stream}")).unwrap(), EventType::new("Counted").unwrap());
                let event = NewEvent::new(stream, counted, Json::new("\"a\"", 10).unwrap());
                let done = store.append(Append::of(vec![event; 1_000])).await.unwrap();
                let page = views.ask(&ViewQuery::of(name("counts"), 1, "counts")).await.unwrap();
                page.checkpoint.position >= done.cursor.position()
            })
        })
        .collect();
    for there in each {
        assert!(there.await.unwrap());
    }
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 8_001)]);
    running.stop().await;
}

/// What it does not read moves an inline view as well, in the same commit, and what comes next is folded from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inline_is_at_the_head_whatever_it_reads() {
    let ground = Ground::sqlite();
    let running = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick());
    let running = running.inline(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ready_at(&ground, "counts", 1).await;
    for round in 1..=20 {
        for event_type in ["Other", "Other", "Counted"] {
            let done = ground.append("a-1", event_type, "\"a\"").await;
            let page = ground.views.ask(&ViewQuery::of(name("counts"), 1, "counts")).await.unwrap();
            assert_eq!(page.checkpoint.position, done.cursor.position(), "{event_type}");
        }
        assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 1 + round)]);
    }
    let folded = ground.state("counts").await.checkpoint.folded.unwrap().0;
    ground.append("a-1", "Other", "1").await;
    assert_eq!(ground.state("counts").await.checkpoint.folded.unwrap().0, folded, "nothing was folded");
    running.stop().await;
}

/// What came while an inline view was paused is too much for the appends: its runner brings it near, and then they go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inline_goes_on_where_its_runner_has_come_to() {
    let ground = Ground::sqlite();
    let running = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick());
    let running = running.inline(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ready_at(&ground, "counts", 1).await;
    let of = ground.state("counts").await.of;
    ground.views.mark(&of, Mark::Pause).await.unwrap();
    for _ in 0..5 {
        ground.store.append(Append::of(vec![fanned(0); 1_000])).await.unwrap();
    }
    ground.views.mark(&of, Mark::Resume).await.unwrap();
    // Seen by the appends while it is far behind.
    ground.append("a-1", "Counted", "\"a\"").await;
    ready_at(&ground, "counts", 5_002).await;
    for count in 3..=10 {
        let done = ground.append("a-1", "Counted", "\"a\"").await;
        assert_eq!(ground.state("counts").await.checkpoint.position, done.cursor.position());
        assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), count)]);
    }
    running.stop().await;
}

crate::on_both! {
    loses_nothing_of_a_page_that_is_folded_in_pieces
    an_event_may_change_more_rows_than_a_piece_of_work_has
    a_slow_store_has_two_pieces_at_once_in_their_order
}
