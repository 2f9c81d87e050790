//! The port of views on PostgreSQL: what is asked is read over a pool of its own, what changes goes over connections of our own.
//!
//! Each piece of work runs in a task on the store's thread, so that a caller that goes away in the middle leaves no transaction
//! open. A generation has a connection to itself while it is folded; what makes and renames tables, which is rare, has a new one
//! each time. A connection on which something failed is thrown away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flightdeck_store::view::{
    Generation, GenerationState, Halt, Holder, Lease, Mark, Plan, Row, TakenOver, ViewError, ViewPage,
    ViewQuery, ViewStore, Wanted, Work, WorkLimits,
};
use flightdeck_store::{EventStore as _, Pace, Reason};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::asking::{self, Known};
use crate::connection::Readers;
use crate::generations::{self, NotDone};
use crate::history::History;
use crate::open::{Dialing, OpenError};
use crate::options::{Options, Schema};
use crate::store::{PostgresStore, to_error};

/// For how long a connection may have nothing to do.
const IDLE: Duration = Duration::from_secs(60);
/// How often it is looked for connections that have nothing to do.
const SWEEP: Duration = Duration::from_secs(15);
/// How often what is listed is taken into the indexes at the most, and for how many times as long as that took it is left alone:
/// the more comes together, the less each entry costs.
const TEND_EVERY: Duration = Duration::from_secs(2);
const TEND_SHARE: u32 = 15;
const TEND_PAUSE_MAX: Duration = Duration::from_secs(15);
/// Nobody takes longer for it and still is at it.
const TENDING_MAX: Duration = Duration::from_secs(600);
/// How often something is tried that others are in the way of.
const ATTEMPTS: u32 = 6;

/// What there is for views, beside the log.
pub(crate) struct Views {
    dialing: Arc<Dialing>,
    history: Arc<History>,
    thread: Handle,
    askers: Readers,
    known: Known,
    /// Nothing once the store is closed.
    lines: Mutex<Option<HashMap<Of, Arc<Line>>>>,
    /// Before when what is listed for a generation's indexes is not to be taken into them again.
    tended: Mutex<HashMap<Generation, Instant>>,
}

/// What a connection is for: the work on one generation, or a word to the table of generations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Of {
    One(Generation),
    /// Taking into its indexes what is listed.
    Listed(Generation),
    All,
}

/// A connection of our own, or the place for one, and when it was used last.
type Line = tokio::sync::Mutex<Option<(Client, Instant)>>;

/// Something that is done over a connection.
type Doing<'c, T> = BoxFuture<'c, Result<T, NotDone>>;

impl Views {
    pub(crate) fn new(
        dialing: Arc<Dialing>,
        options: &Options,
        history: Arc<History>,
        thread: Handle,
    ) -> Result<Self, OpenError> {
        let target = dialing.target.clone();
        let askers =
            Readers::that_ask(target, &dialing.schema, options, Arc::clone(&history), thread.clone())?;
        let lines = Mutex::new(Some(HashMap::new()));
        let (known, tended) = (Known::default(), Mutex::default());
        Ok(Self { dialing, history, thread, askers, known, lines, tended })
    }

    /// The schema that everything lies in.
    pub(crate) fn schema(&self) -> &Schema {
        &self.dialing.schema
    }

