//! Opening a store: what is looked at before anything is trusted, and the order it is looked at in.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flightdeck_core::{Cursor, Epoch, Position};
use flightdeck_migrations::SQLITE;
use flightdeck_store::migrate::Access;
use flightdeck_store::{Corruption, MigrateError, Newest, Source, Standing, Step};
use r2d2::ManageConnection as _;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OptionalExtension as _};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::connection::{self, NotOpened, Reading};
use crate::disk::{self, Frozen};
use crate::ledger::Tip;
use crate::lock::{self, Lock, NotLocked};
use crate::migrate;
use crate::names::Names;
use crate::options::Options;
use crate::reader;
use crate::row::Damage;
use crate::store::{SqliteStore, Way, Writing};
use crate::thread;
use crate::wal::Copier;

/// The oldest SQLite that may be linked: older ones can lose a WAL that is being reset.
const SQLITE_MIN: i32 = 3_051_003;
/// How much of what was committed last is kept in memory, in bytes, about, ...
const NEWEST_BYTES_MAX: usize = 1024 * 1024;
/// ... and for how long it is given out: whoever follows the log asks for it within milliseconds.
const NEWEST_AGE_MAX: Duration = Duration::from_secs(1);

/// Why a store was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the store open for writing.
    #[error("the store {} is in use by {}", path.display(), Holder(*pid))]
    Locked {
        /// The store.
        path: PathBuf,
        /// The process, if it wrote down which it is.
        pid: Option<u32>,
    },
    /// The file or its folder may not be written.
    #[error("the store {} can't be written by this user; it can be opened for reading only", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// The store lies where SQLite's locks and shared memory often don't hold.
    #[error("the store {} lies on a network file system ({kind}); put it on a local disk", path.display())]
    NetworkFileSystem {
        /// The store.
        path: PathBuf,
        /// Which kind.
        kind: &'static str,
    },
    /// The linked SQLite has a fault that can lose data.
    #[error("SQLite {found} is linked, and 3.51.3 is the oldest that is safe")]
    OldSqlite {
        /// The version.
        found: &'static str,
    },
    /// SQLite did not take a setting that durability rests on.
    #[error("SQLite has {setting} = {found}, and {asked} was asked for")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What was asked for.
        asked: String,
        /// What it is.
        found: String,
    },
    /// The store is of a newer program, of someone else's, or could not be brought up.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The store is damaged where everything begins.
    #[error(transparent)]
    Damaged(#[from] Corruption),
    /// The file is there, and no store is in it yet.
    #[error("there is no store in {} yet", path.display())]
    NotMigrated {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be reached.
    #[error("the store {} can't be opened", path.display())]
    Io {
        /// The store.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("SQLite can't open the store {}", path.display())]
    Storage {
        /// The store.
        path: PathBuf,
        /// Why.
        source: Source,
    },
}

struct Holder(Option<u32>);
impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// What goes wrong beneath, with the path it went wrong at.
pub(crate) struct At<'a>(pub(crate) &'a Path);

impl At<'_> {
    pub(crate) fn io(&self) -> impl FnOnce(std::io::Error) -> OpenError {
        let path = self.0.to_owned();
        |source| OpenError::Io { path, source }
    }
    pub(crate) fn sql(&self, error: rusqlite::Error) -> OpenError {
        match Damage::from(error) {
            Damage::Corrupt(corruption) => corruption.into(),
            Damage::Sql(error) => OpenError::Storage { path: self.0.to_owned(), source: error.into() },
        }
    }
    pub(crate) fn damage(&self, damage: Damage) -> OpenError {
        match damage {
            Damage::Corrupt(corruption) => corruption.into(),
            Damage::Sql(error) => self.sql(error),
        }
    }
    pub(crate) fn not_opened(&self, why: NotOpened) -> OpenError {
        match why {
            NotOpened::Sql(error) => self.sql(error),
            NotOpened::Setting(setting, asked, found) => OpenError::Setting { setting, asked, found },
        }
    }
}

/// A store that this process may write: its file is there, locked, checked, and not yet migrated.
pub(crate) struct Held {
    pub(crate) path: PathBuf,
    pub(crate) lock: Lock,
    pub(crate) conn: Connection,
}

