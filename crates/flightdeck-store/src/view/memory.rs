//! Views in memory: the smallest honest store of them, and what a view is folded into when it is folded as it is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::view::generation::{
    Checkpoint, Generation, GenerationState, Halt, HaltKind, Holder, Lease, Succession, answering, succession,
};
use crate::view::port::{Mark, TakenOver, ViewError, ViewStore, Work, WorkLimits};
use crate::view::query::{InvalidQuery, ViewPage, ViewQuery};
use crate::view::rows::Wanted;
use crate::view::table::Plan;
use crate::view::value::{Row, Value};

/// Views in memory. Clones are handles on the same views.
#[derive(Clone, Default)]
pub struct MemoryViews(Arc<Mutex<BTreeMap<Generation, Kept>>>, Arc<AtomicI64>);

/// A generation, and everything in it.
struct Kept {
    state: GenerationState,
    tables: Vec<BTreeMap<Box<[Value]>, Row>>,
    token: i64,
    until: Instant,
    wanted: Instant,
}

impl Kept {
    fn new(of: Generation, plan: &Plan, skips: Vec<flightdeck_core::Position>) -> Self {
        let state = GenerationState {
            of,
            plan: plan.clone(),
            ready: false,
            serving: false,
            paused: false,
            checkpoint: Checkpoint::START,
            halt: None,
            skips,
            holder: None,
            unwanted_seconds: 0,
        };
        let tables = plan.tables().iter().map(|_| BTreeMap::new()).collect();
        let now = Instant::now();
        Self { state, tables, token: 0, until: now, wanted: now }
    }

    fn held_by(&self, lease: &Lease) -> Result<(), ViewError> {
        if self.token == lease.token { Ok(()) } else { Err(ViewError::Fenced) }
    }

    fn state(&self) -> GenerationState {
        let unwanted_seconds = i64::try_from(self.wanted.elapsed().as_secs()).unwrap_or(i64::MAX);
        let holder = self.state.holder.clone().filter(|_| self.until > Instant::now());
        GenerationState { unwanted_seconds, holder, ..self.state.clone() }
    }
}

type All<'a> = MutexGuard<'a, BTreeMap<Generation, Kept>>;

impl MemoryViews {
    /// No views.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn all(&self) -> All<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryViews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryViews").finish_non_exhaustive()
    }
}

fn find<'a>(all: &'a mut All<'_>, of: &Generation) -> Result<&'a mut Kept, ViewError> {
    all.get_mut(of).ok_or_else(|| ViewError::Unknown(of.to_string()))
}

/// The newest build of a plan's generation, if it is still the same plan.
fn newest<'a>(all: &'a All<'_>, plan: &Plan) -> Result<Option<&'a Kept>, ViewError> {
    let same = |kept: &&Kept| kept.state.of.view == *plan.view() && kept.state.of.number == plan.number();
    let found = all.values().rev().find(same);
    match found {
        Some(kept) if kept.state.plan.fingerprint() != plan.fingerprint() => {
            Err(ViewError::Changed { view: plan.view().clone(), number: plan.number() })
        }
        found => Ok(found),
    }
}

fn check_names(all: &All<'_>, plan: &Plan) -> Result<(), ViewError> {
    let others = all.values().filter(|kept| kept.state.of.view != *plan.view());
    let taken =
        others.flat_map(|kept| kept.state.plan.tables()).find(|table| plan.table(table.name()).is_some());
    match taken {
        Some(table) => Err(ViewError::TableTaken { table: table.name().to_owned() }),
        None => Ok(()),
    }
}

#[async_trait]
impl ViewStore for MemoryViews {
    async fn prepare(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        let mut all = self.all();
        if let Some(of) = newest(&all, plan)?.map(|kept| kept.state.of.clone()) {
            let kept = find(&mut all, &of)?;
            kept.wanted = Instant::now();
            return Ok(kept.state());
        }
        check_names(&all, plan)?;
        let of = Generation { view: plan.view().clone(), number: plan.number(), build: 1 };
        let kept = Kept::new(of.clone(), plan, Vec::new());
        Ok(all.entry(of).or_insert(kept).state())
    }

    async fn begin_build(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        let mut all = self.all();
        check_names(&all, plan)?;
        let before = newest(&all, plan)?.map(|kept| kept.state.clone());
        let build = before.as_ref().map_or(1, |before| before.of.build + 1);
        let skips = before.as_ref().map_or_else(Vec::new, |before| before.skips.clone());
        let paused = before.as_ref().is_some_and(|before| before.paused);
        if let Some(before) = before.filter(|before| !before.ready) {
            all.remove(&before.of);
        }
        let of = Generation { view: plan.view().clone(), number: plan.number(), build };
        let mut kept = Kept::new(of.clone(), plan, skips);
        kept.state.paused = paused;
        Ok(all.entry(of).or_insert(kept).state())
    }

    async fn generations(&self) -> Result<Vec<GenerationState>, ViewError> {
        Ok(self.all().values().map(Kept::state).collect())
    }

    async fn want(&self, wanted: &[Generation]) -> Result<(), ViewError> {
        let mut all = self.all();
        for of in wanted {
            if let Some(kept) = all.get_mut(of) {
                kept.wanted = Instant::now();
            }
        }
        Ok(())
    }

    async fn lease(
        &self,
        of: &Generation,
        holder: &Holder,
        lasting: Duration,
    ) -> Result<Option<Lease>, ViewError> {
        let mut all = self.all();
        let kept = find(&mut all, of)?;
        let now = Instant::now();
        if kept.state.holder.as_ref() != Some(holder) {
            if kept.state.holder.is_some() && kept.until > now {
                return Ok(None);
            }
            kept.state.holder = Some(holder.clone());
            kept.token = self.1.fetch_add(1, Ordering::SeqCst) + 1;
        }
        kept.until = now + lasting;
        Ok(Some(Lease { of: of.clone(), holder: holder.clone(), token: kept.token }))
    }