    /// Lets go of connections that have nothing to do, for ever.
    pub(crate) async fn sweep(self: Arc<Self>) {
        loop {
            sleep(SWEEP).await;
            if let Some(lines) = &mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner) {
                // What nobody else has a hold of can't be taken up meanwhile.
                lines.retain(|_, line| Arc::strong_count(line) > 1 || used_lately(line));
            }
        }
    }

    /// Whether a generation is to be tended now; if so, it is not again until that is through and has been for a while.
    fn is_to_be_tended(&self, of: &Generation) -> bool {
        let mut tended = self.tended.lock().unwrap_or_else(PoisonError::into_inner);
        tended.retain(|_, not_before| *not_before > Instant::now());
        let to_be = !tended.contains_key(of);
        if to_be {
            tended.insert(of.clone(), Instant::now() + TENDING_MAX);
        }
        to_be
    }

    /// A generation has been tended, and that took so long.
    fn has_tended(&self, of: Generation, took: Duration) {
        let pause = (took * TEND_SHARE).clamp(TEND_EVERY, TEND_PAUSE_MAX);
        self.tended.lock().unwrap_or_else(PoisonError::into_inner).insert(of, Instant::now() + pause);
    }

    pub(crate) fn close(&self) {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.askers.close();
    }

    fn line(&self, of: Of) -> Result<Arc<Line>, ViewError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.as_mut().ok_or_else(|| ViewError::failed(Reason::Closed, None))?;
        Ok(Arc::clone(lines.entry(of).or_default()))
    }

    async fn dial(&self) -> Result<Client, ViewError> {
        // Nobody begins anything on a store that is closed.
        self.line(Of::All)?;
        self.dialing.hand(&self.history).await.map_err(|error| {
            let reason = match &error {
                OpenError::Unreachable(_) => Reason::Unreachable,
                OpenError::Standby => Reason::ReadOnly,
                OpenError::Damaged(damage) => Reason::Corrupt(damage.clone()),
                _ => Reason::Storage,
            };
            ViewError::failed(reason, Some(error.into()))
        })
    }

    /// Runs something to its end, whoever still waits for it.
    async fn run<T: Send + 'static>(
        &self,
        doing: impl Future<Output = Result<T, ViewError>> + Send + 'static,
    ) -> Result<T, ViewError> {
        let done = self.thread.spawn(doing).await;
        done.unwrap_or_else(|broke| Err(ViewError::failed(Reason::Unreachable, Some(broke.into()))))
    }

    /// Does something over a connection that is kept, alone on it.
    async fn over<T: Send + 'static>(
        self: &Arc<Self>,
        of: Of,
        doing: impl for<'c> FnOnce(&'c Client) -> Doing<'c, T> + Send + 'static,
    ) -> Result<T, ViewError> {
        let views = Arc::clone(self);
        self.run(async move {
            let line = views.line(of)?;
            let mut line = line.lock().await;
            // It is taken out, so that it is gone if this breaks.
            let client = match line.take().filter(|(client, _)| !client.is_closed()) {
                Some((client, _)) => client,
                None => views.dial().await?,
            };
            let done = doing(&client).await;
            if !matches!(done, Err(NotDone::Failed(_))) {
                *line = Some((client, Instant::now()));
            }
            done.map_err(ViewError::from)
        })
        .await
    }

    /// Does something that makes, renames or drops tables. Who holds one of them is waited for in short turns, for everyone who
    /// wants to read it waits behind this.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        doing: impl for<'c> Fn(&'c mut Client, &'c Dialing) -> Doing<'c, T> + Send + Sync + 'static,
    ) -> Result<T, ViewError> {
        let views = Arc::clone(self);
        self.run(async move {
            let mut client = views.dial().await?;
            let mut attempt = 1;
            loop {
                match doing(&mut client, &views.dialing).await {
                    Err(error) if error.is_in_the_way() && attempt < ATTEMPTS => {
                        sleep(Duration::from_millis(50) * attempt).await;
                        attempt += 1;
                    }
                    done => return done.map_err(ViewError::from),
                }
            }
        })
        .await
    }
}

fn used_lately(line: &Line) -> bool {
    let Ok(line) = line.try_lock() else { return true };
    line.as_ref().is_some_and(|(client, used)| !client.is_closed() && used.elapsed() < IDLE)
}

#[async_trait]
impl ViewStore for PostgresStore {
    async fn prepare(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        let plan = plan.clone();
        let views = self.views_to_write()?;
        views
            .change(move |client, dialing| {
                let plan = plan.clone();
                Box::pin(async move { generations::prepare(client, &dialing.schema, &plan).await })
            })
            .await
    }

    async fn begin_build(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        let plan = plan.clone();
        let views = self.views_to_write()?;
        views
            .change(move |client, dialing| {
                let plan = plan.clone();
                Box::pin(async move { generations::begin_build(client, &dialing.schema, &plan).await })
            })
            .await
    }

    async fn generations(&self) -> Result<Vec<GenerationState>, ViewError> {
        let all = generations::all(&self.session().await?).await.map_err(to_error)?;
        Ok(all.into_iter().map(|stored| stored.state).collect())
    }