pub(crate) fn hold(path: &Path, options: &Options, access: Access) -> Result<Held, OpenError> {
    check_sqlite()?;
    disk::survive_file_size_limit();
    let at = At(path);
    let path = disk::absolute(path).map_err(at.io())?;
    let at = At(&path);
    refuse_network(&path, options)?;
    if !path.exists() || disk::is_writable(&path) {
        disk::create_if_missing(&path).map_err(at.io())?;
    } else {
        return Err(OpenError::ReadOnly { path });
    }
    // Whose file it is, is looked at before anything is written, also beside it.
    let existing = match connection::readers(&path, Reading::Shared, options).connect() {
        // Whoever made it was killed in the middle: what they began is taken back, as whoever opens such a file does.
        Err(error) if is_half_made(&error) => connection::rolled_back(&path, options),
        connected => connected,
    };
    let existing = existing.map_err(|error| at.sql(error))?;
    migrate::check_format(&existing, access)?;
    drop(existing);
    let lock = Lock::take(&path, options.lock_wait).map_err(|why| match why {
        NotLocked::Held(pid) => OpenError::Locked { path: path.clone(), pid },
        NotLocked::Io(source) => OpenError::Io { path: path.clone(), source },
    })?;
    let conn = connection::writer(&path, options).map_err(|why| at.not_opened(why))?;
    // Once more under the lock: another process may have been faster.
    migrate::check_format(&conn, access)?;
    Ok(Held { path, lock, conn })
}

