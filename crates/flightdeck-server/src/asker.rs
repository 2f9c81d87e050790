//! Who asks, whatever the request is that they ask by; and whether what was granted to them still is, for what goes on for long.

use std::ops::Deref;
use std::sync::Arc;

use flightdeck_core::Reference;
use flightdeck_store::{Outcome, RequestKey};
use tokio::time::{Instant, timeout};

use crate::authorise::{Action, Object, Principal, authorise};
use crate::call::key_of;
use crate::caps::Caps;
use crate::host::Host;
use crate::operation::JSON;
use crate::problem::{Code, Problem};

/// Who asks, and the server that is asked. It holds nothing of a request, so that what goes on for long can keep it.
#[derive(Clone)]
pub struct Asker {
    pub(crate) host: Arc<Host>,
    pub(crate) principal: Principal,
    pub(crate) correlation: Reference,
    /// Whether they came by the socket of the machine.
    pub(crate) is_local: bool,
}

impl Asker {
    /// What the route works with.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// How much it may have of anything. Whoever comes by the socket of the machine is bounded by the log alone, as a command without a server is.
    #[must_use]
    pub fn caps(&self) -> &Caps {
        if self.is_local { Caps::built_in() } else { &self.host.options.caps }
    }

    /// Who makes it.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What it belongs to.
    #[must_use]
    pub const fn correlation(&self) -> &Reference {
        &self.correlation
    }

    /// Goes on only if its credential has not run out: what is asked for once is answered a little longer.
    pub(crate) fn may_follow(&self) -> Result<(), Problem> {
        match self.principal.until.is_some_and(|until| self.host.clock.now() >= until) {
            true => Err(Problem::new(Code::Unauthenticated, "The credential has run out.")),
            false => Ok(()),
        }
    }

    /// Goes on only if whoever makes it may do that.
    ///
    /// # Errors
    /// When not.
    pub fn may(&self, action: Action, object: Object<'_>) -> Result<(), Problem> {
        authorise(&self.principal, action, object).map_err(|problem| match action {
            Action::Read => problem,
            // It was asked before anything else was done.
            Action::Write | Action::Capture | Action::Administer => problem.outcome(Outcome::NotCommitted),
        })
    }

    /// The streams that whoever makes it may read; `None` is all.
    #[must_use]
    pub fn readable(&self) -> Option<Vec<flightdeck_store::StreamPattern>> {
        self.principal.readable()
    }

    /// The same, of what does not come as a request, and is known by the same keys as one with that body would be.
    ///
    /// # Errors
    /// When the key is none.
    pub(crate) fn key_named(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: &[u8],
    ) -> Result<RequestKey, Problem> {
        key_of([&self.principal.key(), method, path], key, [b"", JSON.as_bytes(), b"", body], "key")
    }
}

impl Deref for Asker {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

/// Why what was granted is not, any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The credential has run out.
    RanOut,
    /// It was taken back, or something of it.
    TakenBack,
    /// Nobody could say for long whether it is.
    Unknown,
}

/// What was granted to whoever made a request, which may be taken away while it is answered.
#[derive(Clone)]
pub(crate) struct Granted {
    host: Arc<Host>,
    principal: Principal,
    is_local: bool,
    looked: Instant,
    /// When it was known last.
    known: Instant,
}

impl Granted {
    /// To whoever asks, as of now.
    pub(crate) fn to(asker: &Asker, principal: Principal) -> Self {
        let (host, is_local) = (Arc::clone(&asker.host), asker.is_local);
        Self { host, principal, is_local, looked: Instant::now(), known: Instant::now() }
    }

    /// How long what was granted is taken to be so without another look.
    pub(crate) const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

    /// Why it is not so any more, if it was not a second ago.
    pub(crate) async fn not_so(&mut self) -> Option<Ended> {
        if self.looked.elapsed() < Self::LOOK { None } else { self.ended().await }
    }

    /// When it is to be looked at again; never, where everyone may everything.
    pub(crate) fn look_at(&self) -> Instant {
        let is_open = self.is_local || self.host.identify.is_open();
        self.looked + if is_open { Self::NEVER } else { Self::LOOK }
    }

    /// Why it is not so any more, if it is not.
    pub(crate) async fn ended(&mut self) -> Option<Ended> {
        if self.is_local {
            self.looked = Instant::now();
            return None;
        }
        // Whoever took nothing for long was not asked about.
        if self.looked.elapsed() > Self::UNKNOWN {
            self.known = Instant::now();
        }
        if self.principal.until.is_some_and(|until| self.host.clock.now() >= until) {
            return Some(Ended::RanOut);
        }
        let now = timeout(Self::UNKNOWN, self.host.identify.again(&self.principal)).await;
        self.looked = Instant::now();
        let Ok(now) = now else { return Some(Ended::Unknown) };
        match now {
            Ok(now) if now == self.principal => self.known = self.looked,
            Ok(_) => return Some(Ended::TakenBack),
            Err(problem) if problem.code().status().is_client_error() => return Some(Ended::TakenBack),
            // A store that does not answer for a moment takes nothing back.
            Err(_) if self.known.elapsed() > Self::UNKNOWN => return Some(Ended::Unknown),
            Err(_) => {}
        }
        None
    }

    /// For how long it is taken to be so when nobody can say.
    const UNKNOWN: std::time::Duration = std::time::Duration::from_secs(5);
    const NEVER: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);
}
