//! `flightdeck serve`: the server, from the settings to the last request that is answered before it stops.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use flightdeck_server::{Options, Running, Server};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{CONFIGURATION, Failure, REFUSED, UNREACHABLE};
use crate::settings::Settings;
use crate::socket::Socket;
use crate::stores::Writing;
use crate::target::Target;

/// How long stopping may take; whoever restarts us kills after this.
const STOP: Duration = Duration::from_secs(10);
/// Files that are no connection: of the store, its readers, and whatever else is open.
const OWN_FILES: u64 = 256;

pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let begun = Instant::now();
    let listen = settings.listen.value;
    if !listen.ip().is_loopback() && !settings.insecure_open.value {
        return Err(Failure::new(
            CONFIGURATION,
            format!("everyone who reaches {listen} could do everything, and other machines reach it"),
            "listen at 127.0.0.1, behind whatever lets people in; or say --insecure-open",
        ));
    }
    let files = more_files();
    // Taken before the store is: an address that is in use costs nothing.
    let listener = bind(listen)?;
    let writing = Writing::open(settings).await?;
    let served = serve(settings, &writing, listener, files, begun).await;
    writing.close().await;
    served
}

async fn serve(
    settings: &Settings,
    writing: &Writing,
    listener: TcpListener,
    files: u64,
    begun: Instant,
) -> Result<(), Failure> {
    let (store, views) = writing.views();
    let consent = match settings.ask_consent.value {
        true => flightdeck_server::Policy::AskFirst,
        false => flightdeck_server::Policy::UnlessDeclined,
    };
    let connections_max = usize::try_from(files.saturating_sub(OWN_FILES)).unwrap_or(usize::MAX);
    let options = Options { consent, connections_max, ..Options::default() };
    let mut server = Server::new(store, views).options(options).listen(listener);
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
    say(settings, &running, address, begun).await?;
    // Whoever started it may have gone; the server is there all the same.
    drop(writeln!(std::io::stdout(), "flightdeck ready on http://{address}"));
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
async fn say(
    settings: &Settings,
    running: &Running,
    address: SocketAddr,
    begun: Instant,
) -> Result<(), Failure> {
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
            "message": "ready", "version": env!("CARGO_PKG_VERSION"), "address": format!("http://{address}"),
            "store": store, "durability": durability, "head": head.to_string(), "access": "open", "lag": lags,
            "startMs": u64::try_from(milliseconds).unwrap_or(u64::MAX),
        });
        eprintln!("{line}");
        return Ok(());
    }
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
        "flightdeck {}, ready after {milliseconds} ms\n  address  http://{address} (the API is told at /docs)\n  store    {store}\n  commits  {durability}\n  head     {head}\n  access   open: whoever reaches the address may do everything\n  views    {views}",
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
