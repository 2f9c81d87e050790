//! The server: what is put together, how it begins to listen, and how it stops.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Server as Http, ServerHandle};
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::web::Data;
use actix_web::{App, HttpServer, middleware, web};
use flightdeck_core::registry::RegistryError;
use flightdeck_core::{Decider, Registry, StoredEvents};
use flightdeck_projections::{
    Admin, AsOf, Defined, InvalidProjection, Projection, Runner, Running as Folding, StartError,
};
use flightdeck_store::system::{SystemClock, SystemIds};
use flightdeck_store::view::{ViewStore, answering};
use flightdeck_store::{EventStore, StoreError};
pub use rustls::ServerConfig;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::audit::Audit;
use crate::authorise::{Identify, Open};
use crate::caller::{self, Rates};
use crate::caps::{Cap, Met};
use crate::connections::{self, Connection, Connections};
use crate::desk::Desk;
use crate::door::door;
use crate::host::{AskStore, Host, Options, StoreFacts};
use crate::measure::{self, Measured};
use crate::operation::{Answer, Operation};
use crate::problem::{Code, Problem};
use crate::push::Push;
use crate::threshold::threshold;
use crate::{openapi, routes};

/// How long the start waits for views that were never built before.
const VIEWS_WAIT: Duration = Duration::from_millis(500);

/// What waits for a socket before no more of an answer is asked for.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// For how long a browser need not ask again what a page may.
const CORS_SECONDS: usize = 3_600;

/// Makes operations; each thread that takes requests wants its own.
type Operations = Arc<dyn Fn() -> Vec<Operation> + Send + Sync>;

/// A server that is being put together: on a store, with our own aggregates, views and routes, and whatever is added.
pub struct Server {
    store: Arc<dyn EventStore>,
    views: Arc<dyn ViewStore>,
    registry: Registry,
    inline: Vec<Arc<dyn Projection>>,
    projections: Vec<Arc<dyn Projection>>,
    operations: Vec<Operations>,
    identify: Arc<dyn Identify>,
    options: Options,
    listeners: Vec<TcpListener>,
    tls: Option<ServerConfig>,
    sockets: Vec<UnixListener>,
    store_facts: Option<AskStore>,
}

