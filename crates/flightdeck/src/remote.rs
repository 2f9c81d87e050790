//! A store that a server of this machine holds: read from its file, and written through the server's socket.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use flightdeck_core::{Cursor, EventId, Position, SchemaNumber, StreamId};
use flightdeck_server::{call, event};
use flightdeck_store::{
    Append, AppendError, Appended, AppendedStream, Conflict, EventStore, Expected, Head, LogPage, LogQuery,
    Reason, Recorded, RequestKey, Snapshot, StoreError, StreamInfo, StreamPage, StreamQuery, StreamsPage,
    StreamsQuery,
};
use flightdeck_store_sqlite::SqliteStore;
use flightdeck_wire::problem::{Named, Outcome, Problem, State};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::exit::{Failure, REFUSED};
use crate::settings::Settings;
use crate::socket;
use crate::stores::sqlite_options;

/// How long a request may take: the server waits for the disk, and whoever asks waits for the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that a server holds.
pub(crate) struct Remote {
    reader: SqliteStore,
    client: Client,
}

impl Remote {
    /// The store at `path`, if a server answers at the socket beside it.
    pub(crate) async fn find(path: &Path, settings: &Settings) -> Result<Option<Self>, Failure> {
        let socket = socket::path_of(path);
        if !socket.exists() {
            return Ok(None);
        }
        let client = Client::builder().unix_socket(socket).timeout(PATIENCE).build();
        let client =
            client.map_err(|error| Failure::of(REFUSED, &error, "stop the server, and try again"))?;
        // A socket that nobody listens at was left by somebody who was killed.
        if client.get(url("/health/live")).send().await.is_err() {
            return Ok(None);
        }
        Ok(Some(Self { reader: SqliteStore::open_read_only(path, sqlite_options(settings))?, client }))
    }

    /// What can be read while the server writes.
    pub(crate) const fn reader(&self) -> &SqliteStore {
        &self.reader
    }

    /// Has the server do something to a view.
    pub(crate) async fn administer(&self, view: &str, act: &str) -> Result<Value, Failure> {
        let asked = self.client.post(url(&format!("/api/admin/projections/{view}/{act}")));
        Self::asked(asked, "see flightdeck projections").await
    }

    /// Has the server make a token.
    pub(crate) async fn make_token(&self, new: &Value) -> Result<Value, Failure> {
        Self::asked(self.client.post(url("/api/admin/tokens")).json(new), "look at what was asked for").await
    }

    /// Has the server revoke a token.
    pub(crate) async fn revoke_token(&self, id: &str) -> Result<(), Failure> {
        let asked = self.client.delete(url(&format!("/api/admin/tokens/{id}")));
        Self::asked(asked, "see flightdeck token list").await.map(drop)
    }

    async fn asked(request: RequestBuilder, next: &'static str) -> Result<Value, Failure> {
        let sent = request.send().await;
        let answer = sent.map_err(|error| {
            Failure::of(crate::exit::UNREACHABLE, &error, "look whether the server still runs")
        })?;
        if answer.status().is_success() {
            return Ok(answer.json().await.unwrap_or_default());
        }
        let detail = answer.json::<Problem>().await.map(|problem| problem.detail);
        let detail = detail.unwrap_or_else(|_| "the server refuses it".to_owned());
        Err(Failure::new(REFUSED, detail, next))
    }
}

/// The host counts for nothing at a socket, but no URL is without.
fn url(path: &str) -> String {
    format!("http://localhost{path}")
}

/// An append as the API takes it.
fn body(append: &Append) -> Result<Vec<u8>, AppendError> {
    if append.events.iter().any(|event| event.metadata.actor.is_some()) {
        let why = "who did it is the server's to know while it holds the store: leave userId out, or stop the server";
        return Err(AppendError::NotCommitted { reason: Reason::Withheld, source: Some(why.into()) });
    }
    let mut body = b"{\"events\":[".to_vec();
    for (place, event) in append.events.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        event::write_new(&mut body, event);
    }
    let expected: Map<String, Value> = append
        .expected
        .iter()
        .filter_map(|(stream, expected)| {
            let state: Value = match expected {
                Expected::Any => return None,
                Expected::NoStream => "none".into(),
                Expected::Exists => "exists".into(),
                Expected::Exactly(version) => version.get().into(),
            };
            Some((stream.to_string(), state))
        })
        .collect();
    body.extend_from_slice(format!("],\"expected\":{}}}", Value::Object(expected)).as_bytes());
    Ok(body)
}

