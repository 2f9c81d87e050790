//! The life of a view: it begins, goes on after a restart, is built anew, gets another number, waits when it is told to.

use flightdeck_projections::{Admin, Defined, Runner, StartError};
use flightdeck_store::LogQuery;
use flightdeck_store::view::{Mark, ViewError};
use std::sync::Arc;

use crate::counts::Counts;
use crate::ground::{Ground, eventually, name, quick};

fn runner(ground: &Ground) -> Runner {
    Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick())
}

async fn caught_up(ground: &Ground, view: &str) {
    let head = ground.head().await;
    eventually("the view has caught up", async || {
        let state = ground.state(view).await;
        state.ready && state.checkpoint.position.get() == head
    })
    .await;
}

async fn folds_what_was_there_and_what_comes(ground: Ground) {
    ground.append("a-1", "Counted", "\"a\"").await;
    ground.append("a-1", "Other", "\"a\"").await;
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    caught_up(&ground, "counts").await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 1)]);
    for _ in 0..3 {
        ground.append("a-2", "Counted", "\"a\"").await;
        ground.append("a-2", "Counted", "\"b\"").await;
    }
    caught_up(&ground, "counts").await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 4), ("b".to_owned(), 3)]);
    running.stop().await;
    let state = ground.state("counts").await;
    assert_eq!(state.holder, None, "the lease was given back");
    let page = ground.store.read_log(&LogQuery::default()).await.unwrap();
    let last = page.events.last().unwrap();
    assert_eq!(state.checkpoint.folded, Some((last.position, last.hash)));
}

async fn goes_on_after_a_restart(ground: Ground) {
    for round in 1..=3 {
        let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
        ground.append("a-1", "Counted", "\"a\"").await;
        caught_up(&ground, "counts").await;
        assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), round)]);
        running.stop().await;
    }
}

async fn is_refused_when_it_changed_under_its_number(ground: Ground) {
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    running.stop().await;
    let more = Counts { types: &["Counted", "More"], ..Counts::named("counts") };
    let refused = runner(&ground).projection(more).start().await.unwrap_err();
    assert!(matches!(refused, StartError::View(ViewError::Changed { .. })), "{refused}");
    let twice = runner(&ground).projection(Counts::named("counts")).projection(Counts::named("counts"));
    assert!(matches!(twice.start().await, Err(StartError::Twice(_))));
}

async fn another_number_is_built_beside_and_takes_over(ground: Ground) {
    for _ in 0..50 {
        ground.append("a-1", "Counted", "\"a\"").await;
    }
    let first = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    caught_up(&ground, "counts").await;
    let next = Counts { number: 2, step: 10, ..Counts::named("counts") };
    let second = runner(&ground).projection(next).start().await.unwrap();
    eventually("the second number serves", async || ground.state("counts").await.serving).await;
    caught_up(&ground, "counts").await;
    // Each program is answered by its own number as long as both run.
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 50)]);
    assert_eq!(ground.counts("counts", 2).await, [("a".to_owned(), 500)]);
    ground.append("a-1", "Counted", "\"a\"").await;
    eventually("both go on", async || {
        let head = ground.head().await;
        ground.states("counts").await.iter().all(|state| state.checkpoint.position.get() == head)
    })
    .await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 51)]);
    first.stop().await;
    second.stop().await;
}

async fn a_number_that_nobody_wants_is_thrown_away(ground: Ground) {
    ground.append("a-1", "Counted", "\"a\"").await;
    let first = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    caught_up(&ground, "counts").await;
    first.stop().await;
    let options =
        flightdeck_projections::RunnerOptions { unwanted: std::time::Duration::from_millis(300), ..quick() };
    let next = Counts { number: 2, step: 10, ..Counts::named("counts") };
    let second = runner(&ground).options(options).projection(next).start().await.unwrap();
    eventually("the first is gone", async || ground.states("counts").await.len() == 1).await;
    assert_eq!(ground.state("counts").await.of.number, 2);
    // Whoever still asks for it is answered by the one that serves.
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 10)]);
    second.stop().await;
}

async fn is_built_anew_beside_the_running_one(ground: Ground) {
    for _ in 0..20 {
        ground.append("a-1", "Counted", "\"a\"").await;
    }
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    caught_up(&ground, "counts").await;
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    let plan = Defined::new(Arc::new(Counts::named("counts"))).unwrap().plan().clone();
    let build = admin.rebuild(&plan, "ada").await.unwrap();
    assert_eq!(build.of.build, 2);
    eventually("the second build serves", async || {
        assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 20)], "it answers all the time");
        let all = ground.states("counts").await;
        all.len() == 1 && all[0].of.build == 2 && all[0].serving
    })
    .await;
    running.stop().await;
    let audit = ground.store.read_log(&LogQuery::default()).await.unwrap().events.pop().unwrap();
    assert_eq!((audit.stream.as_str(), audit.event_type.as_str()), ("$audit", "ProjectionRebuildStarted"));
    assert_eq!(audit.metadata.actor.as_ref().unwrap().as_str(), "ada");
    assert_eq!(audit.data_bytes(), b"{\"projection\":\"counts\",\"build\":2}");
}

