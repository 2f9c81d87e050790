//! The socket beside a store: how commands that write reach the server that holds it.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// What the name of a socket may have, in bytes, with the end.
const NAME_BYTES_MAX: usize = 107;

/// A socket that this process listens at. It goes with this.
pub(crate) struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Listens beside the store, whose lock this process holds; so whoever left a socket there is gone. `None`: its name would be too long.
    pub(crate) fn beside(store: &Path) -> Result<Option<Self>, Failure> {
        let path = path_of(store);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Nobody but this user gets to it before its own rights are set.
        let private = tempfile::Builder::new().prefix(".flightdeck-").tempdir_in(folder)?;
        let made = private.path().join("socket");
        if path.as_os_str().len().max(made.as_os_str().len()) > NAME_BYTES_MAX {
            tracing::warn!(path = %path.display(), "the path is too long for a socket: commands can't write while the server runs");
            return Ok(None);
        }
        let listener = UnixListener::bind(&made)?;
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&made, &path)?;
        Ok(Some(Self { path, listener }))
    }

    /// The listener, for whoever takes requests.
    pub(crate) fn listener(&self) -> Result<UnixListener, Failure> {
        Ok(self.listener.try_clone()?)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// `store.db` is reached at `store.db.sock`.
pub(crate) fn path_of(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".sock");
    path.into()
}
