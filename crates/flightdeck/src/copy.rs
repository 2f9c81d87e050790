//! `flightdeck copy`: a log to another store, with its positions, times and hashes as they are.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use clap::Args;
use flightdeck_store::transfer::{self, as_it_is};
use flightdeck_store::{Head, Standing};
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::SqliteStore;

use crate::backup::{finish, said};
use crate::door;
use crate::exit::{Failure, REFUSED};
use crate::eyes::{Bar, Eyes};
use crate::settings::Settings;
use crate::stores::{self, Filling, postgres_options, sqlite_options, was_filled};
use crate::target::Target;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The store to copy
    #[arg(long, value_name = "URL")]
    from: String,
    /// The store to copy it to, with no events of its own
    #[arg(long, value_name = "URL", required_unless_present = "reopen")]
    to: Option<String>,
    /// Move it: the source is sealed before the last events are copied, and the log keeps its epoch
    #[arg(long = "move", requires = "to")]
    moves: bool,
    /// Take the seal off the source again, for a move that was given up; a new epoch begins there
    #[arg(long, conflicts_with_all = ["to", "moves"])]
    reopen: bool,
}

pub(crate) async fn run(arguments: Arguments, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let store = |url: &str| url.parse::<Target>().map(|url| settings.of(url)).map_err(Failure::setting);
    let from = store(&arguments.from)?;
    let Some(to) = arguments.to else {
        return reopen(&from, eyes).await;
    };
    let to = store(&to)?;
    let place = place(&to)?;
    if is_same(&from, &to).await? {
        return Err(Failure::usage("--from and --to are the same store".to_owned()));
    }
    let bar = Bar::new();
    let source = stores::read(&from).await?;
    // What is needed at the end is asked for before anything is carried.
    let secret = source.secret().await.map_err(|_| {
        let text = "the secret of the log can't be read, and a copy needs it";
        Failure::new(REFUSED, text, "run it as the role that owns the schema, or as one that may write")
    })?;
    let mut head = source.head().await?;
    let moved = arguments.moves && may_seal(&from, &place).await?;
    let target = match stores::fill(&to, head.hash).await? {
        Filling::Begun(target) => target,
        // An earlier run came to its end, and nobody saw it. A move keeps the epoch, and a copy does not.
        Filling::Done(done) => {
            if arguments.moves && !(moved && done.cursor == head.cursor) {
                let text =
                    format!("{} holds a copy of this log, which is another life of it", to.store.value.url());
                return Err(Failure::new(REFUSED, text, "move it to an empty store; nothing was changed"));
            }
            let other_than = (!arguments.moves).then(|| head.cursor.epoch());
            let (head, events) = was_filled(&to, &done, other_than, &bar).await?;
            drop(bar);
            return said(&head, events, &to, eyes);
        }
    };
    transfer::events(&*source, &*target, head.cursor.position(), &door::carried, &bar).await?;
    if arguments.moves {
        // Most of it is there: whoever appends has to wait for the rest only.
        head = seal(&from, &place).await?;
        // The source is sealed: there is no way back but forward.
        transfer::events(&*source, &*target, head.cursor.position(), &as_it_is, &bar).await?;
    }
    transfer::beside(&*source, &*target, head.cursor.position(), &bar).await?;
    let epoch = arguments.moves.then(|| head.cursor.epoch().clone());
    let (head, events) = finish(&*target, &head, epoch, secret, &bar).await?;
    drop(bar);
    said(&head, events, &to, eyes)
}

/// What a store is called where its log came from: the same however it was written.
fn place(to: &Settings) -> Result<String, Failure> {
    Ok(match &to.store.value {
        Target::Sqlite(path) => {
            let path = std::path::absolute(path)?;
            let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
            let found = path.canonicalize().ok();
            let named = folder.zip(path.file_name()).map(|(folder, name)| folder.join(name));
            Target::Sqlite(found.or(named).unwrap_or(path)).url()
        }
        other => other.url(),
    })
}

/// Whether two URLs lead to one store.
async fn is_same(one: &Settings, other: &Settings) -> Result<bool, Failure> {
    match (&one.store.value, &other.store.value) {
        (Target::Sqlite(one), Target::Sqlite(other)) => {
            let file = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
            Ok(file(one).is_some() && file(one) == file(other))
        }
        (Target::Postgres(from), Target::Postgres(to)) => {
            let from = PostgresStore::examine(from, &postgres_options(one), || 0).await?.identity;
            let to = PostgresStore::examine(to, &postgres_options(other), || 0).await?.identity;
            Ok(from.is_some() && from == to)
        }
        _ => Ok(false),
    }
}

/// Refuses a move that could not be brought to its end. Says whether the source is sealed for that place already.
async fn may_seal(from: &Settings, to: &str) -> Result<bool, Failure> {
    let (standing, may) = match &from.store.value {
        Target::Sqlite(path) => {
            let found = SqliteStore::examine(path, &sqlite_options(from)).await?;
            if let Some(pid) = found.in_use {
                let path = found.path;
                return Err(flightdeck_store_sqlite::OpenError::Locked { path, pid }.into());
            }
            (found.standing, found.writable)
        }
        Target::Postgres(url) => {
            let found = PostgresStore::examine(url, &postgres_options(from), || 0).await?;
            (found.standing, found.may_seal)
        }
    };
    match standing {
        Some(Standing::Moved { to: there }) if there == to => Ok(true),
        Some(Standing::Moved { to }) => Err(flightdeck_store::MigrateError::Moved { to }.into()),
        Some(Standing::Backup) => {
            let text = "the source is a backup, and stays as it is";
            Err(Failure::new(REFUSED, text, "restore it, or copy it without --move; nothing was changed"))
        }
        _ if !may => Err(Failure::new(
            REFUSED,
            "this user may not seal the source",
            "run it as the user, or the role, that owns it; nothing was changed",
        )),
        _ => Ok(false),
    }
}

async fn seal(from: &Settings, to: &str) -> Result<Head, Failure> {
    Ok(match &from.store.value {
        Target::Sqlite(path) => SqliteStore::seal_off(path, &sqlite_options(from), to)?,
        Target::Postgres(url) => PostgresStore::seal_off(url, &postgres_options(from), to).await?,
    })
}

async fn reopen(from: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let was_sealed = match &from.store.value {
        Target::Sqlite(path) => SqliteStore::take_seal_off(path, &sqlite_options(from))?,
        Target::Postgres(url) => PostgresStore::take_seal_off(url, &postgres_options(from)).await?,
    };
    if !was_sealed {
        let text = format!("{} is not sealed", from.store.value.url());
        return Err(Failure::new(REFUSED, text, "nothing was changed"));
    }
    let mut out = eyes.out();
    let store = from.store.value.url();
    match eyes.asked_json {
        true => writeln!(out, "{}", serde_json::json!({ "store": store, "reopened": true }))?,
        false => writeln!(out, "{store} takes appends again, in a new epoch")?,
    }
    Ok(out.flush()?)
}
