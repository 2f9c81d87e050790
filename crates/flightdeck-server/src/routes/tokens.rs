//! `/api/admin/tokens`: the credentials that are given out here.

use flightdeck_core::{Category, Decider as _};
use flightdeck_domain::TokenId;
use flightdeck_domain::token::{Command, Created, Error, Scope, SecretDigest, State, Token};
use flightdeck_store::StreamsQuery;
use flightdeck_wire::token as wire;
use uuid::Uuid;

use super::thing::unknown;
use crate::access::token::{digest, secret, write};
use crate::authorise::{Action, Object};
use crate::call::{Body, Call, Written};
use crate::operation::{Answer, JSON, Operation};
use crate::page::linked;
use crate::problem::{Code, Problem, sentence};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get(
            "/api/admin/tokens",
            "listTokens",
            "The tokens that were made, also those that are good for nothing any more.",
        )
        .query::<crate::params::LimitParam>("limit", "How many at most.")
        .query::<TokenId>("after", "Behind where the page before ended: its `next`.")
        .answers::<wire::Tokens>(200, "A page of them.")
        .with(&["Link"])
        .to(list),
        Operation::post(
            "/api/admin/tokens",
            "createToken",
            "Makes a token. It is told once, and only a digest of its secret is kept.",
        )
        .takes::<wire::NewToken>(JSON)
        .answers::<wire::MadeToken>(201, "The token.")
        .with(&["ETag", "FlightDeck-Position", "FlightDeck-Duplicate"])
        .to(create),
        Operation::delete(
            "/api/admin/tokens/{id}",
            "revokeToken",
            "Has a token be good for nothing, on every node and within a second.",
        )
        .path::<TokenId>("id", "Its id.")
        .answers_nothing(204, "It is revoked.")
        .with(&["ETag", "FlightDeck-Position", "FlightDeck-Duplicate"])
        .refuses(&[404])
        .to(revoke),
    ]
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = sentence(&error);
        match error {
            Error::Exists => Self::new(Code::Exists, detail),
            Error::NeverWas => Self::not_found("token"),
            Error::NoStreams(_) | Error::NoScope(_) => Self::new(Code::Refused, detail),
        }
    }
}

fn told(token: &Created, revoked: bool, created_at: flightdeck_core::Timestamp) -> wire::Token {
    let scope = |scope: &Scope| match scope {
        Scope::Read => wire::Scope::Read,
        Scope::Write => wire::Scope::Write,
        Scope::Admin => wire::Scope::Admin,
        Scope::Capture => wire::Scope::Capture,
    };
    let Created { token_id, name, digest: _, scopes, reads, writes, user_id, expires_at } = token;
    wire::Token {
        id: token_id.to_string(),
        name: name.to_string(),
        scopes: scopes.as_slice().iter().map(scope).collect(),
        reads: reads.as_slice().iter().map(ToString::to_string).collect(),
        writes: writes.as_slice().iter().map(ToString::to_string).collect(),
        user_id: user_id.as_ref().map(ToString::to_string),
        expires_at: *expires_at,
        revoked,
        created_at,
    }
}

async fn list(call: Call) -> Answer {
    let mut params = call.params();
    let (after, limit) = (params.parse::<TokenId>("after"), params.limit());
    params.finish()?;
    call.may(Action::Administer, Object::Server)?;
    let after = after.map(|id| id.stream(Token::CATEGORY)).transpose()?;
    let page = call
        .store
        .streams(&StreamsQuery { category: Some(Category::new(Token::CATEGORY)?), after, limit })
        .await?;
    let last = page.streams.last().filter(|_| !page.end);
    let next = last.and_then(|info| info.stream.as_str().split_once('-')).map(|(_, id)| id.to_owned());
    let mut items = Vec::with_capacity(page.streams.len());
    for info in page.streams {
        match call.desk.tokens.load(&info.stream).await?.state {
            State::Live(token) => items.push(told(&token, false, info.created)),
            State::Revoked(token) => items.push(told(&token, true, info.created)),
            State::Absent => {}
        }
    }
    let told = wire::Tokens { items, next };
    Ok(linked(&call, told.next.as_deref(), &told))
}

async fn create(call: Call, body: Body) -> Answer {
    call.no_params()?;
    call.may(Action::Administer, Object::Server)?;
    call.no_if_match()?;
    let body = body.json(&call).await?;
    let own = secret(&*call.ids);
    let id = TokenId::new(super::thing::new_id(&call))?;
    let stream = id.stream(Token::CATEGORY)?;
    let new = Created::read(id, SecretDigest::new(digest(&own))?, &body)?;
    let handled = call.handle(&call.desk.tokens, &stream, Command::Create(new), body.as_bytes()).await?;
    let (version, state) = (handled.version, handled.state);
    let written = Written::of(&call, version, handled.appended.as_ref()).await.map_err(unknown)?;
    let (State::Live(token) | State::Revoked(token)) = &state else {
        return Err(unknown(Problem::new(Code::Internal, "The token that was made is nowhere.")));
    };
    let nowhere = || unknown(Problem::new(Code::Internal, "The token that was made is nowhere."));
    let known = call
        .store
        .stream(&handled.stream)
        .await
        .map_err(Problem::from)
        .map_err(unknown)?
        .ok_or_else(nowhere)?;
    let id: Uuid = token.token_id.as_str().parse().map_err(|_| nowhere())?;
    let revoked = matches!(state, State::Revoked(_));
    // Made before by the same request, it was told then: nobody here knows it any more.
    let secret = (!written.duplicate).then(|| write(id, &own));
    let made = wire::MadeToken { secret, token: told(token, revoked, known.created) };
    Ok(written.json(201, &made))
}

async fn revoke(call: Call, body: Body) -> Answer {
    call.no_params()?;
    call.may(Action::Administer, Object::Server)?;
    let id: TokenId = call.path("id")?;
    body.nothing(&call).await?;
    let handled = call.handle(&call.desk.tokens, &id.stream(Token::CATEGORY)?, Command::Revoke, &[]).await?;
    let written = Written::of(&call, handled.version, handled.appended.as_ref()).await.map_err(unknown)?;
    Ok(written.nothing(204))
}
