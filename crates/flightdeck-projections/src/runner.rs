//! The runner: what a program has folded, and the tasks that do it.
//!
//! Any number of programs may run the same projections on one store: of each generation one folds, the others stand by. A runner looks
//! at what generations there are and has a task for each of its own, so that a further build that somebody asks for is begun by
//! whoever runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::Ids as _;
use flightdeck_store::system::SystemIds;
use flightdeck_store::view::{
    Fold, FoldError, Generation, GenerationState, Halt, Holder, Inline, Key, Plan, Rows, ViewError, ViewStore,
};
use flightdeck_store::{EventStore, Limit, Recorded, Tail, TailOptions};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::advance::Advance;
use crate::as_of;
use crate::projection::{Defined, InvalidProjection, Projection};
use crate::react::{React, Reactor};
use crate::watch::Watcher;

/// How a runner goes about it.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// How many events are read at once.
    pub page: Limit,
    /// How long the right to fold lasts without being renewed: whoever stands by takes over after that.
    pub lease: Duration,
    /// How often who stands by, or waits to be told to go on, looks.
    pub standby: Duration,
    /// How often the log is looked at although nothing told of it.
    pub poll: Duration,
    /// How far two reads of the end of the log are apart at least, so that what comes together is folded together.
    pub linger: Duration,
    /// How far two pieces of a view that is in use are apart at least, unless somebody on this node waits for a view.
    pub gather: Duration,
    /// How long it may take to write down that a view has looked further and found nothing to fold. Who waits for it on this node does
    /// not wait for that.
    pub settle: Duration,
    /// How often a store does what it puts off (its index of words), while there is always something to fold.
    pub tend: Duration,
    /// For how long a generation that is being built is folded in memory before that is handed over.
    pub building_for: Duration,
    /// How often an event is tried again that can't be folded.
    pub retries: u32,
    /// How long before the first of these, and four times as long before each next one.
    pub retry_pause: Duration,
    /// How long the fold of one event may take.
    pub event_budget: Duration,
    /// How long a reaction to one event may take.
    pub reaction_budget: Duration,
    /// For how long no program must have wanted a generation of another number before it is thrown away.
    pub unwanted: Duration,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            page: Limit::MAX,
            lease: Duration::from_secs(3),
            standby: Duration::from_millis(500),
            poll: Duration::from_secs(1),
            linger: Duration::from_millis(5),
            gather: Duration::from_millis(25),
            settle: Duration::from_millis(100),
            tend: Duration::from_millis(60),
            building_for: Duration::from_secs(5),
            retries: 3,
            retry_pause: Duration::from_millis(100),
            event_budget: Duration::from_secs(5),
            reaction_budget: Duration::from_secs(60),
            unwanted: Duration::from_secs(60),
        }
    }
}

/// What is to be run.
pub struct Runner {
    store: Arc<dyn EventStore>,
    views: Arc<dyn ViewStore>,
    options: RunnerOptions,
    projections: Vec<(Arc<dyn Projection>, bool)>,
    reactors: Vec<Arc<dyn Reactor>>,
}

/// Why a runner does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A projection can't be run.
    #[error(transparent)]
    Projection(#[from] InvalidProjection),
    /// The store has something against it: it changed under its number, say.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Two of them have the same name and number.
    #[error("{0} is there twice")]
    Twice(String),
}

