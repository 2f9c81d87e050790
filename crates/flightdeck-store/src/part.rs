//! A file that gets its name last: written beside where it will be, checked, flushed, and only then called what was asked for.
//!
//! Until then it is for its owner's eyes only, under a name that nobody can have prepared; a name that is taken is never taken over.
//! What a process that was killed has left behind is thrown away by the next one that writes to the same folder.

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{Builder, NamedTempFile};

/// How such a file is called, with six letters in between.
const PREFIX: &str = ".flightdeck-";
const SUFFIX: &str = ".part";
/// What SQLite may leave beside one.
const JOURNAL: &str = "-journal";
/// How old what was left behind must be. Younger ones may be about to be locked.
const LEFT_AFTER: Duration = Duration::from_secs(60);
/// How often another one is made when the first is gone before it could be locked.
const ATTEMPTS: u32 = 10;

/// The file, as long as it has no name.
#[derive(Debug)]
pub struct Part {
    file: NamedTempFile,
    to: PathBuf,
}

impl Part {
    /// Makes an empty file in the folder of `to`.
    ///
    /// # Errors
    /// When there is something of that name, the name is no UTF-8 (a database could not be told it), or the file can't be made.
    pub fn create(to: &Path) -> Result<Self> {
        if to.symlink_metadata().is_ok() {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("{} is there already", to.display())));
        }
        let to = std::path::absolute(to)?;
        let wrong = |what: &str| Error::new(ErrorKind::InvalidInput, what.to_owned());
        to.file_name().ok_or_else(|| wrong("the path names no file"))?;
        to.to_str().ok_or_else(|| wrong("the path is not UTF-8"))?;
        clean(folder(&to), LEFT_AFTER);
        for _ in 0..ATTEMPTS {
            let file = Builder::new()
                .prefix(PREFIX)
                .suffix(SUFFIX)
                .permissions(std::fs::Permissions::from_mode(0o600))
                .tempfile_in(folder(&to))?;
            // Held for as long as it has no name: so others see that it is not left behind. Where nothing can be locked, nothing is
            // thrown away either.
            drop(file.as_file().try_lock());
            let part = Self { file, to: to.clone() };
            if part.is_still_there() {
                return Ok(part);
            }
        }
        Err(Error::other("files are taken away as soon as they are made"))
    }

    /// Where it is now.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file itself.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Whether what stands under its present name is this file.
    fn is_still_there(&self) -> bool {
        let is = |found: &Metadata, own: &Metadata| (found.dev(), found.ino()) == (own.dev(), own.ino());
        match (self.path().symlink_metadata(), self.file().metadata()) {
            (Ok(found), Ok(own)) => is(&found, &own),
            _ => false,
        }
    }

    /// Flushes the file, and gives it its name.
    ///
    /// # Errors
    /// When the name was taken meanwhile, or the disk fails; there is no such file then.
    pub fn name(self) -> Result<()> {
        self.file.as_file().sync_all()?;
        if !self.is_still_there() {
            return Err(Error::other("the file was taken away before it had its name"));
        }
        let Self { file, to } = self;
        file.persist_noclobber(&to).map_err(|error| error.error)?;
        File::open(folder(&to))?.sync_all()
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Whether a file is called as ours are, or as what SQLite leaves beside them.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(JOURNAL).unwrap_or(name);
    let middle = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    middle.is_some_and(|middle| middle.len() == 6 && middle.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Throws away what was left behind in a folder, by whoever does not hold it any more.
fn clean(folder: &Path, left_after: Duration) {
    let me = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(is_ours) {
            continue;
        }
        let Ok(found) = entry.metadata() else { continue };
        let old = found.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age >= left_after);
        if found.is_file()
            && found.uid() == me
            && old
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::{Part, clean};

    #[test]
    fn it_has_its_name_only_at_the_end_and_takes_none_over() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("a.db");
        let part = Part::create(&to).unwrap();
        part.file().write_all(b"one").unwrap();
        assert!(!to.exists());
        assert_eq!(part.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let other = Part::create(&to).unwrap();
        other.file().write_all(b"other").unwrap();
        part.name().unwrap();
        other.name().unwrap_err();
        assert_eq!(std::fs::read(&to).unwrap(), b"one");
        Part::create(&to).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_was_left_behind_goes_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let there = |name: &str| folder.path().join(name).symlink_metadata().is_ok();
        let held = Part::create(&folder.path().join("a.db")).unwrap();
        let others = [
            "a.db.part",
            ".a.db.part",
            ".flightdeck-abc.part",
            ".flightdeck-abcdef.part.old",
            ".notes.abcdef.part",
        ];
        for name in others.iter().chain(&[".flightdeck-abcdef.part", ".flightdeck-abcdef.part-journal"]) {
            std::fs::write(folder.path().join(name), "left").unwrap();
        }
        clean(folder.path(), Duration::from_secs(60));
        assert!(there(".flightdeck-abcdef.part"), "it may be about to be locked");
        clean(folder.path(), Duration::ZERO);
        assert!(!there(".flightdeck-abcdef.part") && !there(".flightdeck-abcdef.part-journal"));
        assert!(others.iter().all(|name| there(name)));
        held.name().unwrap();
    }

    #[test]
    fn a_file_that_was_exchanged_gets_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("a.db");
        let part = Part::create(&to).unwrap();
        std::fs::remove_file(part.path()).unwrap();
        std::fs::write(part.path(), "another").unwrap();
        part.name().unwrap_err();
        assert!(!to.exists());
    }
}
