//! What went wrong, as clients see it: a code, a status, a sentence that helps, and nothing of our insides.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use flightdeck_core::{Cursor, Ids as _, Invalid, JsonError, Position, Version, WordError};
use flightdeck_projections::{AdminError, AsOfError, NotThere};
use flightdeck_store::system::SystemIds;
use flightdeck_store::view::ViewError;
use flightdeck_store::{AppendError, Conflict, Expected, HandleError, Outcome, Reason, StoreError};
use flightdeck_views::history::HistoryError;
use flightdeck_wire::problem as wire;

use crate::caps::Cap;

/// Kinds of problems: the code that ends the type, its title, and its status. They never change.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $code:literal $title:literal;)*) => {
        /// A kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What ends the type.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The kind, in words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                let status = match self { $(Self::$name => $status,)* };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    };
}

codes! {
    /// The request can't be read.
    Malformed = 400 "malformed" "The request is malformed";
    /// Nobody knows who asks.
    Unauthenticated = 401 "unauthenticated" "Credentials are needed";
    /// Who asks may not.
    Forbidden = 403 "forbidden" "That is not allowed";
    /// There is nothing there, and there never was.
    NotFound = 404 "not-found" "There is nothing there";
    /// The route is there, and can't be asked for that.
    MethodNotAllowed = 405 "method-not-allowed" "The route does not take that method";
    /// None of the representations that were asked for can be given.
    NotAcceptable = 406 "not-acceptable" "There is no such representation";
    /// A stream is not where it was expected to be.
    VersionConflict = 409 "version-conflict" "The stream is at another version";
    /// What a decision rested on has changed.
    ConditionFailed = 409 "condition-failed" "The condition of the append failed";
    /// The decision is too old to be checked.
    StaleDecision = 409 "stale-decision" "The decision is too old";
    /// The log is in another life; of a write, or of a position that is waited for.
    OtherEpoch = 409 "other-epoch" "The position is of another epoch";
    /// Somebody has already what was asked for.
    Taken = 409 "taken" "That belongs to another";
    /// There is one with that id already.
    Exists = 409 "exists" "There is one already";
    /// It was deleted.
    Deleted = 410 "deleted" "It was deleted";
    /// The cursor is of another life of the log.
    EpochChanged = 410 "epoch-changed" "The log began a new epoch";
    /// What it was is not known any more.
    Gone = 410 "gone" "What it was is not known any more";
    /// `If-Match` names another version.
    PreconditionFailed = 412 "precondition-failed" "It is at another version";
    /// More than is allowed.
    TooLarge = 413 "too-large" "The request is too large";
    /// The body is of a type that the route does not take.
    UnsupportedMediaType = 415 "unsupported-media-type" "The route does not take that type";
    /// It is understood, and a rule is against it.
    Refused = 422 "refused" "A rule is against it";
    /// The stream or the tag belongs to an aggregate.
    OwnedCategory = 422 "owned-category" "Only commands write there";
    /// The key was used for another request.
    KeyReused = 422 "idempotency-key-reused" "The idempotency key was used for something else";
    /// An event id was used for another event.
    IdReused = 422 "event-id-reused" "The event id was used for something else";
    /// The answer would be more than one may be.
    TooMuch = 422 "too-much" "That is too much for one answer";
    /// Something can't go on as the caller wants, because of the state it is in.
    WrongState = 409 "wrong-state" "It is not in a state for that";
    /// Too many requests.
    TooManyRequests = 429 "too-many-requests" "Too many requests";
    /// What is stored is damaged.
    Corrupt = 500 "corrupt-event" "What is stored there is damaged";
    /// It is not the caller's fault.
    Internal = 500 "internal" "The server failed";
    /// There is too much to do, or the store can't be reached.
    Unavailable = 503 "unavailable" "The server can't do that just now";
    /// The view that is asked for has come to a halt, or is not there yet.
    ViewUnavailable = 503 "view-unavailable" "The view can't be asked just now";
    /// It was waited for in vain.
    NotReached = 504 "position-not-reached" "The position was not reached in time";
    /// There is no room left.
    DiskFull = 507 "disk-full" "There is no room left";
}