    async fn give_back(&self, lease: &Lease) -> Result<(), ViewError> {
        let mut all = self.all();
        let kept = find(&mut all, &lease.of)?;
        if kept.token == lease.token {
            kept.state.holder = None;
        }
        Ok(())
    }

    async fn load(&self, of: &Generation, keys: Wanted) -> Result<Vec<(usize, Row)>, ViewError> {
        let mut all = self.all();
        let kept = find(&mut all, of)?;
        let mut found = BTreeMap::new();
        for (place, key) in &keys {
            let Some(table) = kept.tables.get(*place) else { continue };
            let from = (std::ops::Bound::Included(&**key), std::ops::Bound::Unbounded);
            for (at, row) in table.range::<[Value], _>(from).take_while(|(at, _)| at.starts_with(key)) {
                found.insert((*place, at.clone()), row.clone());
            }
        }
        Ok(found.into_iter().map(|((place, _), row)| (place, row)).collect())
    }

    async fn apply(&self, work: Work) -> Result<(), ViewError> {
        let mut all = self.all();
        let kept = find(&mut all, &work.lease.of)?;
        kept.held_by(&work.lease)?;
        if kept.state.checkpoint != work.from {
            return Err(ViewError::Fenced);
        }
        for changes in work.changes {
            let place = kept.state.plan.table(changes.table.name()).map(|(place, _)| place);
            let Some(table) = place.and_then(|place| kept.tables.get_mut(place)) else { continue };
            for key in changes.gone {
                table.remove(&key);
            }
            for row in changes.put {
                table.insert(row.key().into(), row);
            }
        }
        (kept.state.checkpoint, kept.state.halt) = (work.to, None);
        Ok(())
    }

    async fn halt(&self, lease: &Lease, halt: &Halt) -> Result<(), ViewError> {
        let mut all = self.all();
        let kept = find(&mut all, &lease.of)?;
        kept.held_by(lease)?;
        kept.state.halt = Some(halt.clone());
        Ok(())
    }

    async fn mark(&self, of: &Generation, mark: Mark) -> Result<(), ViewError> {
        let mut all = self.all();
        let kept = find(&mut all, of)?;
        match mark {
            Mark::Pause => kept.state.paused = true,
            Mark::Resume => {
                kept.state.paused = false;
                kept.state.halt = None;
            }
            Mark::Skip(position) => {
                if kept.state.halt.as_ref().is_none_or(|halt| !halt.may_be_skipped_at(position)) {
                    return Err(ViewError::NotHalted(position));
                }
                kept.state.skips.push(position);
                kept.state.halt = None;
            }
        }
        Ok(())
    }

    async fn take_over(&self, lease: &Lease) -> Result<TakenOver, ViewError> {
        let mut all = self.all();
        let kept = find(&mut all, &lease.of)?;
        kept.held_by(lease)?;
        let states: Vec<GenerationState> = all.values().map(Kept::state).collect();
        let of = &lease.of;
        let (serves, served, gone) = match succession(&states, of) {
            None => return Err(ViewError::Unknown(of.to_string())),
            Some(Succession::Behind(ahead)) => return Ok(TakenOver::Behind(ahead)),
            Some(Succession::Ready { serves, served, gone }) => (serves, served, gone),
        };
        if let Some(kept) = served.and_then(|served| all.get_mut(&served)) {
            kept.state.serving = false;
        }
        if let Some(kept) = all.get_mut(of) {
            (kept.state.ready, kept.state.serving) = (true, serves);
        }
        all.retain(|other, _| !gone.contains(other));
        Ok(TakenOver::Done)
    }

    async fn discard(&self, of: &Generation) -> Result<(), ViewError> {
        let mut all = self.all();
        find(&mut all, of)?;
        all.remove(of);
        Ok(())
    }

    async fn ask(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        let all = self.all();
        let states: Vec<GenerationState> = all
            .values()
            .filter(|kept| kept.state.of.view == query.view)
            .map(|kept| kept.state.clone())
            .collect();
        let Some(state) = answering(&states, &query.view, query.number) else {
            return Err(match states.is_empty() {
                true => ViewError::Unknown(query.view.to_string()),
                false => ViewError::NotReady(query.view.clone()),
            });
        };
        let kept = all.get(&state.of).ok_or_else(|| ViewError::Unknown(state.of.to_string()))?;
        let (place, table) =
            state.plan.table(&query.table).ok_or_else(|| InvalidQuery::Table(query.table.clone()))?;
        let order = query.check(table)?;
        let rows = kept.tables.get(place).into_iter().flat_map(BTreeMap::values);
        let selects = query.selects(table);
        let rows = rows.filter(|row| selects(row)).cloned().collect();
        Ok(query.page(rows, &order, state.checkpoint, state.of.clone()))
    }

    fn work_limits(&self) -> WorkLimits {
        WorkLimits { rows: 2_000, building_rows: 100_000, building_bytes: 64 * 1024 * 1024 }
    }
}

impl GenerationState {
    /// Whether the log is not the one that it was folded from.
    #[must_use]
    pub fn has_diverged(&self) -> bool {
        self.halt.as_ref().is_some_and(|halt| halt.kind == HaltKind::Diverged)
    }
}

impl Halt {
    /// Whether it is for the event at that position, and leaving that out helps.
    #[must_use]
    pub fn may_be_skipped_at(&self, position: flightdeck_core::Position) -> bool {
        self.position == position && matches!(self.kind, HaltKind::Poison | HaltKind::Corrupt)
    }
}
