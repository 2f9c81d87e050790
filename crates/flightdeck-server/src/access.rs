//! Who may: tokens of our own, and JWTs of an issuer that is trusted.
//!
//! A token of ours is a stream (`$token-…`), so that a node knows of each what the log says: it folds the stream when it is first shown,
//! keeps that in mind, and forgets it when the log has something new of it. So does it with users, whose role says what a JWT grants.

pub mod jwt;
mod known;
pub mod token;

use std::sync::Arc;

use async_trait::async_trait;
use flightdeck_core::{Clock, Decider as _, Reference, Timestamp};
use flightdeck_domain::token::{self as stored, Scope, Token};
use flightdeck_domain::user::{self, Role, User};
use flightdeck_domain::{TokenId, UserId};
use flightdeck_store::system::SystemClock;
use flightdeck_store::{EventStore, StreamPattern, Tail};
use tokio::task::AbortHandle;

use self::known::Known;
use crate::authorise::{Grants, Identify, Principal, Shown, Streams};
use crate::problem::{Code, Problem};

/// How the name of a token begins that stands for no user.
const TOKEN: &str = "token:";

/// Says who asks, by tokens of ours, and by JWTs if there are keys for them.
pub struct Access {
    store: Arc<dyn EventStore>,
    tokens: Arc<Known<Token>>,
    users: Arc<Known<User>>,
    jwt: Option<jwt::Keys>,
    clock: Arc<dyn Clock>,
    following: std::sync::Mutex<Option<AbortHandle>>,
}

impl Access {
    /// By tokens of ours, whose streams are in that log.
    #[must_use]
    pub fn tokens(store: Arc<dyn EventStore>) -> Self {
        let (tokens, users) = (Known::of(Arc::clone(&store)), Known::of(Arc::clone(&store)));
        let (clock, following) = (Arc::new(SystemClock), std::sync::Mutex::default());
        Self { store, tokens, users, jwt: None, clock, following }
    }

    /// By JWTs as well, which these keys have signed.
    #[must_use]
    pub fn jwt(mut self, keys: jwt::Keys) -> Self {
        self.jwt = Some(keys);
        self
    }

    /// Whose a token is. `secret` is what was shown with it; who was known by it before need not show it again.
    async fn of_token(&self, id: TokenId, secret: Option<&[u8]>) -> Result<Principal, Problem> {
        let stream = id.stream(Token::CATEGORY)?;
        let known = self.tokens.state(&stream).await?;
        let stored::State::Live(token) = &*known else { return Err(refused()) };
        if secret.is_some_and(|secret| !token::is_secret_of(&token.digest, secret)) {
            return Err(refused());
        }
        if token.expires_at.is_some_and(|until| self.clock.now() >= until) {
            return Err(Problem::new(Code::Unauthenticated, "The token has run out."));
        }
        let actor = match &token.user_id {
            Some(user) => Reference::new(user.as_str()),
            None => Reference::new(format!("{TOKEN}{id}")),
        };
        let grants = grants_of(token);
        Ok(Principal { actor: Some(actor?), grants, until: token.expires_at, token: Some(id) })
    }

    async fn of_jwt(&self, keys: &jwt::Keys, text: &str) -> Result<Principal, Problem> {
        let claims = keys.check(text)?;
        let until = Timestamp::from_micros(claims.exp.saturating_mul(1_000_000)).ok();
        self.of_user(&claims.sub, until).await
    }

    async fn of_user(&self, name: &str, until: Option<Timestamp>) -> Result<Principal, Problem> {
        let user = UserId::new(name).map_err(|_| refused())?;
        // Nobody is taken for a token.
        if user.as_str().starts_with(TOKEN) {
            return Err(refused());
        }
        let known = self.users.state(&user.stream(User::CATEGORY)?).await?;
        let grants = match &*known {
            user::State::Registered(person) => grants_of_role(person.role),
            // Whoever the issuer knows and we do not is somebody, and may what everybody may.
            user::State::Absent => Principal::nobody().grants,
        };
        Ok(Principal { actor: Some(Reference::new(user.as_str())?), grants, until, token: None })
    }
}

/// One answer for all that is wrong with a credential: who tries some learns nothing.
fn refused() -> Problem {
    Problem::new(Code::Unauthenticated, "The credential is not good, or not any more.")
}

/// What a token grants.
fn grants_of(token: &stored::Created) -> Grants {
    let has = |scope| token.scopes.as_slice().contains(&scope);
    let streams = |scope, patterns: &stored::Patterns| match has(scope) {
        true => {
            Streams::of(patterns.as_slice().iter().filter_map(|one| StreamPattern::parse(one.as_str()).ok()))
        }
        false => Streams::default(),
    };
    Grants {
        reads: streams(Scope::Read, &token.reads),
        writes: streams(Scope::Write, &token.writes),
        capture: has(Scope::Capture) || has(Scope::Admin),
        admin: has(Scope::Admin),
    }
}

/// What a user may, by its role.
fn grants_of_role(role: Role) -> Grants {
    let (reads, capture) = (Streams::every(), true);
    match role {
        Role::Admin => Grants::everything(),
        Role::Editor => Grants { reads, writes: Streams::every(), capture, admin: false },
        Role::Viewer => Grants { reads, writes: Streams::default(), capture, admin: false },
    }
}

#[async_trait]
impl Identify for Access {
    async fn who(&self, shown: Shown<'_>) -> Result<Principal, Problem> {
        let Some(text) = shown.bearer else { return Ok(Principal::nobody()) };
        match (token::read(text), &self.jwt) {
            (Some((id, secret)), _) => self.of_token(id, Some(&secret)).await,
            (None, Some(keys)) => self.of_jwt(keys, text).await,
            (None, None) => Err(refused()),
        }
    }

    async fn again(&self, before: &Principal) -> Result<Principal, Problem> {
        match (&before.token, &before.actor) {
            (Some(id), _) => self.of_token(id.clone(), None).await,
            (None, Some(actor)) => self.of_user(actor.as_str(), before.until).await,
            (None, None) => Ok(Principal::nobody()),
        }
    }

    fn follow(&self, log: Tail) {
        let (store, tokens, users) =
            (Arc::clone(&self.store), Arc::clone(&self.tokens), Arc::clone(&self.users));
        let task = tokio::spawn(known::follow(store, log, tokens, users)).abort_handle();
        let mut following = self.following.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(before) = following.replace(task) {
            before.abort();
        }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let following = self.following.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(task) = following.take() {
            task.abort();
        }
    }
}