/// What was answered to an append.
async fn appended(answer: Response, append: &Append) -> Result<Appended, AppendError> {
    /// As the API says it.
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        streams: Vec<ToldStream>,
        from_position: Option<Position>,
        position: Option<Position>,
        cursor: Cursor,
        duplicate: bool,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ToldStream {
        stream_id: StreamId,
        from_version: flightdeck_core::Version,
        version: flightdeck_core::Version,
    }
    let lost = |error: reqwest::Error| AppendError::Unknown {
        reason: Reason::Unreachable,
        source: Some(Box::new(error)),
    };
    if !answer.status().is_success() {
        return Err(refusal(answer.json().await.map_err(lost)?, append));
    }
    // A repeated key is answered by what was said the first time; that it is repeated stands beside it.
    let repeated = answer.headers().contains_key("FlightDeck-Duplicate");
    let told: Told = answer.json().await.map_err(lost)?;
    let stream = |told: ToldStream| AppendedStream {
        stream: told.stream_id,
        from: told.from_version,
        version: told.version,
    };
    Ok(Appended {
        streams: told.streams.into_iter().map(stream).collect(),
        range: told.from_position.zip(told.position),
        cursor: told.cursor,
        duplicate: told.duplicate || repeated,
    })
}

/// The error that a problem is, as far as it can be told.
fn refusal(problem: Problem, append: &Append) -> AppendError {
    let code = problem.kind.rsplit('/').next().unwrap_or_default();
    let first = append.events.iter().find_map(|event| event.id);
    match (code, problem.stream_id, first) {
        ("version-conflict", Some(stream), _) => {
            let expected = match problem.expected {
                Some(State::Version(version)) => Expected::Exactly(version),
                Some(State::Named(Named::None)) => Expected::NoStream,
                Some(State::Named(Named::Exists)) => Expected::Exists,
                _ => Expected::Any,
            };
            let actual = match problem.actual {
                Some(State::Version(version)) => Some(version),
                _ => None,
            };
            AppendError::Conflict(Conflict { stream, expected, actual })
        }
        ("idempotency-key-reused", _, _) => AppendError::KeyReused,
        ("event-id-reused", _, Some(id)) => AppendError::IdReused { id },
        _ => {
            let reason = match problem.status {
                507 => Reason::Full,
                503 => Reason::Busy,
                _ => Reason::Storage,
            };
            let source = Some(problem.detail.into());
            match problem.outcome {
                Some(Outcome::Unknown) => AppendError::Unknown { reason, source },
                _ => AppendError::NotCommitted { reason, source },
            }
        }
    }
}

#[async_trait]
impl EventStore for Remote {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let mut request = self.client.post(url("/api/append")).header("Content-Type", "application/json");
        if let Some(key) = &append.request {
            // As it is known when there is no server.
            request = request.header(call::LOCAL_KEY, call::write_key(key));
        }
        let sent = request.body(body(&append)?).send().await.map_err(|error| {
            let (reason, is_lost) = (Reason::Unreachable, !error.is_connect());
            let source: Option<flightdeck_store::Source> = Some(Box::new(error));
            match is_lost {
                true => AppendError::Unknown { reason, source },
                false => AppendError::NotCommitted { reason, source },
            }
        })?;
        appended(sent, &append).await
    }

    async fn outcome_of(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError> {
        self.reader.outcome_of(request).await
    }

    async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        self.reader.read_stream(query).await
    }

    async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        self.reader.read_log(query).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.reader.head().await
    }

    async fn stream(&self, stream: &StreamId) -> Result<Option<StreamInfo>, StoreError> {
        self.reader.stream(stream).await
    }

    async fn streams(&self, query: &StreamsQuery) -> Result<StreamsPage, StoreError> {
        self.reader.streams(query).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Recorded>, StoreError> {
        self.reader.event(id).await
    }

    /// A head start is the server's own business.
    async fn save_snapshot(&self, _: &StreamId, _: Snapshot) -> Result<(), StoreError> {
        Ok(())
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        schema: SchemaNumber,
    ) -> Result<Option<Snapshot>, StoreError> {
        self.reader.snapshot(stream, schema).await
    }

    async fn delete_snapshot(&self, _: &StreamId) -> Result<(), StoreError> {
        Ok(())
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.reader.watch()
    }
}
