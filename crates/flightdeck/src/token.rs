//! `flightdeck token`: the credentials by which it is known who asks. Whoever has the store's file, or the database, makes the first one.

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use flightdeck_core::{Category, Clock as _, Decider as _, Ids as _, Json, Metadata, Timestamp};
use flightdeck_domain::TokenId;
use flightdeck_domain::token::{Command, Created, SecretDigest, State, Token};
use flightdeck_server::Desk;
use flightdeck_server::access::token::{digest, secret, write};
use flightdeck_store::system::{SystemClock, SystemIds};
use flightdeck_store::{Context, StreamsQuery};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::exit::{Failure, REFUSED};
use crate::eyes::{BAD, DIM, Eyes, GOOD, NAME, plain, styled};
use crate::projections::actor;
use crate::settings::Settings;
use crate::stores::{self, Writing};

/// The body of a request for a token is never larger.
const ASKED_BYTES_MAX: usize = 64 * 1024;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a token; it is told once
    Create(Create),
    /// List the tokens there are and were
    List,
    /// Have a token be good for nothing
    Revoke { id: String },
}

#[derive(Args)]
struct Create {
    /// What it is for
    #[arg(default_value = "made on the command line")]
    name: String,
    /// What may be done with it: read, write, admin, capture; with commas between them
    #[arg(long, required = true, value_delimiter = ',', value_name = "SCOPE")]
    scope: Vec<String>,
    /// Streams that may be read, with the scope read: order-7, order-*, * (all)
    #[arg(long, value_delimiter = ',', value_name = "STREAMS")]
    reads: Vec<String>,
    /// Streams that may be written, with the scope write
    #[arg(long, value_delimiter = ',', value_name = "STREAMS")]
    writes: Vec<String>,
    /// The user for whom it stands
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// For how long it is good: 12h, 30d  (default: for ever)
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    match arguments.what {
        What::Create(create) => make(&create, settings, eyes).await,
        What::List => list(settings, eyes).await,
        What::Revoke { id } => revoke(&id, settings, eyes).await,
    }
}

impl Create {
    /// As the API takes it.
    fn asked(&self) -> Result<Value, Failure> {
        let mut asked = Map::new();
        asked.insert("name".to_owned(), self.name.clone().into());
        asked.insert("scopes".to_owned(), self.scope.clone().into());
        for (name, streams) in [("reads", &self.reads), ("writes", &self.writes)] {
            if !streams.is_empty() {
                asked.insert(name.to_owned(), streams.clone().into());
            }
        }
        if let Some(user) = &self.user {
            asked.insert("userId".to_owned(), user.clone().into());
        }
        if let Some(expires) = &self.expires {
            let lasts = lasting(expires).ok_or_else(|| {
                Failure::usage(format!("--expires {}: is not a time such as 12h or 30d", plain(expires)))
            })?;
            let until = SystemClock
                .now()
                .micros()
                .saturating_add(i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX));
            let until = Timestamp::from_micros(until).map_err(|error| Failure::usage(error.to_string()))?;
            asked.insert("expiresAt".to_owned(), until.to_string().into());
        }
        Ok(asked.into())
    }
}

/// Reads `30m`, `12h`, `30d`.
fn lasting(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

async fn make(create: &Create, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let asked = create.asked()?;
    let (secret, id) = match stores::remote(settings).await? {
        Some(remote) => {
            let made = remote.make_token(&asked).await?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&made["secret"]), text(&made["token"]["id"]))
        }
        None => {
            let writing = Writing::open(settings).await?;
            let made = make_here(&writing, &asked).await;
            writing.close().await;
            made?
        }
    };
    let mut out = eyes.out();
    match eyes.json {
        true => writeln!(out, "{}", json!({ "id": id, "secret": secret }))?,
        false => {
            writeln!(out, "{secret}")?;
            writeln!(
                out,
                "{}",
                styled(DIM, &format!("id {id}; this is told once, so keep it where secrets are kept"))
            )?;
        }
    }
    Ok(out.flush()?)
}

/// Makes a token in a store that nobody else holds. Tells it, and its id.
async fn make_here(writing: &Writing, asked: &Value) -> Result<(String, String), Failure> {
    let (store, _) = writing.views();
    let ids = SystemIds::default();
    let now = SystemClock.now();
    let id = ids.event_id(now).to_string();
    let id: Uuid = id.parse().map_err(|_| Failure::usage(format!("{id} is no id")))?;
    let secret = secret(&ids);
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
    let body = Json::new(asked.to_string(), ASKED_BYTES_MAX).map_err(|error| wrong(&error))?;
    let token = TokenId::new(id.to_string()).map_err(|error| wrong(&error))?;
    let digest = SecretDigest::new(digest(&secret)).map_err(|error| wrong(&error))?;
    let new = Created::read(token.clone(), digest, &body).map_err(|error| wrong(&error))?;
    let stream = token.stream(Token::CATEGORY).map_err(|error| wrong(&error))?;
    let done = Desk::new(store).tokens.handle(&stream, Command::Create(new), &context()?).await;
    done.map_err(|error| Failure::of(REFUSED, &error, "try again"))?;
    Ok((write(id, &secret), token.to_string()))
}

