//! The test kit for deciders: given these events, when this command comes, then that happens.
//!
//! Every event goes through its stored form on the way, so that a decider's tests show as well that what it says can be
//! stored and read again.
//!
//! ```
//! # use flightdeck_core::{Decider, StoredEvents, StoredType};
//! # use serde::{Deserialize, Serialize};
//! # struct Door;
//! # #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! # #[serde(tag = "eventType", content = "data")]
//! # enum Event { DoorOpened {}, DoorClosed {} }
//! # impl StoredEvents for Event {
//! #     const TYPES: &'static [StoredType] = &[StoredType::new("DoorOpened"), StoredType::new("DoorClosed")];
//! # }
//! # enum Command { Open, Close }
//! # #[derive(Debug, PartialEq)] struct Stuck;
//! # impl Decider for Door {
//! #     const CATEGORY: &'static str = "door";
//! #     type Command = Command;
//! #     type Event = Event;
//! #     type State = u32;
//! #     type Error = Stuck;
//! #     fn initial() -> u32 { 0 }
//! #     fn evolve(moves: u32, _: &Event) -> u32 { moves + 1 }
//! #     fn decide(moves: &u32, command: Command) -> Result<Vec<Event>, Stuck> {
//! #         match (moves, moves % 2, command) {
//! #             (2, ..) => Err(Stuck),
//! #             (_, 0, Command::Open) => Ok(vec![Event::DoorOpened {}]),
//! #             (_, 1, Command::Close) => Ok(vec![Event::DoorClosed {}]),
//! #             (_, _, Command::Open | Command::Close) => Ok(vec![]),
//! #         }
//! #     }
//! # }
//! use flightdeck_core::kit::given;
//!
//! given::<Door>([]).when(Command::Open).then([Event::DoorOpened {}]);
//! given::<Door>([Event::DoorOpened {}]).when(Command::Open).then([]);
//! given::<Door>([Event::DoorOpened {}, Event::DoorClosed {}]).when(Command::Open).then_refused(Stuck);
//! ```
//!
//! The deciders of `flightdeck-domain` are tested with it: look there for larger examples.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::decider::Decider;
use crate::mark::{Answer, Mark, Question};
use crate::registry::StoredEvents;
use crate::stream::StreamId;

/// A decider to which something has happened.
pub struct Given<D: Decider> {
    state: D::State,
}

/// What a command came to.
pub struct When<D: Decider> {
    before: D::State,
    outcome: Result<Vec<D::Event>, D::Error>,
}

/// Begins a test: these events have happened.
#[track_caller]
pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D>
where
    D::Event: StoredEvents,
{
    let state = events.into_iter().fold(D::initial(), |state, event| D::evolve(state, &again(&event)));
    Given { state }
}

impl<D: Decider> Given<D> {
    /// A command comes, which nobody has told anything of other streams.
    #[must_use]
    pub fn when(self, command: D::Command) -> When<D> {
        let outcome = D::decide(&self.state, command);
        When { before: self.state, outcome }
    }

    /// A command comes, and what it asks is answered with these events: one list for each question.
    ///
    /// # Panics
    /// When the command asks another number of questions.
    #[track_caller]
    #[must_use]
    pub fn when_told(self, command: D::Command, answers: &[Answer<D::Event>]) -> When<D> {
        let asked = D::asks(&self.state, &command);
        assert_eq!(asked.len(), answers.len(), "it asks {asked:?}");
        self.when(D::told(command, answers))
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &D::State {
        &self.state
    }
}

impl<D: Decider> When<D>
where
    D::Event: StoredEvents + Debug + PartialEq,
    D::Error: Debug + PartialEq,
{
    /// Exactly these events happen. None at all means that there was nothing to do.
    ///
    /// # Panics
    /// When something else happens.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = D::Event>) -> Given<D> {
        let expected: Vec<D::Event> = events.into_iter().collect();
        assert_eq!(self.outcome.as_ref(), Ok(&expected), "other events were expected (right)");
        let state = expected.into_iter().fold(self.before, |state, event| D::evolve(state, &again(&event)));
        Given { state }
    }

    /// The command is refused, for this reason.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a reason is written down where the test needs it")]
    pub fn then_refused(self, error: D::Error) {
        assert_eq!(self.outcome.as_ref(), Err(&error), "another outcome was expected (right)");
    }

    /// The events that happen carry exactly these marks, one list for each event.
    ///
    /// # Panics
    /// When they carry others, or the command was refused.
    #[track_caller]
    #[must_use]
    pub fn marked(self, marks: &[&[Mark]]) -> Self
    where
        D::State: Clone,
    {
        let events = match &self.outcome {
            Ok(events) => events,
            Err(error) => panic!("refused: {error:?}"),
        };
        let mut state = self.before.clone();
        let mut found = Vec::new();
        for event in events {
            found.push(D::marks(&state, event));
            state = D::evolve(state, event);
        }
        assert_eq!(found, marks, "other marks were expected (right)");
        self
    }
}

/// Many streams of one aggregate in a log of their own, for rules that cross streams: it answers what commands ask, as whoever
/// handles them does, but for races.
pub struct World<D: Decider> {
    log: Vec<(StreamId, Vec<Mark>, D::Event)>,
    states: BTreeMap<StreamId, D::State>,
}

impl<D: Decider> Default for World<D> {
    fn default() -> Self {
        Self { log: Vec::new(), states: BTreeMap::new() }
    }
}

impl<D: Decider> World<D>
where
    D::Event: StoredEvents + Clone,
    D::State: Clone,
{
    /// The state of a stream.
    #[must_use]
    pub fn state(&self, stream: &StreamId) -> D::State {
        self.states.get(stream).cloned().unwrap_or_else(D::initial)
    }

    /// Handles a command: what it asks is answered, and what happens is remembered.
    ///
    /// # Errors
    /// When the decider refuses.
    #[track_caller]
    pub fn handle(&mut self, stream: &StreamId, command: D::Command) -> Result<Vec<D::Event>, D::Error> {
        if let Some(about) = D::stream(&command) {
            assert_eq!(about.as_ref(), Ok(stream), "the command is about another thing");
        }
        let mut state = self.state(stream);
        let answers: Vec<_> =
            D::asks(&state, &command).iter().map(|question| self.answer(question)).collect();
        let command = if answers.is_empty() { command } else { D::told(command, &answers) };
        let events = D::decide(&state, command)?;
        for event in &events {
            let event = again(event);
            self.log.push((stream.clone(), D::marks(&state, &event), event.clone()));
            state = D::evolve(state, &event);
        }
        self.states.insert(stream.clone(), state);
        Ok(events)
    }

    /// The answer to a question.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Answer<D::Event> {
        let marked = self.log.iter().filter(|(_, marks, _)| marks.contains(question.mark()));
        let mut answer: Answer<D::Event> =
            marked.map(|(stream, _, event)| (stream.clone(), event.clone())).collect();
        match question {
            Question::Last(_) => answer.split_off(answer.len().saturating_sub(1)),
            Question::Every(_) => answer,
        }
    }
}

/// The event as it comes back from the log.
#[track_caller]
fn again<E: StoredEvents>(event: &E) -> E {
    let written = event.to_stored().unwrap_or_else(|error| panic!("an event can't be stored: {error}"));
    match E::from_stored(written.name.as_str(), written.schema, written.data.as_bytes()) {
        Ok(Some(event)) => event,
        Ok(None) => panic!("{} is not of its own aggregate", written.name),
        Err(error) => panic!("a stored event can't be read: {error}"),
    }
}
