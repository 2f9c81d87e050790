//! A tiny aggregate to handle commands of: an account that can't be overdrawn.

use flightdeck_core::{Decider, Mark, StoredEvents, StoredType, StreamId};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data")]
pub(crate) enum Event {
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
}

impl StoredEvents for Event {
    const TYPES: &'static [StoredType] = &[StoredType::new("Deposited"), StoredType::new("Withdrawn")];
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Deposit {
        cents: i64,
    },
    Withdraw {
        cents: i64,
    },
    /// Pays in what is missing, if anything is.
    FillUp {
        to_cents: i64,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Overdrawn;

/// How much there is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Balance {
    pub(crate) cents: i64,
}

#[derive(Debug)]
pub(crate) struct Account;

impl Decider for Account {
    const CATEGORY: &'static str = "account";
    type Command = Command;
    type Event = Event;
    type State = Balance;
    type Error = Overdrawn;

    fn initial() -> Balance {
        Balance::default()
    }

    fn evolve(Balance { cents: before }: Balance, event: &Event) -> Balance {
        match event {
            Event::Deposited { cents } => Balance { cents: before + cents },
            Event::Withdrawn { cents } => Balance { cents: before - cents },
        }
    }

    fn decide(balance: &Balance, command: Command) -> Result<Vec<Event>, Overdrawn> {
        match command {
            Command::Deposit { cents } => Ok(vec![Event::Deposited { cents }]),
            Command::Withdraw { cents } if cents > balance.cents => Err(Overdrawn),
            Command::Withdraw { cents } => Ok(vec![Event::Withdrawn { cents }]),
            Command::FillUp { to_cents } if balance.cents >= to_cents => Ok(vec![]),
            Command::FillUp { to_cents } => Ok(vec![Event::Deposited { cents: to_cents - balance.cents }]),
        }
    }

    fn marks(_: &Balance, event: &Event) -> Vec<Mark> {
        match event {
            Event::Deposited { .. } => vec![Mark::open("direction", "in").unwrap()],
            Event::Withdrawn { .. } => vec![Mark::open("direction", "out").unwrap()],
        }
    }
}

/// The stream that all tests are about.
pub(crate) fn account() -> StreamId {
    StreamId::new("account-1").unwrap()
}
