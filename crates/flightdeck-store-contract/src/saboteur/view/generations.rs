//! Sabotage of generations: how they are made, listed, marked, and how they take over.

use flightdeck_store::view::{
    Checkpoint, Generation, GenerationState, Halt, HaltKind, Lease, Mark, Plan, TakenOver, ViewError,
    ViewStore as _, Work,
};

use super::ViewSabotage as By;
use super::store::{SabotagedViews, a_moment};

impl SabotagedViews {
    /// The builds of a plan's generation, oldest first.
    async fn builds(&self, plan: &Plan) -> Result<Vec<GenerationState>, ViewError> {
        let mut all = self.inner.generations().await?;
        all.retain(|state| state.of.view == *plan.view() && state.of.number == plan.number());
        Ok(all)
    }

    pub(super) async fn sabotaged_prepare(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        let builds = self.builds(plan).await?;
        match self.sabotage {
            Some(By::FindsTheOldestBuild) if !builds.is_empty() => return Ok(builds[0].clone()),
            Some(By::MakesAnewWhatIsThere) => {
                for build in &builds {
                    self.inner.discard(&build.of).await?;
                }
            }
            Some(By::MakesBeforeItsTurn) if builds.is_empty() => {
                a_moment().await;
                return self.inner.begin_build(plan).await;
            }
            Some(By::RemembersNamesOfTables) => {
                let mut notes = self.memo.notes();
                for table in plan.tables() {
                    let name = table.name().to_owned();
                    let of = notes.names.entry(name.clone()).or_insert_with(|| plan.view().clone());
                    if of != plan.view() {
                        return Err(ViewError::TableTaken { table: name });
                    }
                }
            }
            _ => {}
        }
        let made = match self.inner.prepare(plan).await {
            Err(ViewError::Changed { .. }) if self.is(By::TakesChangedPlans) => builds[0].clone(),
            Err(ViewError::TableTaken { .. }) if self.is(By::TakesTakenTables) => {
                let all = self.inner.generations().await?;
                all.into_iter().next().ok_or_else(|| ViewError::Unknown(String::new()))?
            }
            made => made?,
        };
        if self.is(By::BeginsReady) && !made.ready {
            self.inner.take_over(&self.good_lease(&made.of)).await?;
            return self.real(&made.of).await;
        }
        Ok(made)
    }

    pub(super) async fn sabotaged_build(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        let builds = self.builds(plan).await?;
        let unfinished = builds.iter().find(|build| !build.ready);
        match (self.sabotage, unfinished) {
            (Some(By::GoesOnWithUnfinishedBuilds), Some(unfinished)) => return Ok(unfinished.clone()),
            (Some(By::BuildsInPlace), None) => {
                let made = self.inner.begin_build(plan).await?;
                for build in builds {
                    self.inner.discard(&build.of).await?;
                }
                return Ok(made);
            }
            _ => {}
        }
        match self.inner.begin_build(plan).await {
            Err(ViewError::Changed { .. }) if self.is(By::TakesChangedPlans) => Ok(builds[0].clone()),
            made => made,
        }
    }

    /// A generation as it is shown.
    pub(super) fn shown(&self, mut state: GenerationState) -> GenerationState {
        match self.sabotage {
            Some(By::ForgetsSkipsInBuilds) if state.of.build > 1 => state.skips.clear(),
            Some(By::ForgetsHaltsWhenReopened) if self.reopened => state.halt = None,
            Some(By::ForgetsCheckpointsWhenReopened) if self.reopened => state.checkpoint = Checkpoint::START,
            Some(By::RemembersTheLastSkip) => state.skips = state.skips.last().copied().into_iter().collect(),
            Some(By::ServesNothing) => state.serving = false,
            Some(By::BuildsNeverServe) if state.of.build > 1 => state.serving = false,
            Some(By::ServesTheLatest) => {
                state.serving = self.memo.notes().latest.as_ref() == Some(&state.of);
            }
            Some(By::RemembersWhatIsGone) if state.checkpoint == Checkpoint::START => {
                if let Some(gone) = self.memo.notes().gone.get(&state.of) {
                    state.checkpoint = gone.checkpoint;
                }
            }
            _ => {}
        }
        state
    }

    pub(super) async fn sabotaged_list(&self) -> Result<Vec<GenerationState>, ViewError> {
        let mut all = self.inner.generations().await?;
        match self.sabotage {
            Some(By::ListsNumbersAsTexts) => {
                all.sort_by_key(|state| (state.of.view.clone(), state.of.number.to_string(), state.of.build))
            }
            Some(By::KeepsEarlierBuilds) => {
                all.extend(self.memo.notes().gone.values().cloned());
                all.sort_by(|one, other| one.of.cmp(&other.of));
            }
            _ => {}
        }
        Ok(all.into_iter().map(|state| self.shown(state)).collect())
    }