    async fn want(&self, wanted: &[Generation]) -> Result<(), ViewError> {
        let wanted = wanted.to_vec();
        let views = self.views_to_write()?;
        views
            .over(Of::All, move |client| Box::pin(async move { generations::want(client, &wanted).await }))
            .await
    }

    async fn lease(
        &self,
        of: &Generation,
        holder: &Holder,
        lasting: Duration,
    ) -> Result<Option<Lease>, ViewError> {
        let (of, holder) = (of.clone(), holder.clone());
        let views = self.views_to_write()?;
        views
            .over(Of::All, move |client| {
                Box::pin(async move { generations::lease(client, &of, &holder, lasting).await })
            })
            .await
    }

    async fn give_back(&self, lease: &Lease) -> Result<(), ViewError> {
        let lease = lease.clone();
        let views = self.views_to_write()?;
        views
            .over(Of::All, move |client| {
                Box::pin(async move { generations::give_back(client, &lease).await })
            })
            .await
    }

    async fn load(&self, of: &Generation, keys: Wanted) -> Result<Vec<(usize, Row)>, ViewError> {
        let (of, line) = (of.clone(), Of::One(of.clone()));
        let views = self.views_to_write()?;
        views
            .over(line, move |client| Box::pin(async move { generations::load(client, &of, &keys).await }))
            .await
    }

    async fn apply(&self, work: Work) -> Result<(), ViewError> {
        let line = Of::One(work.lease.of.clone());
        let views = self.views_to_write()?;
        let head = self.watch();
        views
            .over(line, move |client| Box::pin(async move { generations::apply(client, &work, &head).await }))
            .await
    }

    async fn halt(&self, lease: &Lease, halt: &Halt) -> Result<(), ViewError> {
        let (lease, halt) = (lease.clone(), halt.clone());
        let views = self.views_to_write()?;
        views
            .over(Of::All, move |client| {
                Box::pin(async move { generations::halt(client, &lease, &halt).await })
            })
            .await
    }

    async fn mark(&self, of: &Generation, mark: Mark) -> Result<(), ViewError> {
        let of = of.clone();
        let views = self.views_to_write()?;
        views
            .over(Of::All, move |client| Box::pin(async move { generations::mark(client, &of, &mark).await }))
            .await
    }

    async fn take_over(&self, lease: &Lease) -> Result<TakenOver, ViewError> {
        let (lease, head) = (lease.clone(), self.watch());
        let views = self.views_to_write()?;
        views
            .change(move |client, dialing| {
                let (lease, pace) = (lease.clone(), Pace::beside(head.clone()));
                Box::pin(async move {
                    generations::index(client, &lease, pace).await?;
                    generations::take_over(client, &dialing.schema, &lease).await
                })
            })
            .await
    }

    async fn tend(&self, lease: &Lease) -> Result<bool, ViewError> {
        let views = self.views_to_write()?;
        if !views.is_to_be_tended(&lease.of) {
            return Ok(false);
        }
        // Nobody waits for it: it takes as long as it takes, and what is folded meanwhile is listed again.
        let (of, views) = (lease.of.clone(), Arc::clone(views));
        views.thread.clone().spawn(async move {
            let (begun, tended) = (Instant::now(), of.clone());
            let line = Of::Listed(of.clone());
            let taken = views.over(line, move |client| {
                Box::pin(async move { generations::take_listed(client, &of).await })
            });
            if let Err(error) = taken.await {
                tracing::warn!(%error, "what is listed for an index was not taken into it");
            }
            views.has_tended(tended, begun.elapsed());
        });
        Ok(false)
    }

    async fn discard(&self, of: &Generation) -> Result<(), ViewError> {
        let of = of.clone();
        let views = self.views_to_write()?;
        views
            .change(move |client, dialing| {
                let of = of.clone();
                Box::pin(async move { generations::discard(client, &dialing.schema, &of).await })
            })
            .await
    }

    async fn ask(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        let views = self.views();
        let session = views.askers.session().await.map_err(to_error)?;
        Ok(asking::ask(&session, &views.known, query).await?)
    }

    fn work_limits(&self) -> WorkLimits {
        WorkLimits { rows: 2_000, building_rows: 100_000, building_bytes: 192 * 1024 * 1024 }
    }
}