/// Who does it.
fn context() -> Result<Context, Failure> {
    let actor =
        actor().parse().map_err(|error: flightdeck_core::WordError| Failure::usage(error.to_string()))?;
    Ok(Context { metadata: Metadata { actor: Some(actor), ..Metadata::default() }, ..Context::default() })
}

async fn list(settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let (store, _) = stores::read_views(settings).await?;
    let desk = Desk::new(std::sync::Arc::clone(&store));
    let category = Category::new(Token::CATEGORY).map_err(|error| Failure::usage(error.to_string()))?;
    let (mut query, mut any) = (StreamsQuery { category: Some(category), ..StreamsQuery::default() }, false);
    let mut out = eyes.out();
    loop {
        let page = store.streams(&query).await?;
        for info in &page.streams {
            let loaded = desk.tokens.load(&info.stream).await;
            let state = loaded.map_err(|error| Failure::of(REFUSED, &error, "flightdeck verify"))?.state;
            let (token, revoked) = match state {
                State::Live(token) => (token, false),
                State::Revoked(token) => (token, true),
                State::Absent => continue,
            };
            any = true;
            tell(&mut out, &token, revoked, info.created, eyes)?;
        }
        match page.streams.last() {
            Some(last) if !page.end => query.after = Some(last.stream.clone()),
            _ => break,
        }
    }
    if !any && !eyes.json {
        writeln!(out, "there is no token yet: flightdeck token create --scope admin makes one")?;
    }
    Ok(out.flush()?)
}

fn tell(
    out: &mut impl std::io::Write,
    token: &Created,
    revoked: bool,
    created: Timestamp,
    eyes: &Eyes,
) -> Result<(), Failure> {
    let Created { token_id, name, digest: _, scopes, reads, writes, user_id, expires_at } = token;
    if eyes.json {
        let line = json!({
            "id": token_id, "name": name, "scopes": scopes, "reads": reads, "writes": writes, "userId": user_id,
            "expiresAt": expires_at, "revoked": revoked, "createdAt": created,
        });
        return Ok(writeln!(out, "{line}")?);
    }
    let has_run_out = expires_at.is_some_and(|until| SystemClock.now() >= until);
    let (style, word) = match (revoked, has_run_out) {
        (true, _) => (BAD, "revoked"),
        (_, true) => (BAD, "run out"),
        (false, false) => (GOOD, "good"),
    };
    let scopes: Vec<String> =
        scopes.as_slice().iter().map(|scope| format!("{scope:?}").to_lowercase()).collect();
    let name = plain(name.as_str());
    writeln!(out, "{token_id} {} {} {}", styled(style, word), scopes.join(","), styled(NAME, &name))?;
    Ok(())
}

async fn revoke(id: &str, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let token = TokenId::new(id).map_err(|error| Failure::usage(error.to_string()))?;
    match stores::remote(settings).await? {
        Some(remote) => remote.revoke_token(id).await?,
        None => {
            let writing = Writing::open(settings).await?;
            let (store, _) = writing.views();
            let stream = token.stream(Token::CATEGORY).map_err(|error| Failure::usage(error.to_string()))?;
            let done = Desk::new(store).tokens.handle(&stream, Command::Revoke, &context()?).await;
            writing.close().await;
            done.map_err(|error| Failure::of(REFUSED, &error, "see flightdeck token list"))?;
        }
    }
    let mut out = eyes.out();
    match eyes.json {
        true => writeln!(out, "{}", json!({ "id": id, "revoked": true }))?,
        false => writeln!(out, "{id} is good for nothing from here on")?,
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::lasting;

    #[test]
    fn how_long_a_token_is_good_is_said_in_minutes_hours_or_days() {
        assert_eq!(lasting("90m"), Some(Duration::from_secs(5_400)));
        assert_eq!(lasting("12h"), Some(Duration::from_secs(43_200)));
        assert_eq!(lasting("30d"), Some(Duration::from_secs(30 * 86_400)));
        for bad in ["", "d", "0d", "-1d", "1w", "1.5h", "99999999999999999999d", "30 d", "é"] {
            assert_eq!(lasting(bad), None, "{bad}");
        }
    }
}
