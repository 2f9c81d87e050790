//! What a projection is: a name, a number, what it reads, its tables, and a pure fold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{Category, Decider, EventType, StoredEvents, WordError};
use flightdeck_store::view::{Fold, FoldError, Halt, HaltKind, InvalidPlan, Key, Plan, Rows, Table};
use flightdeck_store::{Filter, InvalidRead, Recorded, StreamPattern, TypePattern};
use thiserror::Error;

use crate::as_of;

/// A view, as a pure fold from events to rows.
///
/// A projection does no IO, reads no clock and rolls no dice: all it knows comes with the event, and with the rows that it
/// named. That is what makes a rebuild give the same rows, on any store, in batches of any size.
///
/// When what it reads, what it keeps or how it folds changes, it takes the next number: a new generation is built beside the one in
/// use, and takes its place once it has caught up. What is read and kept is remembered under a number, and a change of it is noticed;
/// a change of the fold alone is not, so it is yours to remember.
pub trait Projection: Send + Sync + 'static {
    /// What the view is called, for instance `content`: up to 40 of `[a-z0-9_]`.
    fn name(&self) -> &'static str;

    /// The number of the generation, from 1 on.
    fn number(&self) -> u32 {
        1
    }

    /// Which events it reads. All others pass it by.
    fn reads(&self) -> Reads;

    /// Its tables.
    fn tables(&self) -> Vec<Table>;

    /// How far it may be behind, when it is in use and nobody waits for it: what comes meanwhile is folded and written together, which
    /// costs less. `None` is what the runner does with all. For figures about much, at which people look and on which nothing is built.
    fn gather(&self) -> Option<Duration> {
        None
    }

    /// The rows that an event is about: they are loaded, and the fold sees those and no others.
    ///
    /// # Errors
    /// When the event can't be read: the view comes to a halt before it.
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError>;

    /// Folds an event into its rows.
    ///
    /// # Errors
    /// When it can't: the view comes to a halt before the event, with nothing of it folded.
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError>;
}

/// Which events are read: types, each perhaps only in the streams of one category; or all that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    sources: Vec<Source>,
    everything: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    category: Option<String>,
    /// Names, and the newest shape of each that is known.
    types: BTreeMap<String, u32>,
}

impl Reads {
    /// Every event of an aggregate: all of its types, in its own streams.
    #[must_use]
    pub fn events_of<D: Decider>() -> Self
    where
        D::Event: StoredEvents,
    {
        let types = D::Event::TYPES.iter().map(|stored| (stored.name.to_owned(), stored.schema().get()));
        let source = Source { category: Some(D::CATEGORY.to_owned()), types: types.collect() };
        Self { sources: vec![source], everything: false }
    }

    /// Events of these types, in their first shape, wherever they are.
    #[must_use]
    pub fn types<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let types = names.into_iter().map(|name| (name.to_owned(), 1)).collect();
        Self { sources: vec![Source { category: None, types }], everything: false }
    }

    /// Every event there is, of whatever type and shape, those in the system's own streams included: for what looks at the
    /// log itself, and not into its data.
    #[must_use]
    pub fn everything() -> Self {
        Self { sources: Vec::new(), everything: true }
    }

    /// The same types, in the streams of one category only.
    #[must_use]
    pub fn in_category(mut self, category: &str) -> Self {
        for source in &mut self.sources {
            source.category = Some(category.to_owned());
        }
        self
    }

    /// All that either reads.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.sources.extend(other.sources);
        self.everything |= other.everything;
        self
    }

    /// What tells this from what others read. Shapes are not in it: a new one is read by the same projection.
    fn fingerprint(&self) -> String {
        let source = |source: &Source| {
            let types: Vec<&str> = source.types.keys().map(String::as_str).collect();
            format!("{}: {}", source.category.as_deref().unwrap_or("*"), types.join(" "))
        };
        let mut sources: Vec<String> = self.sources.iter().map(source).collect();
        sources.extend(self.everything.then(|| "*: *".to_owned()));
        sources.sort();
        sources.join("\n")
    }

    /// What the log is asked for: a little more than is read, when there are several sources.
    fn filter(&self) -> Result<Filter, WordError> {
        let mut filter = Filter::default();
        if self.everything {
            return Ok(filter);
        }
        for source in &self.sources {
            for name in source.types.keys() {
                filter.types.push(TypePattern::Exact(EventType::new(name)?));
            }
        }
        // One source that reads everywhere is enough to have to look everywhere.
        if self.sources.iter().all(|source| source.category.is_some()) {
            for category in self.sources.iter().filter_map(|source| source.category.as_ref()) {
                filter.streams.push(StreamPattern::Category(Category::new(category)?));
            }
        }
        Ok(filter)
    }

    /// Whether an event is read; an error when it is of a shape that is not known yet.
    pub(crate) fn reads(&self, event: &Recorded) -> Result<bool, Halt> {
        let of = |source: &&Source| {
            source.category.as_deref().is_none_or(|category| category == event.stream.category_str())
        };
        let known =
            self.sources.iter().filter(of).filter_map(|source| source.types.get(event.event_type.as_str()));
        let known = known.max();
        match known {
            None => Ok(self.everything),
            Some(known) if event.schema.get() <= *known => Ok(true),
            Some(known) => Err(Halt {
                kind: HaltKind::NeedsUpgrade,
                position: event.position,
                event: Some(event.id),
                error: format!(
                    "{} has schema {}, and this program knows up to {known}",
                    event.event_type, event.schema
                ),
            }),
        }
    }
}

