//! Connections: where they go, how they are secured, what is set on each, and what is asked before one is trusted.
//!
//! All of them live on the store's own thread, so that none depends on the runtime of whoever happened to need it first.
//! Reads share a pool. Nothing ever begins a transaction on a pooled connection: every read is one statement that
//! commits by itself, so that a caller that goes away leaves nothing open for the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, Row, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::history::History;
use crate::open::OpenError;
use crate::options::{Options, Schema};
use crate::row::Damage;

/// The half of a connection that talks to the server.
pub(crate) type Wire =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// A database's URL, understood: what the driver takes, and what is ours.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    tls: MakeRustlsConnect,
    pub(crate) schema: Option<Schema>,
}

impl Target {
    /// Reads a URL. `schema=` and `sslrootcert=` are ours; everything else is the driver's.
    pub(crate) fn parse(url: &str, options: &Options) -> Result<Self, OpenError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut schema, mut roots, mut rest) = (None, None, Vec::new());
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("schema", name)) => schema = Some(Schema::new(name)?),
                Some(("sslrootcert", path)) => roots = Some(path.to_owned()),
                _ => rest.push(part),
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = url.parse().map_err(|error: Error| OpenError::Url(text_of(&error)))?;
        config.connect_timeout(options.connect_wait);
        config.tcp_user_timeout(options.dead_peer_wait);
        config.keepalives_idle(Duration::from_secs(30));
        config.keepalives_interval(Duration::from_secs(5));
        if config.get_application_name().is_none() {
            config.application_name("flightdeck");
        }
        // Nobody asked for TLS, and nobody can listen in between: a certificate for localhost proves nothing.
        let is_here = |host: &Host| match host {
            Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
            Host::Unix(_) => true,
        };
        if config.get_ssl_mode() == SslMode::Prefer && config.get_hosts().iter().all(is_here) {
            config.ssl_mode(SslMode::Disable);
        }
        Ok(Self { config, tls: tls(roots.as_deref())?, schema })
    }

    /// Connects, and sets nothing.
    pub(crate) async fn connect(&self) -> Result<(Client, Wire), Error> {
        self.config.connect(self.tls.clone()).await
    }
}

fn text_of(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(beneath) = std::error::Error::source(error) {
        text = format!("{text}: {beneath}");
    }
    text
}