impl Runner {
    /// A runner of nothing, on a log and the views of the same store.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, views: Arc<dyn ViewStore>) -> Self {
        let (projections, reactors) = (Vec::new(), Vec::new());
        Self { store, views, options: RunnerOptions::default(), projections, reactors }
    }

    /// The same runner, going about it in another way.
    #[must_use]
    pub fn options(self, options: RunnerOptions) -> Self {
        Self { options, ..self }
    }

    /// The same runner, folding one projection more, behind the log.
    #[must_use]
    pub fn projection(self, projection: impl Projection) -> Self {
        self.projections(vec![Arc::new(projection)])
    }

    /// The same runner, folding these projections as well, behind the log.
    #[must_use]
    pub fn projections(mut self, projections: Vec<Arc<dyn Projection>>) -> Self {
        self.projections.extend(projections.into_iter().map(|projection| (projection, false)));
        self
    }

    /// The same runner, folding one projection more within the appends themselves, on a store that can do that; on any other
    /// behind the log, as all are. One runner a store has such projections; and their folds have no limit in time: one that does not
    /// come to its end holds every append up.
    #[must_use]
    pub fn inline(self, projection: impl Projection) -> Self {
        self.inlines(vec![Arc::new(projection)])
    }

    /// The same runner, folding these projections within the appends as well, as [`inline`](Self::inline) does one.
    #[must_use]
    pub fn inlines(mut self, projections: Vec<Arc<dyn Projection>>) -> Self {
        self.projections.extend(projections.into_iter().map(|projection| (projection, true)));
        self
    }

    /// The same runner, with one reactor more.
    #[must_use]
    pub fn reactor(mut self, reactor: impl Reactor) -> Self {
        self.reactors.push(Arc::new(reactor));
        self
    }

    /// Makes what is not there yet, and begins to fold. Needs a tokio runtime with time.
    ///
    /// # Errors
    /// See [`StartError`]: nothing runs then.
    pub async fn start(self) -> Result<Running, StartError> {
        let mut defined = Vec::new();
        for (projection, inline) in self.projections {
            defined.push((Defined::new(projection)?, inline));
        }
        let mut reactors = Vec::new();
        for reactor in self.reactors {
            let (name, number, reads) = (reactor.name(), reactor.number(), reactor.reads());
            reactors.push((Defined::of(name, number, reads, Vec::new(), Arc::new(Nothing))?, reactor));
        }
        let plans =
            defined.iter().map(|(defined, _)| defined).chain(reactors.iter().map(|(defined, _)| defined));
        let mut known = Vec::new();
        for plan in plans.map(Defined::plan) {
            if known.contains(&(plan.view(), plan.number())) {
                return Err(StartError::Twice(plan.view().to_string()));
            }
            known.push((plan.view(), plan.number()));
            self.views.prepare(plan).await?;
        }
        let watcher = Watcher::start(Arc::clone(&self.store), Arc::clone(&self.views));
        let (stop, stopped) = watch::channel(false);
        let (linger, poll) = (self.options.linger, self.options.poll);
        let tail =
            Tail::start(Arc::clone(&self.store), TailOptions { linger, poll, ..TailOptions::default() });
        let kept = tail.clone();
        let supervisor = Supervisor {
            store: self.store,
            tail,
            views: self.views,
            options: self.options,
            watcher: watcher.clone(),
            holder: Holder::from_random(SystemIds::default().random()),
            defined,
            reactors,
            stop: stopped,
            tasks: HashMap::new(),
            inline: Vec::new(),
            inline_works: false,
            wanted: None,
        };
        let task = tokio::spawn(supervisor.run());
        Ok(Running { watcher, tail: kept, stop, task: Some(task) })
    }
}

/// A runner that runs. It stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    watcher: Watcher,
    tail: Tail,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Running {
    /// What this node sees of all views.
    #[must_use]
    pub const fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// The end of the log, as it is read for the views: whoever else follows the log on this node reads it from here.
    #[must_use]
    pub const fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Stops: what is under way is finished or left, and whoever stands by may take over at once.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            drop(task.await);
        }
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

/// What a reactor folds: nothing.
struct Nothing;

impl Fold for Nothing {
    fn keys(&self, _: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(Vec::new())
    }
    fn fold(&self, _: &Recorded, _: &mut Rows<'_>) -> Result<(), FoldError> {
        Ok(())
    }
}

/// Sees to it that every generation of ours has a task.
struct Supervisor {
    store: Arc<dyn EventStore>,
    tail: Tail,
    views: Arc<dyn ViewStore>,
    options: RunnerOptions,
    watcher: Watcher,
    holder: Holder,
    defined: Vec<(Defined, bool)>,
    reactors: Vec<(Defined, Arc<dyn Reactor>)>,
    stop: watch::Receiver<bool>,
    tasks: HashMap<Generation, JoinHandle<()>>,
    /// What the store was asked to fold within the appends, and whether it does.
    inline: Vec<Generation>,
    inline_works: bool,
    wanted: Option<Instant>,
}

impl Supervisor {
    async fn run(mut self) {
        let (mut seen, mut stop) = (self.watcher.subscribe(), self.stop.clone());
        while !*stop.borrow() {
            let now = seen.borrow_and_update().clone();
            if now.at.is_some()
                && let Err(error) = self.arrange(&now.generations).await
            {
                tracing::warn!(%error, "the views could not be arranged; that is tried again");
            }
            tokio::select! {
                changed = seen.changed() => if changed.is_err() { break },
                told = stop.changed() => if told.is_err() { break },
            }
        }
        if self.inline_works && !self.inline.is_empty() {
            drop(self.views.fold_inline(Vec::new()).await);
        }
        for (_, task) in self.tasks.drain() {
            let abort = task.abort_handle();
            if timeout(self.options.lease, task).await.is_err() {
                abort.abort();
            }
        }
    }