/// Why a projection can't be run.
#[derive(Debug, Error)]
pub enum InvalidProjection {
    /// Something it keeps can't be kept.
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    /// A name of its is kept for views of the past, which come and go.
    #[error("the name {0} is kept for views as of a moment")]
    Reserved(String),
    /// Something it reads can't be there.
    #[error("the projection {0} reads what can't be: {1}")]
    Reads(&'static str, WordError),
    /// It reads nothing.
    #[error("the projection {0} reads nothing")]
    ReadsNothing(&'static str),
    /// It reads more kinds of events than can be asked for at once.
    #[error("the projection {0} reads too much: {1}")]
    ReadsTooMuch(&'static str, InvalidRead),
}

/// A projection, looked at once: what it reads and keeps, ready to be used.
#[derive(Clone)]
pub struct Defined {
    pub(crate) plan: Plan,
    pub(crate) reads: Arc<Reads>,
    pub(crate) filter: Filter,
    pub(crate) fold: Arc<dyn Fold>,
    pub(crate) gather: Option<Duration>,
}

impl Defined {
    /// Looks at a projection.
    ///
    /// # Errors
    /// When a name, a table or what it reads can't be like that.
    pub fn new(projection: Arc<dyn Projection>) -> Result<Self, InvalidProjection> {
        let (name, number, reads) = (projection.name(), projection.number(), projection.reads());
        let (tables, gather) = (projection.tables(), projection.gather());
        let defined = Self::of(name, number, reads, tables, Arc::new(Folded(projection)))?;
        Ok(Self { gather, ..defined })
    }

    pub(crate) fn of(
        name: &'static str,
        number: u32,
        reads: Reads,
        tables: Vec<Table>,
        fold: Arc<dyn Fold>,
    ) -> Result<Self, InvalidProjection> {
        let plan = Plan::new(name, number, tables, &reads.fingerprint())?;
        let tables = plan.tables().iter().map(|table| table.name());
        if let Some(taken) = tables.chain([name]).find(|name| name.starts_with(as_of::RESERVED)) {
            return Err(InvalidProjection::Reserved(taken.to_owned()));
        }
        let filter = reads.filter().map_err(|error| InvalidProjection::Reads(name, error))?;
        if filter.types.is_empty() && !reads.everything {
            return Err(InvalidProjection::ReadsNothing(name));
        }
        filter.check().map_err(|error| InvalidProjection::ReadsTooMuch(name, error))?;
        Ok(Self { plan, reads: Arc::new(reads), filter, fold, gather: None })
    }

    /// What it keeps.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl std::fmt::Debug for Defined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Defined").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// A projection as the store's hook knows it.
struct Folded(Arc<dyn Projection>);

impl Fold for Folded {
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        self.0.keys(event)
    }
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        self.0.fold(event, rows)
    }
}
