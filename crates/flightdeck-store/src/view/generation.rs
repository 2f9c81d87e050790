//! Generations of a view, how far each is folded, and who folds it.

use flightdeck_core::{EventId, Position};
use serde::{Deserialize, Serialize};

use crate::chain::Hash;
use crate::view::table::{Plan, ViewName};

/// One life of a view's tables. Another number is another projection; another build is the same one, folded anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation {
    /// The view.
    pub view: ViewName,
    /// The number of the projection.
    pub number: u32,
    /// Which build of it, from 1 on.
    pub build: u32,
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}.{}", self.view, self.number, self.build)
    }
}

/// How far a view is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Everything up to here is folded in, itself included.
    pub position: Position,
    /// The last event that was there to be folded, and its hash: by it a checkpoint is known to be of this log.
    pub folded: Option<(Position, Hash)>,
}

impl Checkpoint {
    /// Before the first event.
    pub const START: Self = Self { position: Position::START, folded: None };
}

/// Why a view does not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// What kind of reason.
    pub kind: HaltKind,
    /// The event it stands before; for one that has diverged, the one that is not as it was.
    pub position: Position,
    /// Its id, if it could be read.
    pub event: Option<EventId>,
    /// What is wrong.
    pub error: String,
}

/// What kind of reason a view has not to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltKind {
    /// An event could not be folded, however often it was tried.
    Poison,
    /// An event has a shape that this program does not know yet.
    NeedsUpgrade,
    /// An event is damaged.
    Corrupt,
    /// The log is not the one that the view was folded from.
    Diverged,
    /// The store refuses to keep it as it is, however often it is asked.
    Refused,
}

impl HaltKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poison => "poison",
            Self::NeedsUpgrade => "needs_upgrade",
            Self::Corrupt => "corrupt",
            Self::Diverged => "diverged",
            Self::Refused => "refused",
        }
    }
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at position {}", self.kind.as_str(), self.position)?;
        if let Some(event) = self.event {
            write!(f, " (event {event})")?;
        }
        write!(f, ": {}", self.error)
    }
}

/// What is known of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationState {
    /// Which one.
    pub of: Generation,
    /// Its tables and its fingerprint.
    pub plan: Plan,
    /// Whether it has caught up once, and can be asked.
    pub ready: bool,
    /// Whether its tables have the names that SQL knows the view by.
    pub serving: bool,
    /// Whether somebody has told it to wait.
    pub paused: bool,
    /// How far it is.
    pub checkpoint: Checkpoint,
    /// Why it does not go on, if it does not.
    pub halt: Option<Halt>,
    /// Events that somebody has told it to leave out.
    pub skips: Vec<Position>,
    /// Who has it now, if anyone does.
    pub holder: Option<Holder>,
    /// For how many seconds no program has said that it wants this generation.
    pub unwanted_seconds: i64,
}

/// Who may fold a generation: one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder(String);

impl Holder {
    /// A holder that nobody else is: `random` must not come twice.
    #[must_use]
    pub fn from_random(random: u128) -> Self {
        Self(format!("{random:032x}"))
    }

    /// The holder as a store kept it.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The holder as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The right to fold a generation, until someone else has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The generation.
    pub of: Generation,
    /// Who has it.
    pub holder: Holder,
    /// It rises whenever the lease changes hands, so that what an earlier holder sends late is told from this one's.
    pub token: i64,
}

/// The generation that answers whoever asks a view by number: a ready one of that number, else the one that SQL knows.
#[must_use]
pub fn answering<'s>(
    all: &'s [GenerationState],
    view: &ViewName,
    number: u32,
) -> Option<&'s GenerationState> {
    let ready = || all.iter().filter(|state| state.of.view == *view && state.ready);
    let own = ready().filter(|state| state.of.number == number).max_by_key(|state| state.of.build);
    own.or_else(|| ready().find(|state| state.serving))
}

/// What taking over comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Succession {
    /// What answers now has come further.
    Behind(Position),
    /// It becomes ready.
    Ready {
        /// Whether it serves from here on.
        serves: bool,
        /// The one that serves no more.
        served: Option<Generation>,
        /// Earlier builds, which go.
        gone: Vec<Generation>,
    },
}

/// What taking over comes to for a generation, among all of its view: a rule that every store keeps in the same way.
#[must_use]
pub fn succession(all: &[GenerationState], of: &Generation) -> Option<Succession> {
    let at = all.iter().find(|state| state.of == *of)?.checkpoint.position;
    let others: Vec<GenerationState> = all.iter().filter(|state| state.of != *of).cloned().collect();
    let answers = answering(&others, &of.view, of.number).filter(|state| !state.has_diverged());
    if let Some(ahead) = answers.map(|state| state.checkpoint.position).filter(|ahead| *ahead > at) {
        return Some(Succession::Behind(ahead));
    }
    let serving =
        others.iter().find(|state| state.of.view == of.view && state.serving).map(|state| state.of.clone());
    let serves = serving.as_ref().is_none_or(|serving| serving.number <= of.number);
    let earlier = |state: &&GenerationState| {
        state.of.view == of.view && state.of.number == of.number && state.of.build < of.build
    };
    let gone = others.iter().filter(earlier).map(|state| state.of.clone()).collect();
    Some(Succession::Ready { serves, served: serving.filter(|_| serves), gone })
}
