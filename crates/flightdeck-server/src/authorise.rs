//! Who asks, and what they may: the one question that every route asks before it does anything.
//!
//! Who it is says an [`Identify`], which reads credentials and knows nothing of routes. What they may says [`authorise`], which knows
//! nothing of credentials: what was not granted is refused.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use flightdeck_core::{Category, Reference, StreamId, Timestamp};
use flightdeck_domain::TokenId;
use flightdeck_store::{StreamPattern, Tail};

use crate::problem::{Code, Problem};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Principal {
    /// By what events say who did it; `None` for nobody in particular.
    pub actor: Option<Reference>,
    /// What was granted to it.
    pub grants: Grants,
    /// Until when its credential is good, if it runs out.
    pub until: Option<Timestamp>,
    /// The token that it showed, if it was one.
    pub token: Option<TokenId>,
}

impl Principal {
    /// Whoever reaches a server that is open, or the socket of the machine: everything is granted to them.
    #[must_use]
    pub fn open() -> Self {
        Self { grants: Grants::everything(), ..Self::default() }
    }

    /// Nobody in particular: what visitors do may be recorded, and what is public may be read.
    #[must_use]
    pub fn nobody() -> Self {
        Self { grants: Grants { capture: true, ..Grants::default() }, ..Self::default() }
    }

    /// Whose idempotency keys they are. Two callers never have the same.
    #[must_use]
    pub fn key(&self) -> Cow<'_, str> {
        match (&self.token, &self.actor) {
            (Some(token), _) => format!("token:{token}").into(),
            // No actor has an empty name, and no user's begins like a token's.
            (None, actor) => actor.as_ref().map_or("", Reference::as_str).into(),
        }
    }

    /// The streams that it may read; `None` is all but the system's own.
    #[must_use]
    pub fn readable(&self) -> Option<Vec<StreamPattern>> {
        let Grants { admin, reads, .. } = &self.grants;
        (!admin && !reads.is_every_and_no_more()).then(|| reads.0.to_vec())
    }
}

/// What was granted to somebody. Nothing is, unless it says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// The streams that may be read, and what is folded from them.
    pub reads: Streams,
    /// The streams that may be written.
    pub writes: Streams,
    /// Whether it may be recorded what visitors do.
    pub capture: bool,
    /// Whether everything may be done, to all streams, the system's own among them.
    pub admin: bool,
}

impl Grants {
    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { reads: Streams::every(), writes: Streams::every(), capture: true, admin: true }
    }
}

/// Streams, by their names. None, unless it says which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Streams(Arc<[StreamPattern]>);

impl Streams {
    /// All but the system's own.
    #[must_use]
    pub fn every() -> Self {
        Self::of([StreamPattern::Prefix("".into())])
    }

    /// Those that any of these means.
    #[must_use]
    pub fn of(patterns: impl IntoIterator<Item = StreamPattern>) -> Self {
        Self(patterns.into_iter().collect())
    }

    fn has(&self, stream: &StreamId) -> bool {
        self.0.iter().any(|pattern| pattern.matches(stream))
    }

    fn has_every(&self) -> bool {
        self.0.iter().any(|pattern| matches!(pattern, StreamPattern::Prefix(prefix) if prefix.is_empty()))
    }

    /// Whether all are among them, but none of the system's own.
    fn is_every_and_no_more(&self) -> bool {
        let is_of_the_system = |pattern: &StreamPattern| match pattern {
            StreamPattern::Exact(stream) => stream.is_system(),
            StreamPattern::Category(category) => category.as_str().starts_with('$'),
            StreamPattern::Prefix(prefix) => prefix.starts_with('$'),
        };
        self.has_every() && !self.0.iter().any(is_of_the_system)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a stream of that category may be among them.
    fn has_some_of(&self, category: &str) -> bool {
        Category::new(category).is_ok_and(|category| self.has_some(&StreamPattern::Category(category)))
    }

    /// Whether some of these may be among them.
    fn has_some(&self, asked: &StreamPattern) -> bool {
        self.0.iter().any(|pattern| pattern.is_within(asked) || asked.is_within(pattern))
    }

    /// Whether every stream of that category is among them.
    fn has_all_of(&self, category: &str) -> bool {
        let Ok(category) = Category::new(category).map(StreamPattern::Category) else { return false };
        self.0.iter().any(|pattern| category.is_within(pattern))
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
    /// The streams of a pattern, as far as the caller may have them.
    Some(&'o StreamPattern),
    /// All streams of a category together, as figures are made of them.
    Whole(&'o str),
    /// The log, as far as the caller may have it.
    Log,
    /// All streams together, but for the system's own.
    Every,
    /// The server itself. How it is asked is everyone's to read.
    Server,
}

/// Whether `principal` may do that. What was not granted is refused.
///
/// # Errors
/// When not: whoever has shown no credential may show one.
pub fn authorise(principal: &Principal, action: Action, object: Object<'_>) -> Result<(), Problem> {
    let Grants { reads, writes, capture, admin } = &principal.grants;
    let is_granted = *admin
        || match (action, object) {
            (Action::Read, Object::Stream(stream)) => reads.has(stream),
            (Action::Read, Object::Category(category)) => reads.has_some_of(category),
            (Action::Read, Object::Some(pattern)) => reads.has_some(pattern),
            (Action::Read, Object::Whole(category)) => reads.has_all_of(category),
            (Action::Read, Object::Log) => !reads.is_empty(),
            (Action::Read, Object::Every) => reads.has_every(),
            (Action::Read, Object::Server) => true,
            (Action::Write, Object::Stream(stream)) => writes.has(stream),
            (Action::Write, Object::Whole(category)) => writes.has_all_of(category),
            (Action::Write, Object::Log) => !writes.is_empty(),
            (Action::Write, Object::Category(_) | Object::Some(_) | Object::Every | Object::Server) => false,
            (Action::Capture, _) => *capture,
            (Action::Administer, _) => false,
        };
    if is_granted {
        return Ok(());
    }
    Err(match principal.actor {
        Some(_) => Problem::new(Code::Forbidden, "The credential was granted less than that."),
        None => Problem::new(Code::Unauthenticated, "That needs a credential: `Authorization: Bearer …`."),
    })
}

/// What somebody shows of who it is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown<'s> {
    /// The bearer credential, if there is one.
    pub bearer: Option<&'s str>,
}

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("bearer", &self.bearer.map(|_| "…")).finish()
    }
}

/// Says who shows that.
#[async_trait]
pub trait Identify: Send + Sync + 'static {
    /// Who shows that; [`Principal::nobody`] when nothing is shown.
    ///
    /// # Errors
    /// When what is shown is no credential, or no good one any more.
    async fn who(&self, shown: Shown<'_>) -> Result<Principal, Problem>;

    /// Who somebody is now, and what is granted to them, of whom it was said before: whoever goes on for long is asked about again and again,
    /// also where what they showed is not known any more.
    ///
    /// # Errors
    /// When what they showed is no good credential any more.
    async fn again(&self, before: &Principal) -> Result<Principal, Problem>;

    /// Told when the server starts, with the end of the log: what was granted may be taken away, and that stands there.
    fn follow(&self, log: Tail) {
        drop(log);
    }

    /// Whether everyone may everything, whatever is shown.
    fn is_open(&self) -> bool {
        false
    }
}

/// Everyone may everything: on a machine of one's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

#[async_trait]
impl Identify for Open {
    async fn who(&self, _: Shown<'_>) -> Result<Principal, Problem> {
        Ok(Principal::open())
    }

