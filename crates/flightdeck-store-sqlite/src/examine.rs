//! What there is to know about a store's installation, without changing anything of it: for whoever asks what is wrong.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flightdeck_core::{Position, Timestamp};
use flightdeck_store::migrate::Access;
use flightdeck_store::{EventStore as _, Groups, LogQuery, Standing, Step, StoreError};

use crate::connection::Reading;
use crate::open::{At, OpenError};
use crate::options::Options;
use crate::store::SqliteStore;
use crate::{connection, disk, lock, migrate};

/// What was found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Examined {
    /// Where the store is, or would be.
    pub path: PathBuf,
    /// Whether there is a file.
    pub exists: bool,
    /// The network file system that it lies on, if it does.
    pub network: Option<&'static str>,
    /// Whether this user may write file and folder.
    pub writable: bool,
    /// The rights of file and folder, such as `0o600`.
    pub modes: (u32, u32),
    /// Free room and size of the disk, in bytes.
    pub room: Option<(u64, u64)>,
    /// Free room below which appends are refused.
    pub reserve_bytes: u64,
    /// The length of the write-ahead log, in bytes.
    pub wal_bytes: u64,
    /// Whether a process has the store open for writing, and which, if it wrote that down.
    pub in_use: Option<Option<u32>>,
    /// `journal_mode`, as SQLite says it is.
    pub journal_mode: Option<String>,
    /// `synchronous` as a connection of ours that writes has it, read back.
    pub synchronous: Option<String>,
    /// The migrations, and which of them the store has.
    pub steps: Vec<Step>,
    /// What the store is, as a whole.
    pub standing: Option<Standing>,
    /// The newest event's place and time.
    pub newest: Option<(Position, Timestamp)>,
}

impl SqliteStore {
    /// Looks at the store at `path`, and at what lies beneath it.
    ///
    /// # Errors
    /// See [`OpenError`]: what could not be looked at at all.
    pub async fn examine(path: impl AsRef<Path>, options: &Options) -> Result<Examined, OpenError> {
        let path = disk::absolute(path.as_ref()).map_err(At(path.as_ref()).io())?;
        let at = At(&path);
        let folder = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let mode = |path: &Path| path.metadata().map_or(0, |found| found.mode() & 0o7777);
        let room = disk::room(&path);
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let mut examined = Examined {
            exists: path.exists(),
            network: disk::network_file_system(&path),
            writable: match path.exists() {
                true => disk::is_writable(&path),
                false => {
                    disk::is_writable(&folder.join("a"))
                        || rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
                }
            },
            modes: (mode(&path), mode(folder)),
            room: room.map(|room| (room.free_bytes, room.disk_bytes)),
            reserve_bytes: room.map_or(0, |room| options.reserve.bytes(room.disk_bytes)),
            wal_bytes: Path::new(&wal).metadata().map_or(0, |wal| wal.len()),
            in_use: None,
            journal_mode: None,
            synchronous: None,
            steps: Self::migrations(&path, options)?,
            standing: None,
            newest: None,
            path: path.clone(),
        };
        if !examined.exists || examined.steps.iter().all(|step| step.applied.is_none()) {
            return Ok(examined);
        }
        let store = Self::open_reading(&path, options.clone(), Access::Look, Reading::Shared)?;
        let looked = store.look(|conn, _| {
            let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            Ok((mode, migrate::standing(conn)?))
        });
        let (mode, standing) = looked.map_err(|damage| at.damage(damage))?;
        examined.journal_mode = Some(mode);
        examined.standing = Some(standing);
        examined.newest = newest(&store).await.ok().flatten();
        examined.in_use = lock::holder(&path);
        examined.synchronous = synchronous(options).map_err(|why| at.not_opened(why))?;
        Ok(examined)
    }
}

impl SqliteStore {
    /// How the writer commits.
    #[must_use]
    pub fn groups(&self) -> Arc<Groups> {
        Arc::clone(&self.options().groups)
    }

    /// How many bytes the file of the store has, and its write-ahead log.
    #[must_use]
    pub fn size_bytes(&self) -> (u64, u64) {
        let bytes = |path: &Path| path.metadata().map_or(0, |found| found.len());
        let mut wal = self.path().as_os_str().to_owned();
        wal.push("-wal");
        (bytes(self.path()), bytes(Path::new(&wal)))
    }
}

/// What a connection that writes has for `synchronous`, read back, on a file made for just that.
fn synchronous(options: &Options) -> Result<Option<String>, connection::NotOpened> {
    let Ok(folder) = tempfile::tempdir() else { return Ok(None) };
    let path = folder.path().join("try.db");
    let Ok(_made) = std::fs::File::create(&path) else { return Ok(None) };
    let number: i64 =
        connection::writer(&path, options)?.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let names = ["OFF", "NORMAL", "FULL", "EXTRA"];
    Ok(usize::try_from(number).ok().and_then(|number| names.get(number)).map(|name| (*name).to_owned()))
}

/// The newest event's place and time, if it can be read.
async fn newest(store: &SqliteStore) -> Result<Option<(Position, Timestamp)>, StoreError> {
    let at = store.head().await?.cursor.position();
    if at == Position::START {
        return Ok(None);
    }
    let page = store.read_log(&LogQuery::after(at.previous())).await?;
    Ok(page.events.first().map(|event| (event.position, event.recorded_at)))
}