/// TLS as it should be: certificates are checked whenever it is used, against `roots` or those that browsers trust.
fn tls(roots: Option<&str>) -> Result<MakeRustlsConnect, OpenError> {
    let mut store = RootCertStore::empty();
    match roots {
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unread =
                |error: &dyn std::fmt::Display| OpenError::Url(format!("sslrootcert {path}: {error}"));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unread(&error))? {
                let certificate = certificate.map_err(|error| unread(&error))?;
                store.add(certificate).map_err(|error| unread(&error))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Url(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// What is set on every connection.
pub(crate) fn settings(schema: &Schema, options: &Options) -> String {
    format!("{}; SET enable_seqscan TO off; SET enable_bitmapscan TO off", settings_to_ask(schema, options))
}

/// What is set on a connection that views are asked on. Any column may be asked for, so the planner is left to itself; and the
/// indexes of words and of lists are only ever read by way of a bitmap.
fn settings_to_ask(schema: &Schema, options: &Options) -> String {
    let wait_ms = options.answer_wait.as_millis().max(1);
    format!(
        "SET search_path TO \"{}\", pg_temp; SET statement_timeout TO {wait_ms}; \
         SET idle_in_transaction_session_timeout TO 30000; SET default_transaction_isolation TO 'read committed'; \
         SET jit TO off",
        schema.as_str()
    )
}

/// Makes the connections of the pool, each settled before it is used.
struct Dialer {
    target: Target,
    settings: String,
    history: Arc<History>,
    thread: Handle,
}

impl deadpool_postgres::Connect for Dialer {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        async move {
            // The socket belongs to the runtime that made it, so it is made where it will live.
            let (target, thread) = (self.target.clone(), self.thread.clone());
            let dialed = thread.spawn(async move { target.connect().await }).await;
            let (client, wire) = match dialed {
                Ok(dialed) => dialed?,
                // The store's thread is gone, and the store with it: the connection will be closed before it is used.
                Err(_) => self.target.connect().await?,
            };
            let wire = self.thread.spawn(run(wire));
            client.batch_execute(&self.settings).await?;
            self.history.check(&client).await?;
            Ok((client, wire))
        }
        .boxed()
    }
}

/// Talks to the server until one of both has enough.
pub(crate) async fn run(wire: Wire) {
    if let Err(error) = wire.await {
        tracing::debug!(%error, "a connection to the database has ended");
    }
}

/// The pool of connections that only read.
pub(crate) struct Readers {
    pool: Pool,
    answer_wait: Duration,
}

impl Readers {
    pub(crate) fn new(
        target: Target,
        schema: &Schema,
        options: &Options,
        history: Arc<History>,
        thread: Handle,
    ) -> Result<Self, OpenError> {
        Self::with(target, settings(schema, options), options, history, thread)
    }

    /// As many again, for whoever asks views: reads of the log never wait for those, and each is planned as it needs.
    pub(crate) fn that_ask(
        target: Target,
        schema: &Schema,
        options: &Options,
        history: Arc<History>,
        thread: Handle,
    ) -> Result<Self, OpenError> {
        Self::with(target, settings_to_ask(schema, options), options, history, thread)
    }

    fn with(
        target: Target,
        settings: String,
        options: &Options,
        history: Arc<History>,
        thread: Handle,
    ) -> Result<Self, OpenError> {
        let config = target.config.clone();
        let dialer = Dialer { target, settings, history, thread };
        let manager =
            Manager::from_connect(config, dialer, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(options.readers.max(1))
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(options.connect_wait))
            .wait_timeout(Some(options.answer_wait))
            .build()
            .map_err(|error| OpenError::Url(error.to_string()))?;
        Ok(Self { pool, answer_wait: options.answer_wait })
    }

    /// A connection of the pool, for statements that each stand for themselves.
    pub(crate) async fn session(&self) -> Result<Session, Damage> {
        match self.pool.get().await {
            Ok(object) => Ok(Session {
                object: Some(object),
                answer_wait: self.answer_wait,
                late: AtomicBool::new(false),
            }),
            Err(deadpool_postgres::PoolError::Backend(error)) => Err(error.into()),
            Err(error) => Err(Damage::Unreachable(error.into())),
        }
    }

    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// A connection on loan.
pub(crate) struct Session {
    object: Option<Object>,
    answer_wait: Duration,
    /// Whether it owes an answer that nobody waits for any more.
    late: AtomicBool,
}

impl Session {
    /// Runs one statement, which must be a constant: it is prepared once a connection.
    pub(crate) async fn query(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Damage> {
        let object = self.object()?;
        self.in_time(async {
            let statement = object.prepare_cached(sql).await?;
            object.query(&statement, values).await
        })
        .await
    }

    /// Runs one statement that is not likely to come again: it is sent with its values, and not kept.
    pub(crate) async fn query_once(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Damage> {
        self.in_time(self.object()?.query_typed(sql, values)).await
    }

    fn object(&self) -> Result<&Object, Damage> {
        self.object.as_ref().ok_or_else(|| Damage::new("a session without a connection"))
    }

    async fn in_time(
        &self,
        answer: impl Future<Output = Result<Vec<Row>, Error>>,
    ) -> Result<Vec<Row>, Damage> {
        // The server gives up first; this is for one that does not answer at all.
        let patience = self.answer_wait + Duration::from_secs(1);
        self.late.store(true, Ordering::Relaxed);
        let answer = timeout(patience, answer).await;
        self.late.store(answer.is_err(), Ordering::Relaxed);
        match answer {
            Ok(rows) => Ok(rows?),
            Err(late) => Err(Damage::Unreachable(late.into())),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Also when whoever asked went away in the middle: the next one must not wait behind an answer that is not theirs.
        if let Some(object) = self.object.take_if(|_| self.late.load(Ordering::Relaxed)) {
            drop(Object::take(object));
        }
    }
}
