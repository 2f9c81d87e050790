//! Opening a store: what is looked at before anything is trusted, and the order it is looked at in.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_migrations::POSTGRES;
use flightdeck_store::migrate::Access;
use flightdeck_store::{Corruption, MigrateError, Source, Step};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::connection::{Readers, Target, run, settings};
use crate::history::History;
use crate::listener::{self, Listener};
use crate::migrate;
use crate::names::Names;
use crate::options::{Listen, Options, Schema};
use crate::row::corruption;
use crate::store::{PostgresStore, Writing};
use crate::thread::Thread;
use crate::views::Views;
use crate::writer::{Line, Writer};

/// The oldest server that has all we use.
const SERVER_MIN: i32 = 140_000;

/// Why a store was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL, or something that it names, is not as it should be.
    #[error("the database's URL is wrong: {0}")]
    Url(String),
    /// No connection could be made.
    #[error("the database can't be reached")]
    Unreachable(#[source] Source),
    /// The server is too old.
    #[error("the server is PostgreSQL {found}, and 14 is the oldest that will do")]
    OldServer {
        /// What it says that it is.
        found: String,
    },
    /// The database keeps texts in another encoding.
    #[error("the database keeps its texts as {found}; make one with ENCODING 'UTF8'")]
    Encoding {
        /// The encoding.
        found: String,
    },
    /// There is no store in the schema yet, or it is not up to date.
    #[error("there is no store here yet, or its tables are not up to date")]
    NotMigrated,
    /// The server only reads: it is a standby.
    #[error("the server is a standby, and takes no appends")]
    Standby,
    /// The server may acknowledge what a power cut takes back.
    #[error("the server has {setting} = {found}: what it acknowledges is not safe from a power cut")]
    UnsafeDurability {
        /// The setting.
        setting: &'static str,
        /// What it is.
        found: String,
    },
    /// A notification that was sent did not arrive.
    #[error("notifications do not arrive on the connection that is to listen for them")]
    NoNotifications,
    /// The store is of a newer program, of someone else's, or could not be brought up.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The store is damaged where everything begins.
    #[error(transparent)]
    Damaged(#[from] Corruption),
    /// The database failed.
    #[error("the database failed")]
    Storage(#[source] Source),
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        match corruption(&error) {
            Some(damage) => Self::Damaged(damage),
            None => Self::Storage(error.into()),
        }
    }
}

/// Everything that a connection of this store's own needs to be made.
pub(crate) struct Dialing {
    pub(crate) target: Target,
    pub(crate) schema: Schema,
    settings: String,
    connect_wait: Duration,
    allow_unsafe_durability: bool,
}

impl Dialing {
    pub(crate) fn new(url: &str, options: &Options) -> Result<Self, OpenError> {
        let target = Target::parse(url, options)?;
        let schema = target.schema.clone().unwrap_or_else(|| options.schema.clone());
        Ok(Self {
            settings: settings(&schema, options),
            target,
            schema,
            connect_wait: options.connect_wait,
            allow_unsafe_durability: options.allow_unsafe_durability,
        })
    }

    /// A connection with everything set, to a server that will do.
    pub(crate) async fn client(&self) -> Result<Client, OpenError> {
        self.in_time(Box::pin(async {
            let (client, wire) =
                self.target.connect().await.map_err(|error| OpenError::Unreachable(error.into()))?;
            tokio::spawn(run(wire));
            client.batch_execute(&self.settings).await?;
            Ok(client)
        }))
        .await
    }

    /// A server that takes a connection and then says nothing must not hold up whoever waits for an answer.
    async fn in_time<T>(&self, doing: impl Future<Output = Result<T, OpenError>>) -> Result<T, OpenError> {
        match timeout(self.connect_wait, doing).await {
            Ok(done) => done,
            Err(late) => Err(OpenError::Unreachable(late.into())),
        }
    }

    /// A connection that may write. What makes a commit durable is read each time, for it can be changed at any time.
    async fn writing_client(&self) -> Result<Client, OpenError> {
        let client = self.client().await?;
        let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(),
                     current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
                     current_setting('server_encoding')";
        let row = client.query_one(sql, &[]).await?;
        if row.try_get::<_, i32>(0)? < SERVER_MIN {
            return Err(OpenError::OldServer { found: row.try_get(1)? });
        }
        if row.try_get(2)? {
            return Err(OpenError::Standby);
        }
        let encoding: String = row.try_get(6)?;
        if encoding != "UTF8" {
            return Err(OpenError::Encoding { found: encoding });
        }
        let asked = [(3, "fsync"), (4, "full_page_writes"), (5, "synchronous_commit")];
        for (column, setting) in asked {
            let found: String = row.try_get(column)?;
            if found == "off" && !self.allow_unsafe_durability {
                return Err(OpenError::UnsafeDurability { setting, found });
            } else if found == "off" {
                tracing::warn!(
                    setting,
                    "the server may lose what it acknowledges, and this was asked for by name"
                );
            }
        }
        // From here on it is this session's own: whoever turns it off for the server does not turn it off here.
        let kept: String = row.try_get(5)?;
        client.execute("SELECT set_config('synchronous_commit', $1, false)", &[&kept]).await?;
        Ok(client)
    }

    /// A connection that may write, to a store that this may be done with.
    pub(crate) async fn ready(&self, access: Access) -> Result<Client, OpenError> {
        let client = self.in_time(self.writing_client()).await?;
        self.in_time(check_format(&client, &self.schema, access)).await?;
        Ok(client)
    }

    /// A connection for work on views, on a log that is the one this node knows.
    pub(crate) async fn hand(&self, history: &History) -> Result<Client, OpenError> {
        self.in_time(async {
            let client = self.writing_client().await?;
            history.check(&client).await?;
            // A view that is built anew is written in large pieces, and who waits for those has the time. Nobody is waited for
            // that long who has locked what is needed: they are stuck, or have lost their lease. And a node that was stopped in the
            // middle of its work lets go of it by the time that another one takes over.
            let settings = "SET statement_timeout TO 60000; SET lock_timeout TO 2000; \
                            SET idle_in_transaction_session_timeout TO 2000";
            client.batch_execute(settings).await?;
            Ok(client)
        })
        .await
    }

    /// What listens for this node.
    fn listener(&self, target: Target, history: &Arc<History>) -> Listener {
        Listener {
            target,
            settings: self.settings.clone(),
            channel: self.schema.channel(),
            history: Arc::clone(history),
            connect_wait: self.connect_wait,
        }
    }

    /// The writer's connection, on a log that is the one this node knows.
    pub(crate) async fn line(&self, history: &History) -> Result<Line, OpenError> {
        self.in_time(async {
            let client = self.writing_client().await?;
            history.check(&client).await?;
            Ok(Line::over(client).await?)
        })
        .await
    }
}

impl PostgresStore {
    /// Opens the store behind `url` for reading and writing; makes it, and brings its tables up, when need be.
    ///
    /// Any number of nodes may have a store open. The URL is libpq's (`postgres://user:password@host/database`), with two
    /// parameters of our own: `schema`, and `sslrootcert` for the certificates that the server's is checked against.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &str, options: Options) -> Result<Self, OpenError> {
        Self::open_as(url, options, Access::Write).await
    }

    /// Opens the store behind `url` for reading only, also one on a standby. It must be there, and its tables up to date.
    ///
    /// Appends are answered with *read only*. Nothing is written, and no epoch is begun.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_read_only(url: &str, options: Options) -> Result<Self, OpenError> {
        Self::open_as(url, options, Access::Read).await
    }

    pub(crate) async fn open_as(url: &str, options: Options, access: Access) -> Result<Self, OpenError> {
        let thread = Thread::start().map_err(|error| OpenError::Storage(error.into()))?;
        let handle = thread.handle().ok_or_else(|| OpenError::Storage("the thread is gone".into()))?;
        let url = url.to_owned();
        let opened = handle.spawn(async move {
            match access {
                Access::Write => open(&url, options, thread).await,
                Access::Look | Access::Read | Access::Fill => {
                    open_reading(&url, options, thread, access).await
                }
            }
        });
        opened.await.map_err(|error| OpenError::Storage(error.into()))?
    }

    /// Brings the tables of the store behind `url` up, and returns the steps that were taken.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn migrate(url: &str, options: &Options) -> Result<Vec<Step>, OpenError> {
        let dialing = Dialing::new(url, options)?;
        let mut client = dialing.ready(Access::Write).await?;
        let taken = migrate::run(&mut client, &dialing.schema, POSTGRES).await?;
        // Which life of which cluster the log begins in is written down at once.
        History::new(Arc::new(Names::default()), true).check(&client).await?;
        Ok(taken)
    }

    /// Every step that this program knows, and which of them the store behind `url` has. Changes nothing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn migrations(url: &str, options: &Options) -> Result<Vec<Step>, OpenError> {
        let dialing = Dialing::new(url, options)?;
        let client = dialing.client().await?;
        dialing.in_time(check_format(&client, &dialing.schema, Access::Look)).await?;
        Ok(migrate::status(&client, &dialing.schema, POSTGRES).await?)
    }
}

