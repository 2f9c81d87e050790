//! Reactors: at least once, in order, from a checkpoint of their own, and never because of a rebuild.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flightdeck_projections::{Admin, AdminError, Begin, Defined, Reactor, Reads, Runner, RunnerOptions};
use flightdeck_store::Recorded;
use flightdeck_store::view::HaltKind;

use crate::counts::Counts;
use crate::ground::{Ground, eventually, name, quick};

/// How it goes wrong.
const PANICS: u8 = 1;
const HANGS: u8 = 2;

#[derive(Clone)]
struct Mails {
    sent: Arc<Mutex<Vec<i64>>>,
    fails: Arc<AtomicBool>,
    how: Arc<AtomicU8>,
    slow: std::time::Duration,
    begin: Begin,
    number: u32,
}

impl Mails {
    fn new(begin: Begin) -> Self {
        Self {
            sent: Arc::default(),
            fails: Arc::default(),
            how: Arc::default(),
            slow: std::time::Duration::ZERO,
            begin,
            number: 1,
        }
    }
    fn sent(&self) -> Vec<i64> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl Reactor for Mails {
    fn name(&self) -> &'static str {
        "mails"
    }
    fn number(&self) -> u32 {
        self.number
    }
    fn reads(&self) -> Reads {
        Reads::types(["Counted"])
    }
    fn begin(&self) -> Begin {
        self.begin
    }
    async fn react(&self, event: &Recorded) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.fails.load(Ordering::SeqCst) {
            match self.how.load(Ordering::SeqCst) {
                PANICS => panic!("oh"),
                HANGS => std::future::pending().await,
                _ => {}
            }
            return Err("no mail goes out today".into());
        }
        tokio::time::sleep(self.slow).await;
        self.sent.lock().unwrap().push(event.position.get());
        Ok(())
    }
}

fn runner(ground: &Ground) -> Runner {
    Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick())
}

async fn count(ground: &Ground, times: usize) {
    for _ in 0..times {
        ground.append("a-1", "Counted", "\"a\"").await;
    }
}

async fn reacts_to_what_comes_in_order_and_goes_on_after_a_restart(ground: Ground) {
    count(&ground, 2).await;
    let mails = Mails::new(Begin::Now);
    let running = runner(&ground).reactor(mails.clone()).start().await.unwrap();
    eventually("it has begun", async || ground.state("mails").await.ready).await;
    count(&ground, 2).await;
    ground.append("a-1", "Other", "1").await;
    eventually("mails are sent", async || mails.sent() == [3, 4]).await;
    running.stop().await;
    count(&ground, 1).await;
    let running = runner(&ground).reactor(mails.clone()).start().await.unwrap();
    eventually("the one from meanwhile is sent", async || mails.sent() == [3, 4, 6]).await;
    running.stop().await;
}

async fn begins_where_it_is_told_to(ground: Ground) {
    count(&ground, 2).await;
    let mails = Mails::new(Begin::Beginning);
    let running = runner(&ground).reactor(mails.clone()).start().await.unwrap();
    eventually("all are sent", async || mails.sent() == [1, 2]).await;
    running.stop().await;
    // Another number goes on where this one stands.
    count(&ground, 1).await;
    let next = Mails { number: 2, ..mails.clone() };
    let running = runner(&ground).reactor(next).start().await.unwrap();
    eventually("only the new one is sent", async || mails.sent().len() >= 3).await;
    assert_eq!(mails.sent(), [1, 2, 3]);
    running.stop().await;
}

async fn fails_a_few_times_and_then_halts(ground: Ground) {
    let mails = Mails::new(Begin::Beginning);
    mails.fails.store(true, Ordering::SeqCst);
    let running = runner(&ground).reactor(mails.clone()).start().await.unwrap();
    count(&ground, 3).await;
    eventually("it comes to a halt", async || ground.state("mails").await.halt.is_some()).await;
    let halt = ground.state("mails").await.halt.unwrap();
    assert_eq!((halt.kind, halt.position.get()), (HaltKind::Poison, 1));
    assert_eq!(halt.error, "no mail goes out today");
    mails.fails.store(false, Ordering::SeqCst);
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    admin.skip(&name("mails"), "ada").await.unwrap();
    eventually("the others are sent", async || mails.sent() == [2, 3]).await;
    running.stop().await;
}

async fn one_that_panics_or_hangs_halts_like_one_that_fails(ground: Ground) {
    for (how, says) in [(PANICS, "panicked"), (HANGS, "longer than 0.05 seconds")] {
        let mails = Mails::new(Begin::Beginning);
        mails.fails.store(true, Ordering::SeqCst);
        mails.how.store(how, Ordering::SeqCst);
        let options = RunnerOptions { reaction_budget: std::time::Duration::from_millis(50), ..quick() };
        let running = runner(&ground).options(options).reactor(mails.clone()).start().await.unwrap();
        count(&ground, 1).await;
        eventually("it comes to a halt", async || {
            ground.state("mails").await.halt.is_some_and(|halt| halt.error.contains(says))
        })
        .await;
        running.stop().await;
    }
}

