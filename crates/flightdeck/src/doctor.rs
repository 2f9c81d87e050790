//! `flightdeck doctor`: what is wrong with this installation, and the mend for it. Changes nothing.

use std::io::Write as _;

use flightdeck_core::Clock as _;
use flightdeck_store::system::SystemClock;
use flightdeck_store::{Standing, Step};
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::SqliteStore;
use serde_json::json;

use crate::exit::{Failure, REFUSED};
use crate::eyes::{BAD, Eyes, GOOD, ODD, number, plain, styled};
use crate::settings::Settings;
use crate::stores::{postgres_options, sqlite_options};
use crate::target::Target;

/// Files that a node has open at the least, beside its clients' connections.
const FILES_MIN: u64 = 1_024;
/// The WAL's length from which something must be holding it up.
const WAL_ODD_BYTES: u64 = 256 * 1024 * 1024;
/// How far two clocks may be apart.
const CLOCK_ODD_MICROS: i64 = 1_000_000;
/// How long a snapshot may be held before it is worth a look.
const SNAPSHOT_ODD_SECONDS: i64 = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Good,
    Odd,
    Bad,
}

/// One thing that was looked at.
struct Finding {
    how: How,
    what: &'static str,
    found: String,
    mend: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, what: &'static str, found: impl Into<String>) {
        self.0.push(Finding { how: How::Good, what, found: found.into(), mend: String::new() });
    }

    fn found(&mut self, how: How, what: &'static str, found: impl Into<String>, mend: impl Into<String>) {
        self.0.push(Finding { how, what, found: found.into(), mend: mend.into() });
    }

    /// Good when it is so, and else as it is said.
    fn check(&mut self, is_good: bool, how: How, what: &'static str, found: String, mend: &str) {
        match is_good {
            true => self.good(what, found),
            false => self.found(how, what, found, mend),
        }
    }
}

pub(crate) async fn run(settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let mut findings = Findings::default();
    findings.good(
        "flightdeck",
        format!("{}, SQLite {}", env!("CARGO_PKG_VERSION"), flightdeck_store_sqlite::sqlite_version()),
    );
    findings.good("store", format!("{}, from the {}", settings.store.value.url(), settings.store.source));
    machine(&mut findings);
    let looked = match &settings.store.value {
        Target::Sqlite(_) => sqlite(settings, &mut findings).await,
        Target::Postgres(_) => postgres(settings, &mut findings).await,
    };
    if let Err(failure) = looked {
        let text = failure.to_string();
        let (found, mend) = text.split_once("\n  ").unwrap_or((&text, ""));
        findings.found(How::Bad, "opening", found, mend);
    }
    show(&findings.0, eyes)?;
    match findings.0.iter().filter(|finding| finding.how == How::Bad).count() {
        0 => Ok(()),
        bad => Err(Failure::new(REFUSED, format!("{bad} of {} checks are bad", findings.0.len()), "")),
    }
}

fn show(findings: &[Finding], eyes: &Eyes) -> Result<(), Failure> {
    let mut out = eyes.out();
    for Finding { how, what, found, mend } in findings {
        let (style, name) = match how {
            How::Good => (GOOD, "ok"),
            How::Odd => (ODD, "odd"),
            How::Bad => (BAD, "bad"),
        };
        if eyes.json {
            writeln!(out, "{}", json!({ "check": what, "is": name, "found": found, "mend": mend }))?;
            continue;
        }
        writeln!(out, "{}  {what:<16} {}", styled(style, &format!("{name:<3}")), plain(found))?;
        if !mend.is_empty() {
            writeln!(out, "     {:<16} {}", "", plain(mend))?;
        }
    }
    Ok(out.flush()?)
}

fn machine(findings: &mut Findings) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = limit.current.unwrap_or(u64::MAX);
    let text = match limit.current {
        Some(files) => format!("{} may be open", number(files)),
        None => "any number may be open".to_owned(),
    };
    findings.check(
        files >= FILES_MIN,
        How::Odd,
        "file descriptors",
        text,
        "raise the limit: ulimit -n 65536, or LimitNOFILE= of the unit",
    );
    let now = SystemClock.now();
    // The first commit of this project is from then.
    let sane = now.micros() > 1_750_000_000_000_000;
    findings.check(sane, How::Bad, "clock", format!("{now}"), "set the machine's clock");
}