/// Opens a store, on its own thread.
async fn open(url: &str, options: Options, mut thread: Thread) -> Result<PostgresStore, OpenError> {
    let dialing = Arc::new(Dialing::new(url, &options)?);
    let schema = dialing.schema.clone();
    let names = Arc::new(Names::default());
    let history = Arc::new(History::new(Arc::clone(&names), true));
    let mut client = dialing.ready(Access::Write).await?;
    migrate::run(&mut client, &schema, POSTGRES).await?;
    dialing.in_time(async { Ok(history.check(&client).await?) }).await?;
    let handle = tokio::runtime::Handle::current();
    let readers =
        Readers::new(dialing.target.clone(), &schema, &options, Arc::clone(&history), handle.clone())?;
    let readers = Arc::new(readers);
    if let Some(target) = listen_to(&dialing.target, &options)? {
        let listener = dialing.listener(target, &history);
        let hears = timeout(options.connect_wait, listener.hears(&client, options.ids.random())).await;
        let hears = hears.map_err(|late| OpenError::Unreachable(late.into()))?;
        if !hears.map_err(|error| OpenError::Unreachable(error.into()))? {
            return Err(OpenError::NoNotifications);
        }
        thread.keep(listener.run());
    }
    thread.keep(listener::poll(Arc::clone(&readers), Arc::clone(&history), options.poll));
    let views = Arc::new(Views::new(Arc::clone(&dialing), &options, Arc::clone(&history), handle.clone())?);
    thread.keep(Arc::clone(&views).sweep());
    let (jobs, queue) = mpsc::channel(options.queue_appends_max.max(1));
    let stopped = watch::Sender::new(false);
    let writer = Writer {
        dialing,
        history: Arc::clone(&history),
        clock: options.clock.clone(),
        answer_wait: options.answer_wait,
        groups: Arc::clone(&options.groups),
        line: Some(Line::over(client).await?),
    };
    let task = handle.spawn(writer.run(queue));
    let writing = Writing::new(jobs, task, &options, stopped, &handle);
    Ok(PostgresStore::new(thread, names, history, readers, views, options, writing))
}