/// Why a server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It can't listen.
    #[error("can't listen")]
    Listen(#[from] std::io::Error),
    /// A view can't be run.
    #[error(transparent)]
    Views(#[from] StartError),
    /// A projection is none.
    #[error(transparent)]
    Projection(#[from] InvalidProjection),
}

impl Server {
    /// A server of our own aggregates, views and routes, on a store and its views. Everyone may everything until
    /// [`identify`](Self::identify) says who is who, so let nobody else reach it before.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, views: Arc<dyn ViewStore>) -> Self {
        let inline = ["content", "presentations", "users"];
        let (inline, projections) =
            flightdeck_views::all().into_iter().partition(|view| inline.contains(&view.name()));
        Self {
            store,
            views,
            registry: crate::registry::registry(),
            inline,
            projections,
            operations: vec![Arc::new(routes::operations)],
            identify: Arc::new(Open),
            options: Options::default(),
            listeners: Vec::new(),
            tls: None,
            sockets: Vec::new(),
            store_facts: None,
        }
    }

    /// The same server, which knows one aggregate more: its streams and marks are its commands' alone.
    ///
    /// # Errors
    /// When its names don't fit beside those that are there.
    pub fn decider<D: Decider<Event: StoredEvents>>(self) -> Result<Self, RegistryError> {
        Ok(Self { registry: self.registry.with::<D>()?, ..self })
    }

    /// The same server, with one view more.
    #[must_use]
    pub fn projection(mut self, projection: impl Projection) -> Self {
        self.projections.push(Arc::new(projection));
        self
    }

    /// The same server, with routes more. They stand in the OpenAPI document beside ours.
    #[must_use]
    pub fn operations(mut self, operations: impl Fn() -> Vec<Operation> + Send + Sync + 'static) -> Self {
        self.operations.push(Arc::new(operations));
        self
    }

    /// The same server, with somebody to say who asks, and what was granted to them.
    #[must_use]
    pub fn identify(self, identify: impl Identify) -> Self {
        Self { identify: Arc::new(identify), ..self }
    }

    /// The same server, going about it in another way.
    #[must_use]
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The same server, which can say more of its store: whoever opened it knows its size, and how durable it is.
    #[must_use]
    pub fn store_facts<F>(mut self, ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<StoreFacts, StoreError>> + Send + 'static,
    {
        self.store_facts = Some(Arc::new(move || Box::pin(ask())));
        self
    }

    /// The same server, which also listens there.
    #[must_use]
    pub fn listen(mut self, listener: TcpListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// The same server, which speaks TLS wherever it listens but at sockets of this machine.
    #[must_use]
    pub fn tls(self, config: ServerConfig) -> Self {
        Self { tls: Some(config), ..self }
    }

    /// The same server, which also listens at a socket of this machine.
    #[must_use]
    pub fn listen_locally(mut self, listener: UnixListener) -> Self {
        self.sockets.push(listener);
        self
    }

    /// Begins to fold and to listen. Needs a tokio runtime.
    ///
    /// # Errors
    /// See [`ServeError`]: nothing runs then.
    pub async fn start(self) -> Result<Running, ServeError> {
        let mut projections = Vec::new();
        for projection in self.inline.iter().chain(&self.projections) {
            projections.push(Defined::new(Arc::clone(projection))?);
        }
        let runner = Runner::new(Arc::clone(&self.store), Arc::clone(&self.views));
        let folding = runner.inlines(self.inline).projections(self.projections).start().await?;
        self.identify.follow(folding.tail().clone());
        all_there(&folding, &projections).await;
        let (stop, stopping) = watch::channel(false);
        let all: Vec<Operation> = self.operations.iter().flat_map(|operations| operations()).collect();
        // Where everyone may everything there is nobody to count.
        let requests = self.options.caps.get(Cap::CallerRequestsPerSecond);
        let counted = u32::try_from(requests).ok().filter(|_| !self.identify.is_open());
        let (rates, met) = (Rates::of(counted.and_then(NonZeroU32::new)), Arc::new(Met::default()));
        let host = Data::new(Host {
            desk: Desk::new(Arc::clone(&self.store)),
            as_of: AsOf::new(Arc::clone(&self.store), Arc::clone(&self.views)),
            admin: Admin::new(Arc::clone(&self.store), Arc::clone(&self.views)),
            watcher: folding.watcher().clone(),
            registry: self.registry,
            projections,
            identify: self.identify,
            audit: Audit::start(Arc::clone(&self.store), Arc::new(SystemClock)),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds::default()),
            document: openapi::document(&all).into(),
            stopping,
            rates,
            push: Push::start(&self.store, self.options.caps.get(Cap::RingBytes)),
            connections: Connections::new(
                self.options.caps.clone(),
                workers(&self.options),
                Arc::clone(&met),
            ),
            met,
            options: self.options,
            measured: Measured::default(),
            begun: std::time::Instant::now(),
            store_facts: self.store_facts,
            store: self.store,
            views: self.views,
        });
        tokio::spawn(host.connections.clone().watch());
        let addresses = self.listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let http = serve(
            &host,
            self.operations,
            Doors { listeners: self.listeners, tls: self.tls, sockets: self.sockets },
        )?;
        let handle = http.handle();
        Ok(Running { addresses, handle, task: tokio::spawn(http), folding, stop, host })
    }
}

/// Waits until every view can be asked, but not for those that are built from a long log: they are told of when they are asked.
async fn all_there(folding: &Folding, projections: &[Defined]) {
    let mut seen = folding.watcher().subscribe();
    let there = seen.wait_for(|seen| {
        let is_there = |defined: &&Defined| {
            let (view, number) = (defined.plan().view(), defined.plan().number());
            answering(&seen.generations, view, number).is_some()
        };
        seen.at.is_some() && projections.iter().all(|defined| is_there(&defined))
    });
    // Whether that was in time makes no difference to what is done next.
    drop(tokio::time::timeout(VIEWS_WAIT, there).await);
}

/// Where requests come in.
struct Doors {
    listeners: Vec<TcpListener>,
    tls: Option<ServerConfig>,
    sockets: Vec<UnixListener>,
}

/// Threads that take requests: no more than there may be connections.
fn workers(options: &Options) -> usize {
    options.workers.clamp(1, options.caps.get(Cap::Connections))
}

/// Begins to take requests.
fn serve(host: &Data<Host>, operations: Vec<Operations>, doors: Doors) -> Result<Http, std::io::Error> {
    let app_host = host.clone();
    let app = move || {
        let all = operations.iter().flat_map(|operations| operations()).collect();
        App::new()
            .app_data(app_host.clone())
            .wrap(middleware::from_fn(door))
            .wrap(cors(&app_host.options.origins))
            .wrap(middleware::from_fn(measure::measure))
            .wrap(middleware::from_fn(threshold))
            .configure(|config| Operation::serve(all, config))
            .default_service(web::to(nothing_there))
    };
    let options = &host.options;
    let caps = &options.caps;
    let workers = workers(options);
    let each = connections::each(caps, workers);
    let connected = host.clone();
    let mut http = HttpServer::new(app)
        .on_connect(move |connection, more| {
            let tls = || connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
            let tcp = connection.downcast_ref::<TcpStream>().or_else(tls);
            if let Some(Err(error)) = tcp
                .map(|tcp| connections::end_when_gone(tcp, connected.options.caps.time(Cap::StalledSeconds)))
            {
                tracing::debug!(%error, "nobody will see when the other end of a connection is gone");
            }
            let peer = tcp.and_then(|tcp| tcp.peer_addr().ok());
            let counted = peer.filter(|_| !connected.identify.is_open());
            let caller =
                counted.and_then(|peer| caller::of_connection(peer, &connected.options.trusted_proxies));
            let peer = peer.map(|address| address.to_string());
            let (local, since) = (connection.is::<UnixStream>(), connected.clock.now());
            let end = tcp.and_then(|tcp| rustix::io::fcntl_dupfd_cloexec(tcp, 0).ok());
            let open = connected.connections.opened(Connection { peer, local, since, caller }, end);
            open.cut_if_far_beyond();
            // It is dropped with the connection.
            more.insert(open);
        })
        .workers(workers)
        .max_connections(each)
        // Of connections that are being made over TLS there may be as many.
        .max_connection_rate(each)
        .tls_handshake_timeout(caps.time(Cap::HeadSeconds))
        .keep_alive(caps.time(Cap::KeepAliveSeconds))
        .client_request_timeout(caps.time(Cap::HeadSeconds))
        .h1_allow_half_closed(false)
        // What a reader that has stalled has in the server's hands, and a piece more.
        .h1_write_buffer_size(WRITE_BUFFER_BYTES)
        .shutdown_timeout(caps.time(Cap::DrainSeconds).as_secs())
        // The signals are for whoever has more to stop than this.
        .disable_signals();
    for listener in doors.listeners {
        http = match &doors.tls {
            Some(config) => http.listen_rustls_0_23(listener, config.clone())?,
            None => http.listen(listener)?,
        };
    }
    for socket in doors.sockets {
        http = http.listen_uds(socket)?;
    }
    Ok(http.run())
}

/// What browsers are told of pages of other sites: those that are allowed may ask, and with cookies. No other is.
fn cors(origins: &[String]) -> middleware::Condition<Cors> {
    const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    const HEADERS: [&str; 10] = [
        "accept",
        "authorization",
        "content-type",
        "flightdeck-correlation-id",
        "flightdeck-min-position",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "last-event-id",
        "traceparent",
    ];
    const SHOWN: [&str; 7] = [
        "etag",
        "flightdeck-correlation-id",
        "flightdeck-duplicate",
        "flightdeck-position",
        "link",
        "location",
        "retry-after",
    ];
    let cors = Cors::default().allowed_methods(METHODS).allowed_headers(HEADERS).expose_headers(SHOWN);
    let cors = cors.supports_credentials().max_age(CORS_SECONDS);
    let cors = origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin));
    middleware::Condition::new(!origins.is_empty(), cors)
}

async fn nothing_there() -> Answer {
    Err(Problem::new(Code::NotFound, "There is no such route; /docs has those there are."))
}

/// A server that runs. It stops when this is stopped or dropped.
pub struct Running {
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
    folding: Folding,
    stop: watch::Sender<bool>,
    host: Data<Host>,
}

impl Running {
    /// Where it listens, in the order in which it was told to.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What its routes work with.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Stops: takes no more requests, lets those that run come to their end for a while, and stops folding. The store is whole then,
    /// and its owner's to close.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.handle.stop(true).await;
        drop(self.task.await);
        self.folding.stop().await;
    }
}
