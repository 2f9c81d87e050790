//! `flightdeck serve`: the server, from the settings to the last request that is answered before it stops.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_server::access::jwt::Keys;
use flightdeck_server::server::ServerConfig;
use flightdeck_server::{Access, Cap, Caps, Options, Running, Server};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{CONFIGURATION, Failure, REFUSED, UNREACHABLE};
use crate::settings::{Auth, Settings};
use crate::socket::Socket;
use crate::stores::Writing;
use crate::target::Target;
use crate::traces::Traces;

/// How long stopping may take; whoever restarts us kills after this.
const STOP: Duration = Duration::from_secs(10);
/// How long the last traces may take to go out.
const TRACES_END: Duration = Duration::from_secs(1);
/// Files that are no connection: of the store, its readers, and whatever else is open.
const OWN_FILES: u64 = 256;

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let begun = Instant::now();
    let listen = settings.listen.value;
    let is_open = settings.auth.value == Auth::Open;
    if is_open && !listen.ip().is_loopback() && !settings.insecure_open.value {
        return Err(Failure::new(
            CONFIGURATION,
            format!("everyone who reaches {listen} could do everything, and other machines reach it"),
            "say --auth token or --auth jwt; or listen at 127.0.0.1, behind whatever lets people in; or say --insecure-open",
        ));
    }
    let (keys, tls) = (keys(settings)?, tls(settings)?);
    let files = more_files();
    // Taken before the store is: an address that is in use costs nothing.
    let listener = bind(listen)?;
    let traces = match &settings.traces.value {
        Some(url) => Some(Traces::begin(url).await?),
        None => None,
    };
    let writing = Writing::open(settings).await?;
    let served = serve(settings, &writing, Given { listener, keys, tls, files, begun }).await;
    writing.close().await;
    if let Some(traces) = traces {
        // Nobody waits for a collector that does not answer.
        drop(tokio::time::timeout(TRACES_END, traces.end()).await);
    }
    served
}

/// What was looked at before the store was opened.
struct Given {
    listener: TcpListener,
    keys: Option<Keys>,
    tls: Option<ServerConfig>,
    files: u64,
    begun: Instant,
}

/// The keys by which JWTs are checked, where these count.
fn keys(settings: &Settings) -> Result<Option<Keys>, Failure> {
    if settings.auth.value != Auth::Jwt {
        return Ok(None);
    }
    let (path, issuer, audience) = (&settings.jwt_keys, &settings.jwt_issuer, &settings.jwt_audience);
    let (Some(path), Some(issuer), Some(audience)) = (&path.value, &issuer.value, &audience.value) else {
        return Err(Failure::new(
            CONFIGURATION,
            "a JWT says who asks only if it is known who signed it, and for whom",
            "say --jwt-keys, --jwt-issuer and --jwt-audience",
        ));
    };
    let keys = Keys::read(path, settings.jwt_algorithm.value.0, issuer, audience);
    keys.map(Some)
        .map_err(|error| Failure::of(CONFIGURATION, &error, "name a file with the keys of the issuer"))
}

/// With what the server speaks TLS, where it does.
fn tls(settings: &Settings) -> Result<Option<ServerConfig>, Failure> {
    let (certificate, key) = match (&settings.tls_cert.value, &settings.tls_key.value) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        _ => {
            let text = "a certificate is nothing without its key, nor a key without its certificate";
            return Err(Failure::new(CONFIGURATION, text, "say both --tls-cert and --tls-key"));
        }
    };
    let wrong = |path: &Path, error: &dyn std::fmt::Display| {
        let text = format!("can't speak TLS with {}: {error}", path.display());
        Failure::new(
            CONFIGURATION,
            text,
            "name a PEM of the certificate and those above it, and a PEM of its key",
        )
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| wrong(certificate, &error))?;
    let own = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.and_then(|config| config.with_no_client_auth().with_single_cert(chain, own));
    config.map(Some).map_err(|error| wrong(certificate, &error))
}

/// How the server goes about it.
fn options(settings: &Settings, files: u64, speaks_tls: bool) -> Result<Options, Failure> {
    let consent = match settings.ask_consent.value {
        true => flightdeck_server::Policy::AskFirst,
        false => flightdeck_server::Policy::UnlessDeclined,
    };
    // Each is two files: the connection, and by what it is cut off.
    let room = usize::try_from(files.saturating_sub(OWN_FILES) / 2).unwrap_or(usize::MAX).max(1);
    let mut caps = Caps::default();
    for (cap, setting) in &settings.limits {
        let value = if *cap == Cap::Connections { setting.value.min(room) } else { setting.value };
        caps = caps.with(*cap, value).map_err(|error| Failure::setting(error.to_string()))?;
    }
    Ok(Options {
        consent,
        caps,
        secure_cookies: speaks_tls,
        origins: settings.origins.value.0.iter().map(ToString::to_string).collect(),
        trusted_proxies: settings.trusted_proxies.value.0.iter().map(|network| network.0).collect(),
        any_host: settings.insecure_open.value,
        traces: settings.traces.value.is_some(),
        ..Options::default()
    })
}

