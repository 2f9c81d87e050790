//! What lies beneath the file: its path, its rights, its file system, and how much room there is.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};

use rustix::fs::{Access, access, statfs, statvfs};

/// The absolute path of a store. It never begins with anything but `/`, so that SQLite can't take it for a URI
/// (`file:…?mode=memory`) or for one of its special names.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    }
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        found => found,
    }
}

/// Makes sure that there is a file, for nobody's eyes but its owner's, in a folder that is.
///
/// It is closed again before SQLite opens it: closing it later would drop SQLite's own locks.
pub(crate) fn create_if_missing(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    // A new name is only safe from a power cut once the folder that it stands in is flushed.
    let named = missing.into_iter().chain([path]);
    named.filter_map(Path::parent).try_for_each(|folder| File::open(folder)?.sync_all())
}

/// Whether file and folder may be written by this process.
pub(crate) fn is_writable(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new("/"));
    access(path, Access::WRITE_OK).is_ok() && access(folder, Access::WRITE_OK).is_ok()
}

/// The name of the network file system that `path` lies on, if it is one.
pub(crate) fn network_file_system(path: &Path) -> Option<&'static str> {
    // Of a folder that is still to be made, the one it will be made in says.
    let folder = path.ancestors().skip(1).find(|folder| folder.exists())?;
    let kind = statfs(folder).ok()?.f_type;
    // As the kernel's headers number them; the low 32 bits are what counts.
    match u32::try_from(kind & 0xffff_ffff).ok()? {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0xfe53_4d42 => Some("SMB2"),
        0x0102_1997 => Some("9P"),
        0x6573_5546 => Some("FUSE"),
        0x00c3_6400 => Some("Ceph"),
        _ => None,
    }
}

/// A file as it was when it was opened as one that does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frozen {
    bytes: u64,
    changed: (i64, i64),
}

impl Frozen {
    /// Looks at the file from outside: opening it here would meddle with SQLite's locks.
    pub(crate) fn look(path: &Path) -> io::Result<Self> {
        let found = path.metadata()?;
        Ok(Self { bytes: found.len(), changed: (found.mtime(), found.mtime_nsec()) })
    }

    /// Whether the file still is as it was.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        Self::look(path).is_ok_and(|now| now == *self)
    }
}

/// Which file stands at a path, if any.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// The room on the disk that `path` lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) disk_bytes: u64,
    pub(crate) free_bytes: u64,
}

pub(crate) fn room(path: &Path) -> Option<Room> {
    let disk = statvfs(path.parent()?).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Some(Room { disk_bytes: bytes(disk.f_blocks), free_bytes: bytes(disk.f_bavail) })
}

/// Makes a write beyond the process's file size limit an error, where by default the signal `SIGXFSZ` ends the process.
pub(crate) fn survive_file_size_limit() {
    static ONCE: Once = Once::new();
    /// `SIGXFSZ` on Linux.
    const FILE_SIZE_EXCEEDED: i32 = 25;
    ONCE.call_once(|| {
        // A handler that only sets a flag which nobody reads: the write then fails as any other does.
        if let Err(error) = signal_hook::flag::register(FILE_SIZE_EXCEEDED, Arc::new(AtomicBool::new(false)))
        {
            tracing::warn!(%error, "a write beyond the file size limit will end this process");
        }
    });
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::{absolute, create_if_missing, network_file_system};

    #[test]
    fn no_path_can_be_taken_for_a_uri() {
        for evil in ["file:evil?mode=memory", ":memory:", "a/../file:x"] {
            let path = absolute(Path::new(evil)).unwrap();
            assert!(path.is_absolute(), "{}", path.display());
        }
        assert!(absolute(Path::new("/")).is_err());
    }

    #[test]
    fn what_is_created_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/store.db");
        create_if_missing(&path).unwrap();
        create_if_missing(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(network_file_system(&path), None);
    }
}