    async fn again(&self, _: &Principal) -> Result<Principal, Problem> {
        Ok(Principal::open())
    }

    fn is_open(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_core::{Reference, StreamId};
    use flightdeck_store::StreamPattern;

    use super::{Action, Grants, Object, Principal, Streams, authorise};
    use crate::problem::Code;

    fn streams(patterns: &[&str]) -> Streams {
        Streams::of(patterns.iter().map(|pattern| StreamPattern::parse(pattern).unwrap()))
    }

    fn reader(patterns: &[&str]) -> Principal {
        let grants = Grants { reads: streams(patterns), ..Grants::default() };
        Principal { actor: Some(Reference::new("ada").unwrap()), grants, ..Principal::default() }
    }

    #[test]
    fn what_was_not_granted_is_refused() {
        let stream = StreamId::new("order-1").unwrap();
        let everything = [
            (Action::Read, Object::Stream(&stream)),
            (Action::Read, Object::Category("order")),
            (Action::Read, Object::Whole("order")),
            (Action::Read, Object::Log),
            (Action::Read, Object::Every),
            (Action::Write, Object::Stream(&stream)),
            (Action::Capture, Object::Category("visitor")),
            (Action::Administer, Object::Server),
        ];
        for (action, object) in everything {
            let none = Principal::default();
            assert_eq!(authorise(&none, action, object).unwrap_err().code(), Code::Unauthenticated);
            assert_eq!(authorise(&reader(&[]), action, object).unwrap_err().code(), Code::Forbidden);
            authorise(&Principal::open(), action, object).unwrap();
            let captures = authorise(&Principal::nobody(), action, object).is_ok();
            assert_eq!(captures, action == Action::Capture, "{action:?} {object:?}");
        }
    }

    fn may(patterns: &[&str], object: Object<'_>) -> bool {
        authorise(&reader(patterns), Action::Read, object).is_ok()
    }

    #[test]
    fn a_pattern_grants_what_it_means_and_no_more() {
        let stream = |name: &str| StreamId::new(name).unwrap();
        for (patterns, own, foreign) in [
            (&["order-1"][..], "order-1", "order-10"),
            (&["order-*"], "order-10", "orders-1"),
            (&["order-1*"], "order-10", "order-2"),
            (&["*"], "a", "$audit"),
            (&["$audit"], "$audit", "audit"),
        ] {
            assert!(may(patterns, Object::Stream(&stream(own))), "{patterns:?} {own}");
            assert!(!may(patterns, Object::Stream(&stream(foreign))), "{patterns:?} {foreign}");
        }
        for (pattern, some, all) in [
            ("order-1", true, false),
            ("order-*", true, true),
            ("order-1*", true, false),
            ("or*", true, true),
            ("*", true, true),
            ("orders-*", false, false),
            ("$*", false, false),
        ] {
            assert_eq!(may(&[pattern], Object::Category("order")), some, "{pattern}");
            assert_eq!(may(&[pattern], Object::Whole("order")), all, "{pattern}");
        }
        assert!(!may(&["*"], Object::Category("$token")) && may(&["$*"], Object::Category("$token")));
        assert!(may(&["*"], Object::Every) && !may(&["order-*"], Object::Every));
    }

    #[test]
    fn who_may_read_all_is_not_filtered() {
        assert_eq!(reader(&["order-1", "*"]).readable(), None);
        assert_eq!(Principal::open().readable(), None);
        assert_eq!(Principal::nobody().readable(), Some(vec![]));
        assert_eq!(reader(&["order-*"]).readable().unwrap().len(), 1);
        // One stream of the system's own is no more than that one.
        assert_eq!(reader(&["*", "$token-7"]).readable().unwrap().len(), 2);
    }
}