/// Refuses a path on a network file system, for reading too: what several processes share there is not shared memory.
fn refuse_network(path: &Path, options: &Options) -> Result<(), OpenError> {
    match disk::network_file_system(path).filter(|_| !options.allow_network_file_system) {
        Some(kind) => Err(OpenError::NetworkFileSystem { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

fn check_sqlite() -> Result<(), OpenError> {
    match rusqlite::version_number() >= SQLITE_MIN {
        true => Ok(()),
        false => Err(OpenError::OldSqlite { found: rusqlite::version() }),
    }
}

/// Gives a store that is new its epoch and its secret, one that was a backup a new epoch, and says which epoch it has.
pub(crate) fn settle(conn: &Connection, options: &Options) -> Result<Epoch, Damage> {
    let tx = conn.unchecked_transaction()?;
    if migrate::standing(&tx)? == Standing::Backup {
        begin_epoch(&tx, &Epoch::from_random(options.ids.random()))?;
        migrate::set_standing(&tx, &Standing::Live)?;
    }
    let insert = "INSERT OR IGNORE INTO fd_meta (name, value) VALUES (?1, ?2)";
    tx.execute(insert, ("epoch", Epoch::from_random(options.ids.random()).as_str()))?;
    let secret = [options.ids.random().to_be_bytes(), options.ids.random().to_be_bytes()].concat();
    tx.execute(insert, ("secret", secret))?;
    tx.commit()?;
    reader::epoch(conn)
}

/// Begins an epoch: cursors of the one before are good no more.
pub(crate) fn begin_epoch(conn: &Connection, epoch: &Epoch) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO fd_meta (name, value) VALUES ('epoch', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1";
    conn.execute(sql, [epoch.as_str()]).map(drop)
}

impl SqliteStore {
    /// Opens the store at `path` for reading and writing; makes it, and brings its tables up, when need be.
    ///
    /// One process at a time has a store open like this. Others may open it [for reading only](Self::open_read_only).
    ///
    /// # Errors
    /// See [`OpenError`]: nothing is written to a store that is refused.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let Held { path, lock, mut conn } = hold(path.as_ref(), &options, Access::Write)?;
        migrate::run(&mut conn, SQLITE, options.clock.now())?;
        let at = At(&path);
        let names = Arc::new(Names::default());
        let epoch = settle(&conn, &options).map_err(|damage| at.damage(damage))?;
        let tip = Tip::read(&conn, &names).map_err(|damage| at.damage(damage))?;
        let (head, watched) = watch::channel(tip.position);
        let (jobs, queue) = mpsc::channel(options.queue_appends_max.max(1));
        let stopped = watch::Sender::new(false);
        let copier = connection::copier(&path, &options).map_err(|why| at.not_opened(why))?;
        let copier = Copier::start(copier).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let mut newest = Newest::new(NEWEST_BYTES_MAX, NEWEST_AGE_MAX);
        newest.begin(Some(Cursor::new(epoch.clone(), tip.position)));
        let newest = Arc::new(Mutex::new(newest));
        let thread = thread::Thread {
            conn,
            copier,
            lock,
            epoch: epoch.clone(),
            clock: Arc::clone(&options.clock),
            head,
            newest: Arc::clone(&newest),
            path: path.clone(),
            reserve: options.reserve,
            groups: Arc::clone(&options.groups),
            stopped: stopped.clone(),
        };
        let thread = thread.start(queue).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let writing = Writing::new(jobs, thread, newest, &options);
        let pool = pool(connection::readers(&path, Reading::Shared, &options), &options);
        Ok(Self::new(path, names, pool, options, epoch, watched, stopped, Way::Writing(writing)))
    }

    /// Opens a store for reading only, also while another process writes it. It must be there.
    ///
    /// Appends are answered with *read only*. Nothing wakes a follower here but its own poll. Where this user can't
    /// write in the folder and nobody has the store open, it is read as a file that does not change; once it does,
    /// reads are answered with *stopped*, and the store must be opened again.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_read_only(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        Self::open_reading(path.as_ref(), options, Access::Read, Reading::Shared)
    }

    pub(crate) fn open_reading(
        path: &Path,
        options: Options,
        access: Access,
        reading: Reading,
    ) -> Result<Self, OpenError> {
        check_sqlite()?;
        let at = At(path);
        let path = disk::absolute(path).map_err(at.io())?;
        let at = At(&path);
        path.metadata().map_err(at.io())?;
        // Nothing is shared with anybody where a file does not change.
        if reading == Reading::Shared {
            refuse_network(&path, &options)?;
        }
        let mut manager = connection::readers(&path, reading, &options);
        let mut frozen = match reading {
            Reading::Shared => None,
            Reading::Immutable => Some(Frozen::look(&path).map_err(at.io())?),
        };
        // A first look, before a pool tries again and again.
        let looked = manager.connect().and_then(|conn| look(&conn).map(|()| conn));
        let conn = match looked {
            Ok(conn) => conn,
            // In a folder that can't be written there is no shared memory to be made; and none is needed where nobody writes.
            Err(_) if !disk::is_writable(&path) && !has_wal(&path) && lock::is_free(&path) => {
                frozen = Some(Frozen::look(&path).map_err(at.io())?);
                manager = connection::readers(&path, Reading::Immutable, &options);
                let conn = manager.connect().map_err(|error| at.sql(error))?;
                look(&conn).map_err(|error| at.sql(error))?;
                conn
            }
            Err(error) if is_half_made(&error) => return Err(OpenError::NotMigrated { path }),
            Err(error) => return Err(at.sql(error)),
        };
        migrate::check_format(&conn, access)?;
        if !migrate::is_made(&conn).map_err(|error| at.sql(error))? {
            return Err(OpenError::NotMigrated { path });
        }
        let names = Arc::new(Names::default());
        let epoch = reader::epoch(&conn).map_err(|damage| at.damage(damage))?;
        // The newest event may be damaged, and everything before it good: who reads it is told.
        let newest = reader::newest(&conn).map_err(|damage| at.damage(damage))?;
        drop(conn);
        let (_, watched) = watch::channel(newest);
        let at_path = path.clone();
        let pool = pool(manager, &options);
        Ok(Self::new(
            path,
            names,
            pool,
            options,
            epoch,
            watched,
            watch::Sender::new(false),
            Way::Reading(disk::identity(&at_path), frozen),
        ))
    }

    /// Brings the tables of the store at `path` up, and returns the steps that were taken. Makes the store when it is not there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn migrate(path: impl AsRef<Path>, options: &Options) -> Result<Vec<Step>, OpenError> {
        let mut held = hold(path.as_ref(), options, Access::Write)?;
        let taken = migrate::run(&mut held.conn, SQLITE, options.clock.now())?;
        settle(&held.conn, options).map_err(|damage| At(&held.path).damage(damage))?;
        drop(held.conn);
        drop(held.lock);
        Ok(taken)
    }

    /// Every step that this program knows, and which of them the store at `path` has. Changes nothing, and creates nothing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn migrations(path: impl AsRef<Path>, options: &Options) -> Result<Vec<Step>, OpenError> {
        let path = disk::absolute(path.as_ref()).map_err(At(path.as_ref()).io())?;
        let at = At(&path);
        if !path.exists() {
            let nothing = Connection::open_in_memory().map_err(|error| at.sql(error))?;
            return Ok(migrate::status(&nothing, SQLITE)?);
        }
        refuse_network(&path, options)?;
        let manager = connection::readers(&path, Reading::Shared, options);
        let conn = match manager.connect() {
            Err(error) if is_half_made(&error) => Connection::open_in_memory(),
            connected => connected,
        };
        let conn = conn.map_err(|error| at.sql(error))?;
        migrate::check_format(&conn, Access::Look)?;
        Ok(migrate::status(&conn, SQLITE)?)
    }
}

/// Whether a file can't be read because its first transaction was interrupted: `SQLITE_READONLY_ROLLBACK`. From the second on there is a
/// WAL, which needs no taking back.
fn is_half_made(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == 776)
}

fn look(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(())).optional().map(|_| ())
}

/// Whether there is anything in a WAL that the file itself does not have.
pub(crate) fn has_wal(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    Path::new(&wal).metadata().is_ok_and(|wal| wal.len() > 0)
}

/// The pool of connections that only read.
fn pool(manager: SqliteConnectionManager, options: &Options) -> r2d2::Pool<SqliteConnectionManager> {
    r2d2::Pool::builder()
        .max_size(options.readers.max(1))
        .min_idle(Some(0))
        .test_on_check_out(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connection_timeout(options.busy_wait.max(Duration::from_millis(1)))
        .build_unchecked(manager)
}

/// How many reads may run at once.
pub(crate) fn permits(options: &Options) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(options.readers.max(1)).unwrap_or(1)))
}

/// Where the log stands, for whoever waits.
pub(crate) type Watched = watch::Receiver<Position>;
