//! A token: a credential for a program or a person, and what whoever shows it may do. Of its secret only a digest is kept.

use flightdeck_core::form::Form;
use flightdeck_core::{
    Decider, Invalid, Json, Shape, StoredEvents, StoredType, StreamId, Timestamp, WordError, edit, id_word,
    prose_word, text_word, word_schema,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::words::{AtMost, UserId};

/// Streams that a token may name for reading, and as many for writing.
pub const PATTERNS_MAX: usize = 32;

id_word! {
    /// The id of a token. It stands in the token itself, and is no secret.
    TokenId, "token id"
}
prose_word! {
    /// What a token is for, for whoever has to decide one day whether it is still needed.
    TokenName, "token name", Line, 100
}
text_word! {
    /// The digest of a token's secret: SHA-256, in small hexadecimal digits.
    SecretDigest, check_digest
}
word_schema! { SecretDigest, { "type": "string", "pattern": "^[0-9a-f]{64}$" } }

fn check_digest(text: &str) -> Result<(), WordError> {
    let legal = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    legal.then_some(()).ok_or_else(|| WordError::new("digest", "is not 64 small hexadecimal digits"))
}

text_word! {
    /// Which streams: `order-7`, `order-*` (a category), `or*` (a beginning), `*` (all but the system's own).
    Pattern, check_pattern
}
word_schema! { Pattern, { "type": "string", "pattern": flightdeck_core::stream::PATTERN } }

fn check_pattern(text: &str) -> Result<(), WordError> {
    match text.strip_suffix('*') {
        Some("" | "$") => Ok(()),
        // What ends a category ends no stream's name, but begins one.
        Some(beginning) => StreamId::new(format!("{beginning}x")).map(drop),
        None => StreamId::new(text).map(drop),
    }
}

/// What happened to a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data")]
pub enum Event {
    /// It was made.
    #[serde(rename = "TokenCreated")]
    Created(Created),
    /// It is good for nothing from here on.
    #[serde(rename = "TokenRevoked")]
    Revoked(Revoked),
}

/// A token was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Created {
    /// The token.
    pub token_id: TokenId,
    /// What it is for.
    pub name: TokenName,
    /// The digest of its secret.
    pub digest: SecretDigest,
    /// What whoever shows it may do.
    pub scopes: Scopes,
    /// The streams that it may read.
    pub reads: Patterns,
    /// The streams that it may write.
    pub writes: Patterns,
    /// The user for whom it stands: events say that it did what was done. Without one they name the token.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "UserId")]
    pub user_id: Option<UserId>,
    /// Until when it is good; for ever when it does not say.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub expires_at: Option<Timestamp>,
}

/// Streams.
pub type Patterns = AtMost<Pattern, PATTERNS_MAX>;
/// What may be done.
pub type Scopes = AtMost<Scope, 4>;

/// A token is good for nothing from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revoked {
    /// The token.
    pub token_id: TokenId,
}

/// What may be done with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Scope {
    /// Read the streams it names, and what is folded from them.
    Read,
    /// Write the streams it names.
    Write,
    /// Everything, on every stream.
    Admin,
    /// Record what visitors do.
    Capture,
}

impl StoredEvents for Event {
    const TYPES: &'static [StoredType] =
        &[StoredType::new("TokenCreated").personal(&["/userId", "/name"]), StoredType::new("TokenRevoked")];
}

/// Every shape that these events have or had.
pub const SHAPES: &[Shape] =
    &[Shape::of::<Created>("TokenCreated", 1), Shape::of::<Revoked>("TokenRevoked", 1)];

/// What can be asked of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make it.
    Create(Created),
    /// Have it be good for nothing.
    Revoke,
}

