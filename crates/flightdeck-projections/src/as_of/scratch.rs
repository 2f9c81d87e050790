//! A scratch generation: a view of the past that is too large for the memory, in tables that nobody else knows of.
//!
//! Its tables have private names, and the fold knows nothing of it: rows get the names on their way into the store, and lose them on
//! their way out. One task makes it, holds its lease, and throws it away when whoever asked is through or gone. If that task is
//! gone itself, so is the lease in a while, and a runner throws the rest away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::Ids as _;
use flightdeck_store::Reason;
use flightdeck_store::system::SystemIds;
use flightdeck_store::view::{
    Cache, Changes, Checkpoint, Generation, Holder, Lease, Plan, Row, Table, TableChanges, TakenOver,
    ViewError, ViewPage, ViewQuery, ViewStore, Wanted, Work,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::stretch::{Folding, Stretch};
use super::stuck::Stuck;
use super::{AsOfError, AsOfOptions, RESERVED};
use crate::projection::Defined;

/// How often it is tried to throw one away, and how long in between.
const DISCARDS: u32 = 5;
const DISCARD_PAUSE: Duration = Duration::from_millis(200);

/// A scratch generation, from its making to its end.
pub(super) struct Scratch {
    views: Arc<dyn ViewStore>,
    defined: Defined,
    event_budget: Duration,
    stuck: Stuck,
    plan: Plan,
    lease: Lease,
    /// Where it stands in the store.
    at: Checkpoint,
    /// It ends when this is gone.
    end: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Scratch {
    /// Makes one, with no rows.
    pub(super) async fn begin(
        views: Arc<dyn ViewStore>,
        defined: &Defined,
        options: &AsOfOptions,
        stuck: Stuck,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, AsOfError> {
        let plan = private(defined)?;
        let (end, ended) = watch::channel(());
        let (begun, begins) = oneshot::channel();
        let keeper = Keeper {
            views: Arc::clone(&views),
            holder: Holder::from_random(SystemIds::default().random()),
            lasting: options.lease,
            wanting: options.wanting,
            _place: place,
        };
        let task = tokio::spawn(keeper.run(plan.clone(), begun, ended));
        let lease = begins.await.unwrap_or_else(|_| Err(ViewError::failed(Reason::Stopped, None)))?;
        let (defined, event_budget) = (defined.clone(), options.event_budget);
        Ok(Self { views, defined, event_budget, stuck, plan, lease, at: Checkpoint::START, end, task })
    }

    pub(super) const fn of(&self) -> &Generation {
        &self.lease.of
    }

    pub(super) const fn checkpoint(&self) -> Checkpoint {
        self.at
    }

    /// Folds a stretch of the log into it, to its end, and makes it ready. It holds no more than the build of a view does.
    pub(super) async fn build(&mut self, mut stretch: Stretch) -> Result<(), AsOfError> {
        let limits = self.views.work_limits();
        let mut cache = Cache::of(self.defined.plan());
        cache.begin_empty();
        let mut folding = Folding {
            defined: self.defined.clone(),
            cache,
            to: Checkpoint::START,
            skips: Arc::clone(&stretch.skips),
            event_budget: self.event_budget,
            stuck: self.stuck.clone(),
            which: stretch.which(&self.defined),
            place: None,
        };
        while let Some(piece) = stretch.next().await? {
            let (begun, grows) = (Instant::now(), piece.grows);
            let (batch, wanted) = folding.look_at(piece).await?;
            self.load(&mut folding.cache, wanted).await?;
            let mut rest = Some(batch);
            while let Some(batch) = rest {
                rest = folding.fold(batch, limits.building_rows).await?;
                if rest.is_some() {
                    self.hand_over(&mut folding).await?;
                }
            }
            let bytes = folding.cache.bytes();
            if folding.cache.touched() >= limits.building_rows || bytes >= limits.building_bytes {
                self.hand_over(&mut folding).await?;
            }
            // Between two pages only: what a page's events need was loaded for all of it.
            if self.at == folding.to && bytes >= limits.building_bytes / 2 {
                folding.cache.clear();
            }
            if grows {
                // Others append: a build takes no more than half of what there is.
                sleep(begun.elapsed()).await;
            }
        }
        self.hand_over(&mut folding).await?;
        drop(folding);
        while self.views.tend(&self.lease).await? {}
        match self.views.take_over(&self.lease).await? {
            TakenOver::Done => Ok(()),
            // Nobody else builds a view of that name.
            TakenOver::Behind(_) => Err(ViewError::Fenced.into()),
        }
    }

    /// Loads rows that are needed and not held.
    async fn load(&self, cache: &mut Cache, wanted: Wanted) -> Result<(), AsOfError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let rows = self.views.load(self.of(), wanted.clone()).await?;
        let own = self.defined.plan().tables();
        let back = |(place, row): (usize, Row)| Ok((place, row.moved_to(&own[place])?));
        let rows = rows.into_iter().map(back).collect::<Result<_, _>>().map_err(AsOfError::Row)?;
        cache.take_in(wanted, rows);
        Ok(())
    }

    /// Hands over what is folded.
    async fn hand_over(&mut self, folding: &mut Folding) -> Result<(), AsOfError> {
        if folding.to == self.at {
            return Ok(());
        }
        let changes = self.renamed(folding.cache.changes())?;
        let (lease, from, to) = (self.lease.clone(), self.at, folding.to);
        self.views.apply(Work { lease, from, to, changes }).await?;
        folding.cache.settle();
        self.at = to;
        Ok(())
    }

    /// The same changes, to the tables under their private names.
    fn renamed(&self, changes: Changes) -> Result<Changes, AsOfError> {
        let mut renamed = Changes::new();
        for TableChanges { table, put, gone } in changes {
            let Some((place, _)) = self.defined.plan().table(table.name()) else { continue };
            let table = Arc::clone(&self.plan.tables()[place]);
            let put = put.into_iter().map(|row| row.moved_to(&table));
            let put = put.collect::<Result<_, _>>().map_err(AsOfError::Row)?;
            renamed.push(TableChanges { table, put, gone });
        }
        Ok(renamed)
    }

    /// Answers a question that was checked.
    pub(super) async fn ask(&self, query: &ViewQuery) -> Result<ViewPage, AsOfError> {
        let own = self.defined.plan();
        let Some((place, table)) = own.table(&query.table) else { return Err(AsOfError::Gone) };
        let private = self.plan.tables()[place].name().to_owned();
        let (view, number) = (self.plan.view().clone(), self.plan.number());
        let asked = ViewQuery { view, number, table: private, ..query.clone() };
        let page = match self.views.ask(&asked).await {
            Err(ViewError::Unknown(_) | ViewError::NotReady(_)) => return Err(AsOfError::Gone),
            page => page?,
        };
        let rows = page.rows.into_iter().map(|row| row.moved_to(table));
        let rows = rows.collect::<Result<_, _>>().map_err(AsOfError::Row)?;
        let of = Generation { view: own.view().clone(), number: own.number(), build: 0 };
        Ok(ViewPage { rows, of, ..page })
    }

    /// Waits until it is thrown away.
    pub(super) async fn end(self) {
        drop(self.end);
        drop(self.task.await);
    }
}

/// The plan of a view under names that nobody else has, nor ever had.
fn private(defined: &Defined) -> Result<Plan, ViewError> {
    // 96 bits: the names have room for no more, and they never come twice.
    let name = format!("{RESERVED}{:024x}", SystemIds::default().random() >> 32);
    let tables = defined.plan().tables().iter().enumerate();
    let tables: Vec<Table> = tables.map(|(place, table)| table.renamed(format!("{name}_{place}"))).collect();
    Ok(Plan::new(&name, 1, tables, "as of")?)
}

/// Makes a scratch generation, keeps it while it is wanted, and throws it away.
struct Keeper {
    views: Arc<dyn ViewStore>,
    holder: Holder,
    lasting: Duration,
    wanting: Duration,
    /// Until it is thrown away there is no place for another.
    _place: OwnedSemaphorePermit,
}

impl Keeper {
    async fn run(
        self,
        plan: Plan,
        begun: oneshot::Sender<Result<Lease, ViewError>>,
        mut ended: watch::Receiver<()>,
    ) {
        let of = match self.views.prepare(&plan).await {
            Ok(state) => state.of,
            Err(error) => {
                drop(begun.send(Err(error)));
                return;
            }
        };
        let lease = match self.views.lease(&of, &self.holder, self.lasting).await {
            Ok(lease) => lease.ok_or(ViewError::Fenced),
            Err(error) => Err(error),
        };
        let is_held = lease.is_ok();
        if begun.send(lease).is_ok() && is_held {
            self.keep(&of, &mut ended).await;
        }
        self.discard(&of).await;
    }

    /// Keeps it until whoever asked is through, or gone.
    async fn keep(&self, of: &Generation, ended: &mut watch::Receiver<()>) {
        let mut wanted = Instant::now();
        while timeout(self.lasting / 3, ended.changed()).await.is_err() {
            // When it is lost, the next piece of work is refused.
            drop(self.views.lease(of, &self.holder, self.lasting).await);
            if wanted.elapsed() >= self.wanting {
                drop(self.views.want(std::slice::from_ref(of)).await);
                wanted = Instant::now();
            }
        }
    }

    async fn discard(&self, of: &Generation) {
        for _ in 0..DISCARDS {
            match self.views.discard(of).await {
                Ok(()) | Err(ViewError::Unknown(_)) => return,
                Err(error) if error.retry_helps() => sleep(DISCARD_PAUSE).await,
                Err(error) => {
                    tracing::debug!(view = %of, %error, "a view of the past is thrown away by a runner later");
                    return;
                }
            }
        }
    }
}
