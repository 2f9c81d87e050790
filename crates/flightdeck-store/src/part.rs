//! A file that gets its name last: written beside where it will be, checked, flushed, and only then called what was asked for.
//!
//! Until then it is for its owner's eyes only, under a name that nobody can have prepared; a name that is taken is never taken over.
//! What a process that was killed has left behind is thrown away by the next one that writes to the same name.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

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
        let name = to.file_name().ok_or_else(|| wrong("the path names no file"))?;
        let name =
            name.to_str().filter(|_| to.to_str().is_some()).ok_or_else(|| wrong("the path is not UTF-8"))?;
        let prefix = format!(".{name}.");
        clean(folder(&to), &prefix);
        let file = Builder::new()
            .prefix(&prefix)
            .suffix(SUFFIX)
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(folder(&to))?;
        // Held for as long as it has no name: so others see that it is not left behind. Where nothing can be locked, nothing is
        // thrown away either.
        drop(file.as_file().try_lock());
        Ok(Self { file, to })
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

    /// Flushes the file, and gives it its name.
    ///
    /// # Errors
    /// When the name was taken meanwhile, or the disk fails; there is no such file then.
    pub fn name(self) -> Result<()> {
        self.file.as_file().sync_all()?;
        let Self { file, to } = self;
        file.persist_noclobber(&to).map_err(|error| error.error)?;
        File::open(folder(&to))?.sync_all()
    }
}

const SUFFIX: &str = ".part";

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Throws away what was left behind under such a name, by whoever does not hold it any more.
fn clean(folder: &Path, prefix: &str) {
    let left = std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| {
        let name: OsString = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(SUFFIX));
        ours && entry.file_type().is_ok_and(|kind| kind.is_file())
    });
    for entry in left {
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::Part;

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
    fn what_was_left_behind_goes_and_what_was_planted_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        std::fs::write(&precious, "precious").unwrap();
        std::fs::write(folder.path().join(".a.db.left.part"), "left").unwrap();
        symlink(&precious, folder.path().join(".a.db.link.part")).unwrap();
        drop(Part::create(&folder.path().join("a.db")).unwrap());
        assert!(!folder.path().join(".a.db.left.part").exists());
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    }
}
