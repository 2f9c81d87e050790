//! What can't be folded: that view comes to a halt before it, says why, and all others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flightdeck_projections::{Admin, AdminError, Defined, Runner};
use flightdeck_store::LogQuery;
use flightdeck_store::view::HaltKind;

use crate::counts::{Counts, Poison};
use crate::ground::{Ground, eventually, name, quick};

fn runner(ground: &Ground) -> Runner {
    Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick())
}

async fn appended(ground: &Ground) {
    for name in ["a", "a", "poison", "a", "b"] {
        ground.append("a-1", "Counted", &format!("\"{name}\"")).await;
    }
}

/// It stands before the third event, with two folded, and says so.
async fn stands(ground: &Ground, says: &str) {
    eventually("the view comes to a halt", async || ground.state("counts").await.halt.is_some()).await;
    let state = ground.state("counts").await;
    let halt = state.halt.unwrap();
    let event = ground.store.read_log(&LogQuery::default()).await.unwrap().events.remove(2);
    assert_eq!((halt.kind, halt.position, halt.event), (HaltKind::Poison, event.position, Some(event.id)));
    assert!(halt.error.contains(says), "{halt}");
    assert_eq!(state.checkpoint.position.get(), 2, "what came before it is folded");
}

/// It has all five, and can be asked.
async fn goes_on(ground: &Ground) {
    eventually("it goes on", async || {
        let state = ground.state("counts").await;
        state.ready && state.checkpoint.position.get() >= 5
    })
    .await;
}

async fn halts_at(ground: &Ground, poison: Poison, says: &str) {
    let running = runner(ground).projection(Counts::with(poison)).projection(Counts::named("others"));
    let running = running.start().await.unwrap();
    appended(ground).await;
    stands(ground, says).await;
    eventually("others go on", async || ground.state("others").await.checkpoint.position.get() == 5).await;
    running.stop().await;
}

async fn a_fold_that_fails_halts_its_view_only(ground: Ground) {
    halts_at(&ground, Poison::Fails, "it is poison").await;
}

async fn a_fold_that_panics_halts_its_view_only(ground: Ground) {
    halts_at(&ground, Poison::Panics, "it is poison").await;
}

async fn a_fold_that_hangs_halts_its_view_only(ground: Ground) {
    halts_at(&ground, Poison::Hangs, "longer than 0.5 seconds").await;
}

async fn nothing_is_kept_of_a_fold_that_fails_half_way(ground: Ground) {
    halts_at(&ground, Poison::FailsHalfWay, "it is poison").await;
    // Nobody fails any more, and what was put half way is not there.
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    goes_on(&ground).await;
    let counts = [("a".to_owned(), 3), ("b".to_owned(), 1), ("poison".to_owned(), 1)];
    assert_eq!(ground.counts("counts", 1).await, counts);
    assert_eq!(ground.state("counts").await.halt, None);
    running.stop().await;
}

async fn an_event_that_is_no_such_event_halts_it(ground: Ground) {
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ground.append("a-1", "Counted", "{}").await;
    eventually("the view comes to a halt", async || ground.state("counts").await.halt.is_some()).await;
    let halt = ground.state("counts").await.halt.unwrap();
    assert_eq!((halt.kind, halt.position.get()), (HaltKind::Poison, 2));
    running.stop().await;
}

async fn is_tried_again_a_few_times(ground: Ground) {
    let good = Arc::new(AtomicBool::new(false));
    let options = flightdeck_projections::RunnerOptions {
        retry_pause: std::time::Duration::from_millis(200),
        ..quick()
    };
    let counts = Counts::with(Poison::Until(Arc::clone(&good)));
    let running = runner(&ground).options(options).projection(counts).start().await.unwrap();
    appended(&ground).await;
    eventually("it has come as far as it can", async || {
        ground.state("counts").await.checkpoint.position.get() == 2
    })
    .await;
    good.store(true, Ordering::SeqCst);
    eventually("it goes on by itself", async || ground.state("counts").await.checkpoint.position.get() == 5)
        .await;
    assert_eq!(ground.state("counts").await.halt, None);
    running.stop().await;
}