fn steps(steps: &[Step], findings: &mut Findings) {
    let pending = steps.iter().filter(|step| step.applied.is_none()).count();
    let text = format!("{} of {} steps", steps.len() - pending, steps.len());
    findings.check(pending == 0, How::Odd, "schema", text, "bring it up with flightdeck migrate");
}

fn standing(standing: Option<&Standing>, findings: &mut Findings) {
    let Some(standing) = standing else { return };
    let text = standing.to_string();
    match standing {
        Standing::Live => findings.good("state", text),
        Standing::Backup => {
            findings.found(
                How::Odd,
                "state",
                text,
                "keep it as it is, and restore from it: opening it for writing makes it a store",
            );
        }
        Standing::Filling => {
            findings.found(
                How::Bad,
                "state",
                text,
                "run the same copy, import or restore again: it goes on where it stands",
            );
        }
        Standing::Moved { .. } => {
            findings.found(
                How::Odd,
                "state",
                text,
                "name the store that it was moved to; or flightdeck copy --reopen",
            );
        }
    }
}

async fn sqlite(settings: &Settings, findings: &mut Findings) -> Result<(), Failure> {
    let Target::Sqlite(path) = &settings.store.value else { return Ok(()) };
    let found = SqliteStore::examine(path, &sqlite_options(settings)).await?;
    sqlite_place(&found, findings);
    if found.exists {
        sqlite_file(&found, findings);
    }
    Ok(())
}

fn sqlite_place(found: &flightdeck_store_sqlite::Examined, findings: &mut Findings) {
    let place = found.path.display();
    match found.exists {
        true => findings.good("file", format!("{place}")),
        false => findings.found(
            How::Odd,
            "file",
            format!("{place} is not there"),
            "make it with flightdeck migrate",
        ),
    }
    let text =
        found.network.map_or_else(|| "local".to_owned(), |kind| format!("a network file system ({kind})"));
    findings.check(found.network.is_none(), How::Bad, "file system", text, "put the store on a local disk");
    let text = format!("this user may {}write it", if found.writable { "" } else { "not " });
    findings.check(
        found.writable,
        How::Bad,
        "rights",
        text,
        "run as the user that owns the store, or mend the rights of file and folder",
    );
    if found.exists {
        let (file, folder) = found.modes;
        let closed = file & 0o077 == 0;
        findings.check(
            closed,
            How::Odd,
            "secrecy",
            format!("file {file:o}, folder {folder:o}"),
            "nobody else needs it: chmod 600 the file",
        );
    }
    if let Some((free, disk)) = found.room {
        let text = format!(
            "{} MB of {} free, {} kept back",
            free / 1_000_000,
            disk / 1_000_000,
            found.reserve_bytes / 1_000_000
        );
        findings.check(
            free > found.reserve_bytes,
            How::Bad,
            "disk",
            text,
            "free some room: appends are refused until then",
        );
    }
}

fn sqlite_file(found: &flightdeck_store_sqlite::Examined, findings: &mut Findings) {
    let text = format!("write-ahead log of {} MB", found.wal_bytes / 1_000_000);
    findings.check(
        found.wal_bytes < WAL_ODD_BYTES,
        How::Odd,
        "wal",
        text,
        "a long read holds it up: look for a backup or a report that does not end",
    );
    if let Some(mode) = &found.journal_mode {
        let synchronous = found.synchronous.as_deref();
        let text = match synchronous {
            Some(synchronous) => format!("journal_mode {mode}, synchronous {synchronous}, read back"),
            None => format!(
                "journal_mode {mode}; synchronous is the writer's, who reads it back at every opening"
            ),
        };
        // A backup is written by nobody.
        let backup = found.standing == Some(Standing::Backup);
        let good = (mode == "wal" || backup) && synchronous.is_none_or(|synchronous| synchronous == "FULL");
        findings.check(good, How::Bad, "durability", text, "use a flightdeck as it is released");
    }
    match found.in_use {
        Some(Some(pid)) => findings.good("in use", format!("by process {pid}")),
        Some(None) => findings.good("in use", "by another process"),
        None => findings.good("in use", "by nobody"),
    }
    if let Some((position, recorded)) = found.newest {
        let behind = recorded.micros() - SystemClock.now().micros();
        let text = format!("position {position}, recorded {recorded}");
        findings.check(
            behind <= CLOCK_ODD_MICROS,
            How::Odd,
            "newest event",
            text,
            "it is of a later time than the clock says: times stand still until then",
        );
    }
    steps(&found.steps, findings);
    standing(found.standing.as_ref(), findings);
}