/// What went wrong, as it is answered.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    told: Box<wire::Problem>,
    retry_after_seconds: Option<u32>,
    version: Option<Version>,
    met: Option<Cap>,
    /// For the server's own log, and for nobody else.
    beneath: Option<String>,
}

impl Problem {
    /// A problem of that kind. `detail` is a sentence that helps whoever asked.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let told = wire::Problem {
            kind: format!("/problems/{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.into(),
            ..wire::Problem::default()
        };
        let told = Box::new(told);
        Self { code, told, retry_after_seconds: None, version: None, met: None, beneath: None }
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}, and there never was."))
    }

    /// One field is wrong.
    #[must_use]
    pub fn field(name: &str, problem: impl Into<String>) -> Self {
        Invalid::field(name, problem).into()
    }

    /// The kind.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The same matter, as another kind of problem.
    #[must_use]
    pub fn instead(mut self, code: Code) -> Self {
        let of_kind = Self::new(code, "").told;
        (self.told.kind, self.told.title, self.told.status) = (of_kind.kind, of_kind.title, of_kind.status);
        Self { code, ..self }
    }

    /// The same, of something that is at that version.
    #[must_use]
    pub fn at_version(self, version: Option<Version>) -> Self {
        Self { version, ..self }
    }

    /// The same, because a limit was met; the first that was counts.
    #[must_use]
    pub fn met(mut self, cap: Cap) -> Self {
        let cap = *self.met.get_or_insert(cap);
        self.told.limit = Some(cap.as_str().to_owned());
        self
    }

    /// Has it counted, behind the door, that a limit was met.
    pub(crate) fn count(&self, answer: &mut HttpResponse) {
        if let Some(cap) = self.met {
            answer.extensions_mut().insert(cap);
        }
    }

    /// Whether that limit was met.
    pub(crate) fn is_met(&self, cap: Cap) -> bool {
        self.met == Some(cap)
    }

    /// The same, with an `outcome` of a write.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.told.outcome = Some(match outcome {
            Outcome::NotCommitted => wire::Outcome::NotCommitted,
            Outcome::Unknown => wire::Outcome::Unknown,
        });
        self
    }

    /// The same, as it is told of a write, or of a read, which has no outcome. What refuses a write knows of nothing that was done.
    pub(crate) fn of_a(mut self, writes: bool) -> Self {
        match (writes, self.told.outcome) {
            (true, None) if self.code.status().is_client_error() => self.outcome(Outcome::NotCommitted),
            (true, _) => self,
            (false, _) => {
                self.told.outcome = None;
                self
            }
        }
    }

    /// The same, with members of its own.
    #[must_use]
    pub fn with(mut self, members: impl FnOnce(&mut wire::Problem)) -> Self {
        members(&mut self.told);
        self
    }

    /// The same; trying again helps after so long.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The same, with what lies beneath, for the server's log alone.
    #[must_use]
    pub fn because(self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(beneath) = source {
            text.push_str(": ");
            text.push_str(&beneath.to_string());
            source = beneath.source();
        }
        Self { beneath: Some(text), ..self }
    }

    /// The limit that was met, if one was.
    pub(crate) const fn cap(&self) -> Option<Cap> {
        self.met
    }

    /// What is told of it to whoever asked, with the line of the server's log by which it is found there.
    pub(crate) fn tell(&self) -> wire::Problem {
        let instance = uuid::Uuid::from_u128(SystemIds::default().random());
        let (code, detail) = (self.code.as_str(), self.told.detail.as_str());
        match (self.code.status().is_server_error(), &self.beneath) {
            (true, beneath) => {
                tracing::error!(%instance, code, detail, beneath = beneath.as_deref().unwrap_or_default(), "answered with a problem");
            }
            (false, _) => tracing::info!(%instance, code, detail, "answered with a problem"),
        }
        wire::Problem { instance: format!("urn:uuid:{instance}"), ..(*self.told).clone() }
    }

    /// What is told of it.
    #[must_use]
    pub const fn told(&self) -> &wire::Problem {
        &self.told
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.told.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let told = self.tell();
        let mut answer = HttpResponse::build(self.status_code());
        answer.content_type("application/problem+json");
        if let Some(seconds) = self.retry_after_seconds {
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(version) = self.version {
            answer.insert_header((header::ETAG, format!("\"{version}\"")));
        }
        if self.code == Code::Unauthenticated {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        let mut answer = answer.body(serde_json::to_vec(&told).unwrap_or_default());
        self.count(&mut answer);
        answer
    }
}

/// A refusal as a sentence.
pub(crate) fn sentence(refusal: &dyn fmt::Display) -> String {
    let text = refusal.to_string();
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

impl From<Invalid> for Problem {
    fn from(wrong: Invalid) -> Self {
        let listed = |(name, problem): (&String, &String)| match name.as_str() {
            "" => format!("the whole {problem}"),
            name => format!("{name} {problem}"),
        };
        let told = wrong.missing.iter().map(|name| format!("{name} is missing"));
        let told: Vec<String> = told.chain(wrong.invalid.iter().map(listed)).take(3).collect();
        let mut detail = told.join("; ");
        if let more @ 1.. = (wrong.missing.len() + wrong.invalid.len()).saturating_sub(3) {
            detail.push_str(&format!("; and {more} more"));
        }
        Self::new(Code::Malformed, detail)
            .with(|told| (told.missing, told.invalid) = (wrong.missing, wrong.invalid))
    }
}

impl From<WordError> for Problem {
    fn from(error: WordError) -> Self {
        Invalid::field("", error.to_string()).into()
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::TooLarge { .. } => Self::new(Code::TooLarge, format!("The JSON {error}.")),
            JsonError::Malformed(problem) => Self::field("", problem),
        }
    }
}

/// A state of a stream, as it is told.
#[must_use]
pub fn state(expected: Expected) -> wire::State {
    match expected {
        Expected::Any => wire::State::Named(wire::Named::Any),
        Expected::NoStream => wire::State::Named(wire::Named::None),
        Expected::Exists => wire::State::Named(wire::Named::Exists),
        Expected::Exactly(version) => wire::State::Version(version),
    }
}

impl From<Conflict> for Problem {
    fn from(conflict: Conflict) -> Self {
        let Conflict { ref stream, expected, actual } = conflict;
        Self::new(Code::VersionConflict, format!("{conflict}"))
            .outcome(Outcome::NotCommitted)
            .at_version(actual)
            .with(|told| {
                told.stream_id = Some(stream.clone());
                (told.expected, told.actual) = (Some(state(expected)), Some(state(actual.into())));
            })
    }
}

/// What a reason of the store's means for whoever asked.
fn of_reason(reason: &Reason) -> Problem {
    match reason {
        Reason::Full => {
            Problem::new(Code::DiskFull, "The disk is full, or below its reserve; reading goes on.")
                .retry_after(30)
        }
        Reason::Busy | Reason::Unreachable => {
            Problem::new(Code::Unavailable, format!("Just now {reason}; try again.")).retry_after(1)
        }
        Reason::Closed | Reason::Stopped => {
            Problem::new(Code::Unavailable, "The server is going away.").retry_after(5)
        }
        Reason::Corrupt(damage) => damaged(damage.position),
        Reason::ReadOnly | Reason::Withheld | Reason::Storage => {
            Problem::new(Code::Internal, "The store failed; the server's log says why.")
        }
        _ => Problem::new(Code::Internal, "The store failed; the server's log says why."),
    }
}

fn damaged(position: Option<Position>) -> Problem {
    let detail =
        "What is stored there is damaged, and was not handed out; the operator runs `flightdeck verify`.";
    Problem::new(Code::Corrupt, detail).with(|told| told.position = position)
}

fn epoch_changed(code: Code, head: &Cursor) -> Problem {
    let detail = "The log began a new epoch since; begin anew from the head, or from the start.";
    Problem::new(code, detail).with(|told| told.head = Some(head.clone()))
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let outcome = error.outcome();
        let problem = match &error {
            AppendError::Invalid(wrong @ flightdeck_store::InvalidAppend::TooMany { .. }) => {
                Self::new(Code::TooLarge, format!("{wrong}"))
            }
            // That an id is there twice is no matter of how it is written.
            AppendError::Invalid(wrong @ flightdeck_store::InvalidAppend::IdTwice { .. }) => {
                Self::field("", wrong.to_string()).instead(Code::IdReused)
            }
            AppendError::Invalid(wrong) => Self::field("", wrong.to_string()),
            AppendError::Conflict(conflict) => conflict.clone().into(),
            AppendError::ConditionFailed { position } => Self::new(Code::ConditionFailed, format!("{error}"))
                .with(|told| told.position = Some(*position)),
            AppendError::StaleDecision { .. } => {
                Self::new(Code::StaleDecision, format!("{error}; read again, and decide anew"))
            }
            AppendError::EpochChanged { head } => epoch_changed(Code::OtherEpoch, head),
            AppendError::AheadOfLog { head, .. } => {
                Self::new(Code::ConditionFailed, format!("{error}")).with(|told| told.position = Some(*head))
            }
            AppendError::KeyReused => {
                Self::new(Code::KeyReused, "Another request was made with this key before.")
            }
            AppendError::IdReused { id } => {
                let detail =
                    format!("The event id {id} is that of another event, or only some of the ids are known.");
                Self::new(Code::IdReused, detail)
            }
            AppendError::NotCommitted { reason, .. } => of_reason(reason),
            AppendError::Unknown { .. } => {
                let detail = "Nobody knows whether it was committed; the same request with the same ids or key settles it.";
                Self::new(Code::Unavailable, detail).retry_after(1)
            }
            _ => Self::new(Code::Internal, "The store failed; the server's log says why."),
        };
        problem.outcome(outcome).because(&error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let problem = match &error {
            StoreError::EpochChanged { head } => epoch_changed(Code::EpochChanged, head),
            StoreError::Invalid(wrong) => Self::field("", wrong.to_string()),
            StoreError::TooMuch(much) => Self::new(Code::TooMuch, format!("{much}")),
            StoreError::Corrupt(damage) => damaged(damage.position),
            StoreError::Failed { reason, .. } => of_reason(reason),
            _ => Self::new(Code::Internal, "The store failed; the server's log says why."),
        };
        problem.because(&error)
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        let problem = match error {
            ViewError::Store(error) => return error.into(),
            ViewError::Query(ref wrong) => Self::field("", wrong.to_string()),
            ViewError::NotReady(ref view) => not_there(view.as_str(), format!("{error}")),
            _ => Self::new(Code::Internal, "The view can't be asked; the server's log says why."),
        };
        problem.because(&error)
    }
}

fn not_there(view: &str, detail: String) -> Problem {
    let problem = Problem::new(Code::ViewUnavailable, detail).retry_after(1);
    problem.with(|told| told.view = Some(view.to_owned()))
}

impl From<NotThere> for Problem {
    fn from(error: NotThere) -> Self {
        match error {
            NotThere::Late { ref view, at } => Self::new(Code::NotReached, format!("{error}"))
                .retry_after(1)
                .with(|told| (told.view, told.position) = (Some(view.to_string()), Some(at))),
            NotThere::OtherEpoch { ref head } => epoch_changed(Code::OtherEpoch, head),
            NotThere::Halted { ref view, .. } => {
                let detail = "The view has come to a halt; the operator runs `flightdeck projections`.";
                not_there(view.as_str(), detail.to_owned()).because(&error)
            }
            NotThere::View(error) => error.into(),
        }
    }
}

impl From<AsOfError> for Problem {
    fn from(error: AsOfError) -> Self {
        let problem = match error {
            AsOfError::Store(error) => return error.into(),
            AsOfError::View(error) => return error.into(),
            AsOfError::Query(ref wrong) => Self::field("", wrong.to_string()),
            AsOfError::NotYet { ref head, .. } => {
                Self::new(Code::Refused, format!("{error}")).with(|told| told.head = Some(head.clone()))
            }
            AsOfError::TooMuch { .. } => Self::new(Code::TooMuch, format!("{error}")),
            AsOfError::Busy | AsOfError::Gone => {
                Self::new(Code::Unavailable, format!("{error}")).retry_after(1)
            }
            AsOfError::Halted(_) => Self::new(Code::ViewUnavailable, "The view can't be folded up to there."),
            _ => Self::new(Code::Internal, "The view can't be folded; the server's log says why."),
        };
        problem.because(&error)
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        let problem = match error {
            HistoryError::Store(error) => return error.into(),
            HistoryError::NeverWas(_) | HistoryError::WrongStream { .. } => Self::not_found("thing"),
            HistoryError::Before => Self::new(Code::NotFound, "It had not begun then."),
            HistoryError::Ahead { .. } => Self::new(Code::Refused, format!("{error}")),
            HistoryError::NotYet { ref head, .. } => {
                Self::new(Code::Refused, format!("{error}")).with(|told| told.head = Some(head.clone()))
            }
            HistoryError::Gone(_) => Self::new(Code::Gone, format!("{error}")),
            HistoryError::TooMany(_) => Self::new(Code::TooMuch, format!("{error}")),
            HistoryError::Unreadable { position, .. } => damaged(Some(position)),
        };
        problem.because(&error)
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            // Whoever asks for it again is answered by what was done; nobody else comes here.
            AdminError::DoneBefore(_) => Self::new(Code::KeyReused, "The key was used for another act."),
            AdminError::View(ViewError::Unknown(_)) => Self::not_found("projection"),
            AdminError::View(error) => Self::from(error).outcome(Outcome::NotCommitted),
            AdminError::NotYet(error) => Self::from(error).outcome(Outcome::Unknown),
            AdminError::Audit(error) => error.into(),
            AdminError::Actor(ref wrong) => Self::field("", wrong.to_string()),
            AdminError::NotHalted(_) | AdminError::Paused(_) | AdminError::Reactor(_) => {
                Self::new(Code::WrongState, format!("{error}")).outcome(Outcome::NotCommitted)
            }
        }
    }
}

/// What a decider refuses says itself what kind of problem it is.
impl<E: Into<Self> + std::error::Error + 'static> From<HandleError<E>> for Problem {
    fn from(error: HandleError<E>) -> Self {
        match error {
            HandleError::Refused(refusal) => refusal.into().outcome(Outcome::NotCommitted),
            HandleError::Conflict(conflict) => conflict.into(),
            HandleError::Append(error) => error.into(),
            HandleError::Read(error) => Self::from(error).outcome(Outcome::NotCommitted),
            HandleError::WrongStream { .. } => {
                Self::new(Code::KeyReused, "The key was used for another thing.")
            }
            HandleError::Event { position, .. } | HandleError::UnknownType { position, .. } => {
                damaged(Some(position)).outcome(Outcome::NotCommitted).because(&error)
            }
            HandleError::Tombstone { .. } => {
                Self::new(Code::Gone, format!("{error}")).outcome(Outcome::NotCommitted)
            }
            HandleError::Unstorable(_) | HandleError::Tags(_) => {
                Self::new(Code::Refused, format!("{error}")).outcome(Outcome::NotCommitted)
            }
        }
    }
}