    async fn arrange(&mut self, all: &[GenerationState]) -> Result<(), ViewError> {
        self.tasks.retain(|_, task| !task.is_finished());
        let is_of = |defined: &Defined, state: &GenerationState| {
            state.of.view == *defined.plan().view() && state.of.number == defined.plan().number()
        };
        let plans = self.defined.iter().map(|(defined, _)| defined);
        for defined in plans.chain(self.reactors.iter().map(|(defined, _)| defined)) {
            // It was there when this began. Whoever has thrown it away could not know that it is wanted: this node was not heard of.
            if !all.iter().any(|state| is_of(defined, state)) {
                tracing::warn!(view = %defined.plan().view(), "a generation is gone that is wanted, and is begun anew");
                self.views.prepare(defined.plan()).await?;
                self.watcher.look_again();
            }
        }
        let mut inline = Vec::new();
        let mut ours = Vec::new();
        for (defined, as_inline) in &self.defined {
            for state in all.iter().filter(|state| is_of(defined, state)) {
                ours.push(state.of.clone());
                if *as_inline {
                    inline.push((state.of.clone(), defined.clone()));
                }
            }
        }
        self.fold_inline(&inline).await?;
        for (defined, as_inline) in self.defined.clone() {
            for state in all.iter().filter(|state| is_of(&defined, state)) {
                let advance = self.advance(state, &defined, as_inline && self.inline_works);
                self.tasks.entry(state.of.clone()).or_insert_with(|| tokio::spawn(advance.run()));
            }
        }
        for (defined, reactor) in self.reactors.clone() {
            for state in all.iter().filter(|state| is_of(&defined, state)) {
                ours.push(state.of.clone());
                let advance = self.advance(state, &defined, false);
                let react = React { advance, reactor: Arc::clone(&reactor) };
                self.tasks.entry(state.of.clone()).or_insert_with(|| tokio::spawn(react.run()));
            }
        }
        self.want(&ours).await?;
        self.throw_away(all).await
    }

    fn advance(&self, state: &GenerationState, defined: &Defined, inline: bool) -> Advance {
        Advance {
            store: Arc::clone(&self.store),
            tail: self.tail.clone(),
            views: Arc::clone(&self.views),
            watcher: self.watcher.clone(),
            defined: defined.clone(),
            of: state.of.clone(),
            holder: self.holder.clone(),
            options: self.options.clone(),
            inline,
            stop: self.stop.clone(),
            began: false,
            at_work: Arc::default(),
        }
    }

    /// Has the store fold within the appends what is to be folded there.
    async fn fold_inline(&mut self, inline: &[(Generation, Defined)]) -> Result<(), ViewError> {
        let of: Vec<Generation> = inline.iter().map(|(of, _)| of.clone()).collect();
        if of == self.inline {
            return Ok(());
        }
        let inline = inline.iter().map(|(of, defined)| {
            let (reads, fold) = (Arc::clone(&defined.reads), Arc::clone(&defined.fold));
            let reads = move |event: &Recorded| -> Result<bool, Halt> { reads.reads(event) };
            Inline { of: of.clone(), reads: Arc::new(reads), fold }
        });
        self.inline_works = self.views.fold_inline(inline.collect()).await?;
        self.inline = of;
        Ok(())
    }

    /// Says every now and then that ours are wanted.
    async fn want(&mut self, ours: &[Generation]) -> Result<(), ViewError> {
        let every = self.options.unwanted / 6;
        if self.wanted.is_none_or(|wanted| wanted.elapsed() >= every) {
            self.views.want(ours).await?;
            self.wanted = Some(Instant::now());
        }
        Ok(())
    }

    /// Throws away what no program wants any more: other numbers of our views, lower or higher ones, as soon as one of ours can be
    /// asked in their place; and views of the past whose program was killed before it could do so.
    async fn throw_away(&self, all: &[GenerationState]) -> Result<(), ViewError> {
        let unwanted = i64::try_from(self.options.unwanted.as_secs()).unwrap_or(i64::MAX);
        let plans = self.defined.iter().map(|(defined, _)| defined);
        let plans = plans.chain(self.reactors.iter().map(|(defined, _)| defined)).map(Defined::plan);
        let plans: Vec<&Plan> = plans.collect();
        for state in all {
            let own =
                |number| plans.iter().any(|plan| *plan.view() == state.of.view && plan.number() == number);
            let replaced =
                all.iter().any(|other| other.of.view == state.of.view && other.ready && own(other.of.number));
            let unneeded = match as_of::is_scratch(&state.of.view) {
                true => state.holder.is_none(),
                false => replaced && !own(state.of.number),
            };
            if !unneeded || state.unwanted_seconds <= unwanted {
                continue;
            }
            tracing::info!(view = %state.of, "nobody wants this generation any more, and it is thrown away");
            match self.views.discard(&state.of).await {
                Ok(()) | Err(ViewError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