async fn one_that_halted_is_tried_again_by_a_program_that_starts(ground: Ground) {
    let mails = Mails::new(Begin::Beginning);
    mails.fails.store(true, Ordering::SeqCst);
    let running = runner(&ground).reactor(mails.clone()).start().await.unwrap();
    count(&ground, 1).await;
    eventually("it comes to a halt", async || ground.state("mails").await.halt.is_some()).await;
    running.stop().await;
    mails.fails.store(false, Ordering::SeqCst);
    let running = runner(&ground).reactor(mails.clone()).start().await.unwrap();
    eventually("it is sent", async || mails.sent() == [1]).await;
    eventually("the halt is off", async || ground.state("mails").await.halt.is_none()).await;
    running.stop().await;
}

async fn of_two_numbers_one_reacts_and_the_next_goes_on_where_it_stood(ground: Ground) {
    let mails = Mails::new(Begin::Now);
    let first = runner(&ground).reactor(mails.clone()).start().await.unwrap();
    eventually("the first has begun", async || ground.state("mails").await.ready).await;
    let second = runner(&ground).reactor(Mails { number: 2, ..mails.clone() }).start().await.unwrap();
    count(&ground, 3).await;
    eventually("each is sent", async || mails.sent().len() >= 3).await;
    first.stop().await;
    count(&ground, 2).await;
    eventually("each is sent", async || mails.sent().len() >= 5).await;
    // The one before comes back, and rests.
    let first = runner(&ground).reactor(mails.clone()).start().await.unwrap();
    count(&ground, 2).await;
    eventually("each is sent", async || mails.sent().len() >= 7).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(mails.sent(), [1, 2, 3, 4, 5, 6, 7]);
    first.stop().await;
    second.stop().await;
}

async fn waits_in_the_middle_of_a_page(ground: Ground) {
    count(&ground, 200).await;
    let mails = Mails { slow: std::time::Duration::from_millis(20), ..Mails::new(Begin::Beginning) };
    let running = runner(&ground).reactor(mails.clone()).start().await.unwrap();
    eventually("some are sent", async || mails.sent().len() >= 3).await;
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    admin.pause(&name("mails"), "ada").await.unwrap();
    let quiet = async || {
        let before = mails.sent().len();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        mails.sent().len() == before
    };
    eventually("it waits", quiet).await;
    assert!(mails.sent().len() < 150, "{}", mails.sent().len());
    running.stop().await;
}

async fn one_that_was_rolled_back_goes_on(ground: Ground) {
    let mails = Mails::new(Begin::Now);
    let options = RunnerOptions { unwanted: std::time::Duration::from_millis(300), ..quick() };
    for number in [1, 2, 1] {
        let own = Mails { number, ..mails.clone() };
        let running = runner(&ground).options(options.clone()).reactor(own).start().await.unwrap();
        let ready = async || {
            ground.states("mails").await.iter().any(|state| state.of.number == number && state.ready)
        };
        eventually("it is ready", ready).await;
        let position = ground.append("a-1", "Counted", "\"a\"").await.cursor.position().get();
        eventually("it is sent", async || mails.sent().contains(&position)).await;
        running.stop().await;
    }
}

async fn is_not_reached_by_a_rebuild(ground: Ground) {
    let mails = Mails::new(Begin::Beginning);
    let running = runner(&ground).projection(Counts::named("counts")).reactor(mails.clone());
    let running = running.start().await.unwrap();
    count(&ground, 5).await;
    eventually("all are sent", async || mails.sent().len() == 5).await;
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    let plan = Defined::new(Arc::new(Counts::named("counts"))).unwrap().plan().clone();
    admin.rebuild(&plan, "ada").await.unwrap();
    eventually("the second build serves", async || {
        let all = ground.states("counts").await;
        all.len() == 1 && all[0].of.build == 2 && all[0].serving
    })
    .await;
    assert_eq!(mails.sent(), [1, 2, 3, 4, 5]);
    let plan = ground.state("mails").await.plan;
    assert!(matches!(admin.rebuild(&plan, "ada").await, Err(AdminError::Reactor(_))));
    running.stop().await;
}

crate::on_both! {
    reacts_to_what_comes_in_order_and_goes_on_after_a_restart
    begins_where_it_is_told_to
    fails_a_few_times_and_then_halts
    one_that_panics_or_hangs_halts_like_one_that_fails
    one_that_halted_is_tried_again_by_a_program_that_starts
    waits_in_the_middle_of_a_page
    one_that_was_rolled_back_goes_on
    of_two_numbers_one_reacts_and_the_next_goes_on_where_it_stood
    is_not_reached_by_a_rebuild
}