impl Created {
    /// Reads what a client sends: `name` and `scopes`; `reads` and `writes`, each with the scope that wants it; `userId`, `expiresAt`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(token_id: TokenId, digest: SecretDigest, body: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(body);
        let (name, scopes) = (form.required("name"), form.required::<Scopes>("scopes"));
        if scopes.as_ref().is_some_and(|scopes| scopes.as_slice().is_empty()) {
            form.refuse("scopes", "grants nothing");
        }
        let (reads, writes) = (form.optional::<Patterns>("reads"), form.optional::<Patterns>("writes"));
        let (user_id, expires_at) = (form.optional("userId"), form.optional("expiresAt"));
        let new = name.zip(scopes).map(|(name, scopes)| Self {
            token_id,
            name,
            digest,
            scopes,
            reads: reads.unwrap_or_default(),
            writes: writes.unwrap_or_default(),
            user_id,
            expires_at,
        });
        form.finish(new)
    }

    /// What a token is good for is said, stream by stream, and nothing else is granted.
    fn says_what_it_is_for(&self) -> Result<(), Error> {
        for (scope, name, streams) in
            [(Scope::Read, "read", &self.reads), (Scope::Write, "write", &self.writes)]
        {
            match (self.scopes.as_slice().contains(&scope), streams.as_slice().is_empty()) {
                (true, true) => return Err(Error::NoStreams(name)),
                (false, false) => return Err(Error::NoScope(name)),
                (true, false) | (false, true) => {}
            }
        }
        Ok(())
    }
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is one with that id, and it is not what is asked for.
    #[error("there is a token with that id already")]
    Exists,
    /// There is no such token.
    #[error("there is no such token")]
    NeverWas,
    /// It is to read or to write, and no stream says what.
    #[error("the scope {0} names no stream, and grants nothing by itself")]
    NoStreams(&'static str),
    /// Streams are named that it has no scope for.
    #[error("streams are named for the scope {0}, which it has not")]
    NoScope(&'static str),
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum State {
    /// There never was one.
    #[default]
    Absent,
    /// It is good, until it runs out.
    Live(Created),
    /// It is good for nothing any more.
    Revoked(Created),
}

/// The decider of tokens.
pub struct Token;

impl Decider for Token {
    const CATEGORY: &'static str = "$token";
    type Command = Command;
    type Event = Event;
    type State = State;
    type Error = Error;

    fn initial() -> State {
        State::Absent
    }

    fn evolve(state: State, event: &Event) -> State {
        match (state, event) {
            (State::Absent, Event::Created(new)) => State::Live(new.clone()),
            (State::Live(token), Event::Revoked(_)) => State::Revoked(token),
            // What can't follow changes nothing.
            (state @ (State::Live(_) | State::Revoked(_)), Event::Created(_))
            | (state @ (State::Absent | State::Revoked(_)), Event::Revoked(_)) => state,
        }
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Error> {
        match (state, command) {
            (State::Absent, Command::Create(new)) => {
                new.says_what_it_is_for().map(|()| vec![Event::Created(new)])
            }
            (State::Live(token), Command::Create(new)) if *token == new => Ok(vec![]),
            (State::Live(_) | State::Revoked(_), Command::Create(_)) => Err(Error::Exists),
            (State::Live(token), Command::Revoke) => {
                Ok(vec![Event::Revoked(Revoked { token_id: token.token_id.clone() })])
            }
            (State::Revoked(_), Command::Revoke) => Ok(vec![]),
            (State::Absent, Command::Revoke) => Err(Error::NeverWas),
        }
    }

    fn stream(command: &Command) -> Option<Result<StreamId, WordError>> {
        match command {
            Command::Create(new) => Some(new.token_id.stream(Self::CATEGORY)),
            Command::Revoke => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_core::Json;
    use flightdeck_core::kit::given;

    use super::{Command, Created, Error, Event, Pattern, Revoked, SecretDigest, Token, TokenId};

    fn read(body: &str) -> Result<Created, flightdeck_core::Invalid> {
        let digest = SecretDigest::new("0".repeat(64)).unwrap();
        Created::read(TokenId::new("7").unwrap(), digest, &Json::new(body.to_owned(), 1_024).unwrap())
    }

    fn created() -> Created {
        read(r#"{"name":"A","scopes":["read"],"reads":["order-*"]}"#).unwrap()
    }

    fn revoked() -> Event {
        Event::Revoked(Revoked { token_id: TokenId::new("7").unwrap() })
    }

    #[test]
    fn a_token_is_made_once_and_revoked_for_good() {
        let (made, create) = (Event::Created(created()), || Command::Create(created()));
        let another = || Command::Create(read(r#"{"name":"B","scopes":["admin"]}"#).unwrap());
        given::<Token>([]).when(create()).then([made.clone()]);
        given::<Token>([]).when(Command::Revoke).then_refused(Error::NeverWas);
        given::<Token>([made.clone()]).when(create()).then([]);
        given::<Token>([made.clone()]).when(another()).then_refused(Error::Exists);
        given::<Token>([made.clone()]).when(Command::Revoke).then([revoked()]);
        given::<Token>([made.clone(), revoked()]).when(Command::Revoke).then([]);
        given::<Token>([made.clone(), revoked()]).when(create()).then_refused(Error::Exists);
        // What comes behind that makes it no better.
        given::<Token>([made.clone(), revoked(), made]).when(Command::Revoke).then([]);
    }

    #[test]
    fn what_a_token_is_good_for_is_said() {
        for (body, wrong) in [
            (r#"{"name":"A","scopes":["read"]}"#, Error::NoStreams("read")),
            (r#"{"name":"A","scopes":["write"],"writes":[]}"#, Error::NoStreams("write")),
            (r#"{"name":"A","scopes":["read"],"reads":["*"],"writes":["*"]}"#, Error::NoScope("write")),
            (r#"{"name":"A","scopes":["admin"],"reads":["*"]}"#, Error::NoScope("read")),
        ] {
            given::<Token>([]).when(Command::Create(read(body).unwrap())).then_refused(wrong);
        }
        for (body, wrong) in [
            (r#"{"name":"A","scopes":[]}"#, "scopes"),
            (r#"{"name":"A","scopes":["all"]}"#, "scopes"),
            (r#"{"name":"","scopes":["admin"]}"#, "name"),
        ] {
            let told = read(body).unwrap_err();
            assert_eq!(told.invalid.keys().collect::<Vec<_>>(), [wrong], "{body}");
        }
        for good in ["*", "$*", "order-*", "or*", "order-7", "$audit", "$token-*"] {
            Pattern::new(good).unwrap();
        }
        for bad in [
            "",
            "**",
            "a*b",
            "-1",
            "-*",
            "$-*",
            "a b",
            "..",
            &"x".repeat(201),
            &format!("{}*", "x".repeat(200)),
        ] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }
}
