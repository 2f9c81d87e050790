//! Who asks, and what they may: the one question that every route asks before it does anything.

use actix_web::HttpRequest;
use flightdeck_core::{Reference, StreamId};
use flightdeck_store::StreamPattern;

use crate::problem::Problem;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Principal {
    /// By what events say who did it; `None` for nobody in particular.
    pub actor: Option<Reference>,
}

impl Principal {
    /// Whose idempotency keys they are. Two callers never have the same.
    #[must_use]
    pub fn key(&self) -> &str {
        // No actor has an empty name.
        self.actor.as_ref().map_or("", Reference::as_str)
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Record what a visitor does.
    Capture,
    /// What only an administrator does.
    Administer,
}

/// What it is to be done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'o> {
    /// One stream.
    Stream(&'o StreamId),
    /// The streams of a category, as far as the caller may have them.
    Category(&'o str),
    /// The log, as far as the caller may have it.
    Log,
    /// The server itself.
    Server,
}

/// Says who asks, and what they may.
pub trait Authorise: Send + Sync + 'static {
    /// Who makes a request.
    ///
    /// # Errors
    /// When credentials are there and are none.
    fn who(&self, request: &HttpRequest) -> Result<Principal, Problem>;

    /// Whether `principal` may do that.
    ///
    /// # Errors
    /// When not.
    fn authorise(&self, principal: &Principal, action: Action, object: Object<'_>) -> Result<(), Problem>;

    /// The streams that `principal` may read; `None` is all but the system's own.
    fn readable(&self, principal: &Principal) -> Option<Vec<StreamPattern>>;
}

/// Everyone may everything: on a machine of one's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Authorise for Open {
    fn who(&self, _: &HttpRequest) -> Result<Principal, Problem> {
        Ok(Principal::default())
    }

    fn authorise(&self, _: &Principal, _: Action, _: Object<'_>) -> Result<(), Problem> {
        Ok(())
    }

    fn readable(&self, _: &Principal) -> Option<Vec<StreamPattern>> {
        None
    }
}