async fn waits_when_it_is_told_to(ground: Ground) {
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    caught_up(&ground, "counts").await;
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    admin.pause(&name("counts"), "ada").await.unwrap();
    // What was under way when it was told may still be folded, but nothing after it was seen to wait.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let before = ground.state("counts").await.checkpoint;
    for _ in 0..5 {
        ground.append("a-1", "Counted", "\"a\"").await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(ground.state("counts").await.checkpoint, before);
    admin.resume(&name("counts"), "ada").await.unwrap();
    caught_up(&ground, "counts").await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 6)]);
    assert!(matches!(
        admin.pause(&name("nothing"), "ada").await,
        Err(flightdeck_projections::AdminError::View(_))
    ));
    running.stop().await;
}

async fn is_built_anew_when_it_is_of_another_log(ground: Ground) {
    ground.append("a-1", "Counted", "\"a\"").await;
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    caught_up(&ground, "counts").await;
    running.stop().await;
    // The same views, beside a log in which something else has happened.
    let other = Ground { store: Ground::memory().store, ..ground };
    other.append("a-1", "Counted", "\"b\"").await;
    other.append("a-1", "Counted", "\"b\"").await;
    let running = runner(&other).projection(Counts::named("counts")).start().await.unwrap();
    eventually("it is built anew", async || {
        let all = other.states("counts").await;
        all.len() == 1 && all[0].of.build == 2 && all[0].serving
    })
    .await;
    assert_eq!(other.counts("counts", 1).await, [("b".to_owned(), 2)]);
    running.stop().await;
}

async fn is_built_anew_when_the_log_is_shorter(ground: Ground) {
    for _ in 0..3 {
        ground.append("a-1", "Other", "\"a\"").await;
    }
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    caught_up(&ground, "counts").await;
    running.stop().await;
    let other = Ground { store: Ground::memory().store, ..ground };
    other.append("a-1", "Counted", "\"b\"").await;
    let running = runner(&other).projection(Counts::named("counts")).start().await.unwrap();
    eventually("it is built anew", async || {
        let all = other.states("counts").await;
        all.len() == 1 && all[0].of.build == 2 && all[0].serving
    })
    .await;
    assert_eq!(other.counts("counts", 1).await, [("b".to_owned(), 1)]);
    running.stop().await;
}

async fn one_of_two_folds_and_the_other_takes_over(ground: Ground) {
    let first = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    caught_up(&ground, "counts").await;
    let held = ground.state("counts").await.holder.unwrap();
    let second = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    caught_up(&ground, "counts").await;
    assert_eq!(ground.state("counts").await.holder, Some(held.clone()));
    first.stop().await;
    ground.append("a-1", "Counted", "\"a\"").await;
    caught_up(&ground, "counts").await;
    assert_ne!(ground.state("counts").await.holder, Some(held));
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 3)]);
    // Somebody else marks it, and it is the generation's runner that obeys: whoever that is.
    let of = ground.state("counts").await.of;
    ground.views.mark(&of, Mark::Resume).await.unwrap();
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inline_views_are_there_when_the_append_is_answered() {
    let ground = Ground::sqlite();
    for _ in 0..10 {
        ground.append("a-1", "Counted", "\"a\"").await;
    }
    let running = runner(&ground).inline(Counts::named("counts")).start().await.unwrap();
    caught_up(&ground, "counts").await;
    for count in 11..60 {
        let done = ground.append("a-1", "Counted", "\"a\"").await;
        assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), count)]);
        assert_eq!(ground.state("counts").await.checkpoint.position, done.cursor.position());
    }
    running.stop().await;
    ground.append("a-1", "Counted", "\"a\"").await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 59)], "nobody runs it any more");
    let running = runner(&ground).inline(Counts::named("counts")).start().await.unwrap();
    caught_up(&ground, "counts").await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 60)]);
    running.stop().await;
}

crate::on_both! {
    folds_what_was_there_and_what_comes
    goes_on_after_a_restart
    is_refused_when_it_changed_under_its_number
    another_number_is_built_beside_and_takes_over
    a_number_that_nobody_wants_is_thrown_away
    is_built_anew_beside_the_running_one
    waits_when_it_is_told_to
    is_built_anew_when_it_is_of_another_log
    is_built_anew_when_the_log_is_shorter
    one_of_two_folds_and_the_other_takes_over
}