/// Opens a store to read it, on its own thread.
async fn open_reading(
    url: &str,
    options: Options,
    mut thread: Thread,
    access: Access,
) -> Result<PostgresStore, OpenError> {
    let dialing = Arc::new(Dialing::new(url, &options)?);
    let schema = dialing.schema.clone();
    let names = Arc::new(Names::default());
    // Who fills a store writes its snapshots by way of this as well.
    let history = Arc::new(History::new(Arc::clone(&names), false));
    let client = dialing.client().await?;
    dialing.in_time(check_format(&client, &schema, access)).await?;
    let steps = dialing.in_time(async { Ok(migrate::status(&client, &schema, POSTGRES).await?) }).await?;
    if steps.iter().any(|step| step.applied.is_none()) {
        return Err(OpenError::NotMigrated);
    }
    dialing.in_time(async { Ok(history.check(&client).await?) }).await?;
    let handle = tokio::runtime::Handle::current();
    let readers =
        Readers::new(dialing.target.clone(), &schema, &options, Arc::clone(&history), handle.clone())?;
    let readers = Arc::new(readers);
    // A standby takes no LISTEN; there the head is looked at.
    let standby: bool = client.query_one("SELECT pg_is_in_recovery()", &[]).await?.try_get(0)?;
    if let Some(target) = listen_to(&dialing.target, &options)?.filter(|_| !standby) {
        let listener = dialing.listener(target, &history);
        thread.keep(listener.run());
    }
    thread.keep(listener::poll(Arc::clone(&readers), Arc::clone(&history), options.poll));
    let views = Arc::new(Views::new(dialing, &options, Arc::clone(&history), handle)?);
    Ok(PostgresStore::new(thread, names, history, readers, views, options, Writing::none()))
}

async fn check_format(client: &Client, schema: &Schema, access: Access) -> Result<(), OpenError> {
    Ok(migrate::check_format(client, schema, access).await?)
}

fn listen_to(same: &Target, options: &Options) -> Result<Option<Target>, OpenError> {
    match &options.listen {
        Listen::Never => Ok(None),
        Listen::Same => Ok(Some(same.clone())),
        Listen::Url(url) => Target::parse(url, options).map(Some),
    }
}
