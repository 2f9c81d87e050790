//! One process a store: a lock file beside it, which dies with its holder and names it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock(
    #[expect(dead_code, reason = "held, not read: the lock goes when the file is closed")] File,
);

/// Why the lock was not to be had.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Another process holds it: its number, if it wrote one.
    Held(Option<u32>),
    /// The lock file could not be used.
    Io(io::Error),
}

impl Lock {
    /// Takes the lock of the store at `store`, waiting up to `wait` for whoever holds it.
    pub(crate) fn take(store: &Path, wait: Duration) -> Result<Self, NotLocked> {
        let path = path_of(store);
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let mut file = options.open(path).map_err(NotLocked::Io)?;
        let deadline = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(NotLocked::Io(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(NotLocked::Held(holder_of(&mut file)));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        let name = format!("{}\n", std::process::id());
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(name.as_bytes()))
            .map_err(NotLocked::Io)?;
        Ok(Self(file))
    }
}

/// Whether nobody has the store open for writing, as far as this user may look.
pub(crate) fn is_free(store: &Path) -> bool {
    match File::open(path_of(store)) {
        Ok(file) => file.try_lock_shared().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Whether a process has the store open for writing, and which, as far as that is written down. Changes nothing.
pub(crate) fn holder(store: &Path) -> Option<Option<u32>> {
    let mut file = File::open(path_of(store)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(holder_of(&mut file)),
        _ => None,
    }
}

/// `store.db` is locked by `store.db.lock`.
fn path_of(store: &Path) -> std::path::PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn holder_of(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.take(20).read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}
