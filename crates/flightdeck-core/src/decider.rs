//! The decider: three pure functions that say what an aggregate is, and three more for rules that cross streams.

use crate::mark::{Answer, Mark, Question};
use crate::stream::StreamId;
use crate::words::WordError;

/// An aggregate, as three functions over four types.
///
/// A decider does no IO, reads no clock and rolls no dice. Whatever it needs to know arrives
/// inside the command, so a test is a list of events and a command.
///
/// ```
/// use flightdeck_core::Decider;
///
/// struct Door;
/// #[derive(Debug, PartialEq)] enum Event { Opened, Closed }
/// enum Command { Open, Close }
///
/// impl Decider for Door {
///     const CATEGORY: &'static str = "door";
///     type Command = Command;
///     type Event = Event;
///     type State = bool;
///     type Error = std::convert::Infallible;
///
///     fn initial() -> bool {
///         false
///     }
///     fn evolve(_open: bool, event: &Event) -> bool {
///         matches!(event, Event::Opened)
///     }
///     fn decide(open: &bool, command: Command) -> Result<Vec<Event>, Self::Error> {
///         Ok(match (open, command) {
///             (false, Command::Open) => vec![Event::Opened],
///             (true, Command::Close) => vec![Event::Closed],
///             (true, Command::Open) | (false, Command::Close) => vec![],
///         })
///     }
/// }
///
/// let open = [Event::Opened].iter().fold(Door::initial(), Door::evolve);
/// assert_eq!(Door::decide(&open, Command::Open), Ok(vec![]));
/// assert_eq!(Door::decide(&open, Command::Close), Ok(vec![Event::Closed]));
/// ```
///
/// An aggregate whose rules cross streams (a name that only one may have) also says which [marks](Decider::marks) its events
/// carry, what a command [asks](Decider::asks), and how the answers [get into it](Decider::told). The other aggregates
/// leave these as they are.
pub trait Decider {
    /// The stream category, for example `content`. Stored: changing it orphans streams.
    const CATEGORY: &'static str;
    /// What can be asked of it.
    type Command;
    /// What can have happened to it.
    type Event;
    /// What is known of it: the fold of its events.
    type State;
    /// Why a command is refused.
    type Error;

    /// What is known before anything has happened.
    fn initial() -> Self::State;
    /// Takes in one event. Total: it never validates and never fails.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;
    /// Answers a command. No events means that there is nothing to do.
    ///
    /// # Errors
    /// When the state does not allow it: a state of affairs, for the caller to tell its user.
    fn decide(state: &Self::State, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// The stream that a command is for, when it names the thing that it is about.
    #[must_use]
    fn stream(_command: &Self::Command) -> Option<Result<StreamId, WordError>> {
        None
    }

    /// The keys of all tags that its events carry: nobody else may write them.
    const MARK_KEYS: &'static [&'static str] = &[];

    /// What an event is to be found by, given what was known before it. An event that gives something up carries the same
    /// mark as the one that took it.
    #[must_use]
    fn marks(_before: &Self::State, _event: &Self::Event) -> Vec<Mark> {
        Vec::new()
    }

    /// What must be known of other streams before the command can be answered.
    #[must_use]
    fn asks(_state: &Self::State, _command: &Self::Command) -> Vec<Question> {
        Vec::new()
    }

    /// The command with the answers in it, which come in the order of the questions.
    #[must_use]
    fn told(command: Self::Command, _answers: &[Answer<Self::Event>]) -> Self::Command {
        command
    }
}