async fn goes_on_when_it_is_resumed(ground: Ground) {
    let good = Arc::new(AtomicBool::new(false));
    let counts = Counts::with(Poison::Until(Arc::clone(&good)));
    let running = runner(&ground).projection(counts).start().await.unwrap();
    appended(&ground).await;
    stands(&ground, "it is poison").await;
    good.store(true, Ordering::SeqCst);
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    admin.resume(&name("counts"), "ada").await.unwrap();
    goes_on(&ground).await;
    assert_eq!(ground.counts("counts", 1).await[2], ("poison".to_owned(), 1));
    running.stop().await;
}

async fn an_event_is_left_out_on_demand_and_in_every_rebuild(ground: Ground) {
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    let running = runner(&ground).projection(Counts::with(Poison::Fails)).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    eventually("it runs", async || ground.state("counts").await.checkpoint.position.get() == 1).await;
    assert!(matches!(admin.skip(&name("counts"), "ada").await, Err(AdminError::NotHalted(_))));
    for name in ["a", "poison", "a", "b"] {
        ground.append("a-1", "Counted", &format!("\"{name}\"")).await;
    }
    eventually("the view comes to a halt", async || ground.state("counts").await.halt.is_some()).await;
    assert_eq!(admin.skip(&name("counts"), "ada").await.unwrap().get(), 3);
    let counts = [("a".to_owned(), 3), ("b".to_owned(), 1)];
    goes_on(&ground).await;
    assert_eq!(ground.counts("counts", 1).await, counts);
    let audit = ground.store.read_log(&LogQuery::default()).await.unwrap().events.pop().unwrap();
    let event = ground.store.read_log(&LogQuery::default()).await.unwrap().events[2].id;
    assert_eq!(audit.event_type.as_str(), "ProjectionEventSkipped");
    let data = String::from_utf8(audit.data_bytes().to_vec()).unwrap();
    assert_eq!(data, format!("{{\"projection\":\"counts\",\"position\":3,\"eventId\":\"{event}\"}}"));
    let plan = Defined::new(Arc::new(Counts::named("counts"))).unwrap().plan().clone();
    admin.rebuild(&plan, "ada").await.unwrap();
    eventually("the second build serves", async || {
        let all = ground.states("counts").await;
        all.len() == 1 && all[0].of.build == 2 && all[0].serving
    })
    .await;
    assert_eq!(ground.counts("counts", 1).await, counts, "a rebuild leaves out the same");
    running.stop().await;
}

async fn a_newer_shape_stops_it_until_the_program_knows_it(ground: Ground) {
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ground.append_of("a-1", "Other", 7, "\"a\"").await;
    ground.append_of("a-1", "Counted", 2, "\"a\"").await;
    eventually("it stops", async || ground.state("counts").await.halt.is_some()).await;
    let state = ground.state("counts").await;
    let halt = state.halt.unwrap();
    assert_eq!(
        (halt.kind, halt.position.get(), state.checkpoint.position.get()),
        (HaltKind::NeedsUpgrade, 3, 2)
    );
    assert!(halt.error.contains("schema 2, and this program knows up to 1"), "{halt}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inline_view_halts_and_the_append_succeeds() {
    for poison in [Poison::Fails, Poison::Panics, Poison::FailsHalfWay] {
        let ground = Ground::sqlite();
        let running = runner(&ground).inline(Counts::with(poison)).inline(Counts::named("others"));
        let running = running.start().await.unwrap();
        eventually("both are ready", async || {
            ground.state("counts").await.ready && ground.state("others").await.ready
        })
        .await;
        // Whether the writer or the runner meets it first, it comes to the same.
        appended(&ground).await;
        stands(&ground, "it is poison").await;
        assert_eq!(ground.state("others").await.checkpoint.position.get(), 5);
        assert_eq!(ground.counts("others", 1).await.len(), 3);
        assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 2)]);
        running.stop().await;
    }
}

crate::on_both! {
    a_fold_that_fails_halts_its_view_only
    a_fold_that_panics_halts_its_view_only
    a_fold_that_hangs_halts_its_view_only
    nothing_is_kept_of_a_fold_that_fails_half_way
    an_event_that_is_no_such_event_halts_it
    is_tried_again_a_few_times
    goes_on_when_it_is_resumed
    an_event_is_left_out_on_demand_and_in_every_rebuild
    a_newer_shape_stops_it_until_the_program_knows_it
}
