//! The two kinds of connections: the one that writes, and those that only read.

use std::path::Path;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::fault;
use crate::options::Options;

/// What the WAL is cut back to once a checkpoint is done.
const WAL_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// The writer's page cache, in KiB. A larger one costs more than it spares: SQLite looks through all of it behind most commits.
const WRITER_CACHE_KIB: i64 = 16 * 1024;

/// A setting that SQLite did not take.
#[derive(Debug)]
pub(crate) enum NotOpened {
    Sql(rusqlite::Error),
    /// The setting, what was asked, what SQLite says.
    Setting(&'static str, String, String),
}

impl From<rusqlite::Error> for NotOpened {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Opens a file to write it; nothing in it is trusted.
fn to_write(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(options.busy_wait)?;
    harden(&conn)?;
    Ok(conn)
}

/// Opens a file to write it in such a way that what is written is durable. What makes it so is read back.
fn durable(path: &Path, options: &Options) -> Result<Connection, NotOpened> {
    let conn = to_write(path, options)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    expect("journal_mode", "wal", mode)?;
    let synchronous = fault::synchronous();
    conn.pragma_update(None, "synchronous", synchronous)?;
    let as_set: i64 = conn.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let number = if synchronous == "FULL" { "2" } else { "0" };
    expect("synchronous", number, as_set.to_string())?;
    // Copying the WAL back is ours to do (`wal.rs`).
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(conn)
}

/// Has commits flushed, or not: what is not flushed may be lost with the power, together with all that was committed behind it, and
/// is on the disk with the next commit that is.
pub(crate) fn set_flushes(conn: &Connection, flushes: bool) -> rusqlite::Result<()> {
    conn.pragma_update(None, "synchronous", if flushes { fault::synchronous() } else { "NORMAL" })
}

/// Opens the connection that copies the WAL back, and writes nothing else.
pub(crate) fn copier(path: &Path, options: &Options) -> Result<Connection, NotOpened> {
    let conn = durable(path, options)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(conn)
}

/// Opens the one connection that writes events and rows.
pub(crate) fn writer(path: &Path, options: &Options) -> Result<Connection, NotOpened> {
    let conn = durable(path, options)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // Tables of views change their names. What somebody else's view in the file speaks of keeps its name, and is not our business.
    conn.pragma_update(None, "legacy_alter_table", true)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX)?;
    if let Some(pages) = options.pages_max {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    conn.set_prepared_statement_cache_capacity(256);
    Ok(conn)
}

/// A connection that takes back what an interrupted transaction has begun, and is then for looking.
pub(crate) fn rolled_back(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let conn = to_write(path, options)?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

fn expect(setting: &'static str, asked: &str, found: String) -> Result<(), NotOpened> {
    match found == asked {
        true => Ok(()),
        false => Err(NotOpened::Setting(setting, asked.to_owned(), found)),
    }
}

/// What every connection gets: nothing in the file is trusted to run, no other file can be attached, I/O errors
/// are errors and not signals.
pub(crate) fn harden(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, 16 * 1024 * 1024)?;
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    Ok(())
}

/// How a file is opened for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Beside a writer, in this process or another.
    Shared,
    /// A file that nothing writes, in a folder where nothing can be written: no shared memory is needed, nor possible.
    Immutable,
}

/// Connections that only read, as the pool makes them. They never copy the WAL back: that is the writer's to do.
pub(crate) fn readers(path: &Path, reading: Reading, options: &Options) -> SqliteConnectionManager {
    let (busy_wait, cache_kib) = (options.busy_wait, i64::from(options.reader_cache_kib));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let manager = match reading {
        Reading::Shared => SqliteConnectionManager::file(path).with_flags(flags),
        Reading::Immutable => {
            SqliteConnectionManager::file(immutable_uri(path)).with_flags(flags | OpenFlags::SQLITE_OPEN_URI)
        }
    };
    manager.with_init(move |conn| {
        conn.busy_timeout(busy_wait)?;
        harden(conn)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.pragma_update(None, "query_only", true)?;
        conn.pragma_update(None, "cache_size", -cache_kib)?;
        conn.set_prepared_statement_cache_capacity(32);
        Ok(())
    })
}

/// The one URI we make ourselves, from an absolute path with everything odd escaped.
fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(*byte))
            }
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}