async fn postgres(settings: &Settings, findings: &mut Findings) -> Result<(), Failure> {
    let Target::Postgres(url) = &settings.store.value else { return Ok(()) };
    let now = || SystemClock.now().micros();
    let found = PostgresStore::examine(url, &postgres_options(settings), now).await?;
    postgres_server(&found, findings);
    postgres_use(&found, findings);
    Ok(())
}

fn postgres_server(found: &flightdeck_store_postgres::Examined, findings: &mut Findings) {
    findings.check(
        !found.standby,
        How::Bad,
        "server",
        format!("PostgreSQL {}{}", found.version, if found.standby { ", a standby" } else { "" }),
        "name the primary; a standby is only read",
    );
    let setting = |name: &str| {
        found.settings.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.as_str())
    };
    for name in ["fsync", "full_page_writes", "synchronous_commit"] {
        let on = setting(name) != "off";
        let text = format!("{name} = {}", setting(name));
        findings.check(
            on,
            How::Bad,
            "durability",
            text,
            "turn it on and reload the server: what is acknowledged could be lost",
        );
    }
    let standbys = setting("synchronous_standby_names");
    match standbys.is_empty() {
        true => findings
            .good("failover", "no synchronous standby: a failover loses what a standby did not have yet"),
        false => findings.good("failover", format!("waits for {standbys}")),
    }
    let sums = setting("data_checksums");
    findings.check(
        sums == "on",
        How::Odd,
        "page checksums",
        sums.to_owned(),
        "turn them on with pg_checksums while the server is stopped",
    );
    findings.check(
        setting("server_encoding") == "UTF8",
        How::Bad,
        "encoding",
        setting("server_encoding").to_owned(),
        "create a database with ENCODING 'UTF8'",
    );
    let most: i64 = setting("max_connections").parse().unwrap_or(0);
    let text = format!("{} of {most} in use", found.connections);
    findings.check(
        found.connections * 10 < most * 8,
        How::Odd,
        "connections",
        text,
        "raise max_connections: a node takes six",
    );
}

fn postgres_use(found: &flightdeck_store_postgres::Examined, findings: &mut Findings) {
    let apart = found.clock_micros.abs() <= CLOCK_ODD_MICROS;
    findings.check(
        apart,
        How::Odd,
        "clocks",
        format!("{} ms apart", found.clock_micros / 1_000),
        "set the clocks of both machines by NTP",
    );
    let text = format!("the oldest is {} s old", found.oldest_snapshot_seconds);
    findings.check(
        found.oldest_snapshot_seconds < SNAPSHOT_ODD_SECONDS,
        How::Odd,
        "snapshots",
        text,
        "look in pg_stat_activity for who holds it: it keeps dead rows alive",
    );
    let text = format!("{} transactions left open", found.idle_in_transaction);
    findings.check(
        found.idle_in_transaction == 0,
        How::Odd,
        "idle",
        text,
        "look in pg_stat_activity: one of them may hold up others",
    );
    steps(&found.steps, findings);
    if found.standing.is_some() {
        let text = format!("{} may {}append", found.role, if found.may_append { "" } else { "not " });
        findings.check(
            found.may_append,
            How::Odd,
            "rights",
            text,
            "SELECT fd_grant('ROLE', 'write'), in the store's schema and as its owner",
        );
        let more = found.may_alter || found.superuser;
        let text = format!("{} may {}alter and delete", found.role, if more { "" } else { "not " });
        findings.check(
            !more,
            How::Odd,
            "least rights",
            text,
            "run nodes as a role of their own: SELECT fd_grant('ROLE', 'write'), in the store's schema",
        );
    }
    standing(found.standing.as_ref(), findings);
}