    pub(super) async fn sabotaged_discard(&self, of: &Generation) -> Result<(), ViewError> {
        match self.sabotage {
            Some(By::DiscardsNothing) => return Ok(()),
            Some(By::ProtectsWhatServes) if self.real(of).await?.serving => return Ok(()),
            Some(By::RemembersWhatIsGone) => {
                let state = self.real(of).await?;
                self.memo.notes().gone.insert(of.clone(), state);
            }
            _ => {}
        }
        self.inner.discard(of).await
    }

    pub(super) async fn sabotaged_halt(&self, lease: &Lease, halt: &Halt) -> Result<(), ViewError> {
        match self.sabotage {
            Some(By::ForgetsEventsOfHalts) => {
                self.inner.halt(lease, &Halt { event: None, ..halt.clone() }).await
            }
            Some(By::KeepsTheFirstHalt) if self.real(&lease.of).await?.halt.is_some() => Ok(()),
            _ => self.inner.halt(lease, halt).await,
        }
    }

    pub(super) async fn sabotaged_mark(&self, of: &Generation, mark: Mark) -> Result<(), ViewError> {
        match self.sabotage {
            Some(By::NeverPauses) if mark == Mark::Pause => return Ok(()),
            Some(By::MarksTheWholeView) => {
                let all = self.inner.generations().await?;
                for state in all.into_iter().filter(|state| state.of.view == of.view && state.of != *of) {
                    self.inner.mark(&state.of, mark.clone()).await?;
                }
            }
            Some(By::ResumesOnlyWhatIsPaused) if mark == Mark::Resume => {
                let halt = self.real(of).await?.halt;
                self.inner.mark(of, mark).await?;
                return match halt {
                    Some(halt) => self.inner.halt(&self.good_lease(of), &halt).await,
                    None => Ok(()),
                };
            }
            _ => {}
        }
        match self.inner.mark(of, mark).await {
            Err(ViewError::Unknown(_)) if self.is(By::MarksWhatIsNotThere) => Ok(()),
            Err(ViewError::NotHalted(_)) if self.is(By::SkipsAnything) => Ok(()),
            Err(ViewError::NotHalted(_)) if self.is(By::SkipsWhatHasDiverged) => {
                let halt = self.real(of).await?.halt;
                match halt.filter(|halt| halt.kind == HaltKind::Diverged) {
                    Some(_) => Ok(()),
                    None => Err(ViewError::NotHalted(flightdeck_core::Position::START)),
                }
            }
            marked => marked,
        }
    }

    pub(super) async fn sabotaged_take_over(&self, lease: &Lease) -> Result<TakenOver, ViewError> {
        let of = &lease.of;
        let mut before = self.inner.generations().await?;
        before.retain(|state| state.of.view == of.view);
        let own = self.real(of).await?;
        let serving = before.iter().find(|state| state.serving && state.of != *of);
        if let Some(serving) = serving {
            let (position, has_halted) = (serving.checkpoint.position, serving.halt.is_some());
            let waits = match self.sabotage {
                Some(By::WaitsAtTheSamePlace) => position == own.checkpoint.position,
                Some(By::WaitsForWhatHasDiverged) => position > own.checkpoint.position,
                _ => false,
            };
            if waits {
                return Ok(TakenOver::Behind(position));
            }
            let hurries = self.is(By::TakesOverBehind) || self.is(By::OverlooksWhatHasHalted) && has_halted;
            if hurries && position > own.checkpoint.position {
                let to = Checkpoint { position, ..own.checkpoint };
                let hurry = Work { lease: lease.clone(), from: own.checkpoint, to, changes: Vec::new() };
                self.inner.apply(hurry).await?;
            }
        }
        if self.is(By::TakesOverInSteps) {
            self.memo.notes().between = true;
            a_moment().await;
        }
        let taken = self.inner.take_over(lease).await;
        self.memo.notes().between = false;
        if matches!(taken, Ok(TakenOver::Done)) {
            self.memo.notes().latest = Some(of.clone());
            if self.is(By::ThrowsLowerNumbersAway) {
                for lower in before.iter().filter(|state| state.of.number < of.number) {
                    self.inner.discard(&lower.of).await?;
                }
            }
            let earlier = |state: &GenerationState| state.of.number == of.number && state.of < *of;
            let gone = before.into_iter().filter(earlier).map(|state| (state.of.clone(), state));
            if self.is(By::KeepsEarlierBuilds) {
                self.memo.notes().gone.extend(gone);
            }
        }
        taken
    }
}
