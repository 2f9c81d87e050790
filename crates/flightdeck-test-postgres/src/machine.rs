//! What this machine has to offer a server: PostgreSQL's programs, an account to run as, a place for its folder, a port.

use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{self, Path, PathBuf};
use std::process::Command;

use rustix::process::getuid;

use crate::error::StartError;

/// A user's and a group's number.
pub(crate) type Account = (u32, u32);

/// The folder that holds PostgreSQL's programs; `None` when this machine does not have them.
///
/// Looked for on `PATH`, then in Debian's folders (the newest version first), then where `pg_config` says.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .find_map(|folder| complete(&folder))
        .or_else(|| debian_folders().iter().find_map(|folder| complete(folder)))
        .or_else(|| complete(&pg_config_folder()?))
}

/// The folder itself when it has both programs, with links followed: a link to `postgres` alone says where
/// its siblings, such as `psql`, are.
fn complete(folder: &Path) -> Option<PathBuf> {
    let linked = fs::canonicalize(folder.join("postgres")).ok()?;
    let has_both = |folder: &&Path| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
    [linked.parent()?, folder].iter().find(|folder| has_both(folder)).map(|folder| folder.to_path_buf())
}

fn debian_folders() -> Vec<PathBuf> {
    let entries = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(Vec<u32>, PathBuf)> = entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            // As numbers, because 9.6 is older than 15.
            (name.split('.').map(|part| part.parse().unwrap_or(0)).collect(), entry.path().join("bin"))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

fn pg_config_folder() -> Option<PathBuf> {
    let answer = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim()))
}

/// Whom to run PostgreSQL as: `None` means as we are, which it only refuses when we are root.
pub(crate) fn account() -> Result<Option<Account>, StartError> {
    if !getuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").map_err(StartError::system("read /etc/passwd"))?;
    let found = account_in(&passwd, "postgres").or_else(|| account_in(&passwd, "nobody"));
    found.map(Some).ok_or(StartError::NoAccount)
}

fn account_in(passwd: &str, name: &str) -> Option<Account> {
    let fields =
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|line| line[0] == name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Where the account can create a folder, and remove it again.
pub(crate) fn parent_of_folders(account: Option<Account>) -> io::Result<PathBuf> {
    let parent = path::absolute(env::temp_dir())?;
    let is_for_all = fs::metadata(&parent)?.mode() & 0o1777 == 0o1777;
    Ok(if account.is_none() || is_for_all { parent } else { PathBuf::from("/tmp") })
}

/// Makes a file the account's own.
pub(crate) fn give(path: &Path, account: Option<Account>) -> io::Result<()> {
    account.map_or(Ok(()), |(user, group)| chown(path, Some(user), Some(group)))
}

/// A port nobody listens on. It is below the range the kernel takes the ports of outgoing connections from:
/// one from that range could be taken by any of them while the server is being started again.
pub(crate) fn free_port() -> io::Result<u16> {
    let random = || 15_000 + (RandomState::new().hash_one("port") % 17_000) as u16;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..1_000).map(|_| random()).find(is_free).ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::{account_in, free_port};

    #[test]
    fn finds_an_account_by_its_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\n\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104:a:/b:/c\nhalf:x:1\n";
        assert_eq!(account_in(passwd, "postgres"), Some((101, 104)));
        assert_eq!(account_in(passwd, "nobody"), None);
        assert_eq!(account_in(passwd, "half"), None);
    }

    #[test]
    fn ports_are_below_the_ephemeral_range() {
        assert!((0..100).all(|_| (15_000..32_000).contains(&free_port().unwrap())));
    }
}