async fn serve(settings: &Settings, writing: &Writing, given: Given) -> Result<(), Failure> {
    let Given { listener, keys, tls, files, begun } = given;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (store, views) = writing.views();
    let access = Access::tokens(Arc::clone(&store));
    let options = options(settings, files, tls.is_some())?;
    let mut server = Server::new(store, views).options(options).listen(listener);
    if let Some(tls) = tls {
        server = server.tls(tls);
    }
    server = match (settings.auth.value, keys) {
        (Auth::Open, _) => server,
        (Auth::Token, _) | (Auth::Jwt, None) => server.identify(access),
        (Auth::Jwt, Some(keys)) => server.identify(access.jwt(keys)),
    };
    server = server.store_facts(writing.facts(durability(settings)));
    let socket = match &settings.store.value {
        Target::Sqlite(path) => Socket::beside(path)?,
        Target::Postgres(_) => None,
    };
    if let Some(socket) = &socket {
        server = server.listen_locally(socket.listener()?);
    }
    // Heard from here on: whoever is told to stop while it starts stops as well.
    let (mut terminate, mut interrupt) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    let running = server.start().await?;
    let address = running.addresses().first().copied().unwrap_or(settings.listen.value);
    let url = format!("{scheme}://{address}");
    say(settings, &running, &url, begun).await?;
    // Whoever started it may have gone; the server is there all the same.
    drop(writeln!(std::io::stdout(), "flightdeck ready on {url}"));
    let stopped = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = writing.stopped() => true,
    };
    if stopped {
        tracing::error!("the store has stopped after a failure that it could not see the end of");
    } else {
        tracing::info!("told to stop");
    }
    let stops = async {
        running.stop().await;
        writing.close().await;
    };
    let in_time = tokio::time::timeout(STOP, stops).await.is_ok();
    drop(socket);
    match (stopped, in_time) {
        (false, true) => Ok(()),
        (false, false) => {
            Err(Failure::new(REFUSED, "stopping took too long", "look what the log says of it"))
        }
        (true, _) => Err(Failure::new(
            UNREACHABLE,
            "the store has stopped after a failure that it could not see the end of",
            "look at the disk, and start the server again: it finds what is stored",
        )),
    }
}

fn bind(listen: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(listen);
    bound.map_err(|error| {
        let text = format!("can't listen on {listen}: {error}");
        Failure::new(CONFIGURATION, text, "name another address with --listen; port 0 is any that is free")
    })
}

fn heard(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::machine(&error))
}

/// Sockets are files: as many as this process may have. Says how many those are. (F28)
fn more_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "can't have more open files than there are");
            current.unwrap_or(u64::MAX)
        }
    }
}

/// What an answered append survives.
fn durability(settings: &Settings) -> &'static str {
    match &settings.store.value {
        Target::Sqlite(_) => "every commit flushed (WAL, synchronous=FULL)",
        Target::Postgres(_) if settings.allow_unsafe_durability.value => {
            "AS THE DATABASE HAS IT: commits may be lost"
        }
        Target::Postgres(_) => "every commit flushed (fsync and synchronous_commit on)",
    }
}

/// Tells what is served, where, and how safely.
async fn say(settings: &Settings, running: &Running, url: &str, begun: Instant) -> Result<(), Failure> {
    let (head, views) = running.host().admin.list().await?;
    let durability = durability(settings);
    let store = settings.store.value.url();
    let milliseconds = begun.elapsed().as_millis();
    if settings.log.value.json {
        let lags: serde_json::Map<String, serde_json::Value> = views
            .iter()
            .filter(|view| view.serving || !view.ready)
            .map(|view| {
                let lag = head.position().get() - view.checkpoint.position.get();
                (view.of.view.to_string(), lag.into())
            })
            .collect();
        let line = serde_json::json!({
            "message": "ready", "version": env!("CARGO_PKG_VERSION"), "address": url,
            "store": store, "durability": durability, "head": head.to_string(),
            "access": settings.auth.value.to_string(), "lag": lags,
            "startMs": u64::try_from(milliseconds).unwrap_or(u64::MAX),
        });
        eprintln!("{line}");
        return Ok(());
    }
    let access = match settings.auth.value {
        Auth::Open => "open: whoever reaches the address may do everything",
        Auth::Token => "token: who asks says a token of flightdeck token create",
        Auth::Jwt => "jwt: who asks says a JWT, or a token of flightdeck token create",
    };
    let behind: Vec<String> = views
        .iter()
        .filter(|view| view.checkpoint.position < head.position())
        .map(|view| format!("{} by {}", view.of.view, head.position().get() - view.checkpoint.position.get()))
        .collect();
    let views = match behind.as_slice() {
        [] => "all at the head".to_owned(),
        behind => format!("behind: {}", behind.join(", ")),
    };
    eprintln!(
        "flightdeck {}, ready after {milliseconds} ms\n  address  {url} (the API is told at /docs, the log is shown at /live)\n  store    {store}\n  commits  {durability}\n  head     {head}\n  access   {access}\n  views    {views}",
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}

impl From<flightdeck_server::ServeError> for Failure {
    fn from(error: flightdeck_server::ServeError) -> Self {
        match error {
            flightdeck_server::ServeError::Views(error) => error.into(),
            other => Self::of(UNREACHABLE, &other, "look whether address and socket are free"),
        }
    }
}
