//! What `verify`, `read`, `export` and their like cost on a large log, beside a loop that only reads the rows, in one run; and how much
//! memory they take, on a log of a tenth of the size as well.
//!
//! `cargo xtask bench operator` builds the binary and a server, and prints a table; `--quick` is for seeing that it runs.
#![expect(clippy::unwrap_used, reason = "a benchmark ends when it fails")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// A file of events like those of the other benches: data of 350 bytes, an actor and a correlation.
fn events(path: &Path, many: u64) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for number in 0..many {
        let stream = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % 10_000;
        writeln!(
            file,
            "{{\"streamId\":\"account-{stream}\",\"eventType\":\"Deposited\",\"data\":{{\"title\":\"A title\",\"cents\":4900,\"text\":\"{}\"}},\
             \"metadata\":{{\"userId\":\"user-17\",\"correlationId\":\"0192f3a4-7b1c-7def-8123-456789abcdef\"}}}}",
            "x".repeat(350 - 43)
        )
        .unwrap();
    }
}

/// Runs a command; how long it took, and the most memory it had.
fn run(arguments: &[&str], store: &str) -> (Duration, u64) {
    let begin = Instant::now();
    let binary = std::env::var_os("FLIGHTDECK_BIN").unwrap();
    let mut command = Command::new(binary);
    command.args(arguments).args(["--json", "--store", store]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let (status, mut most) = (format!("/proc/{}/status", child.id()), 0);
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(now.unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{arguments:?}");
            return (begin.elapsed(), most / 1_024);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads every column of every row, and does nothing with it.
fn lean_sqlite(path: &Path) -> Duration {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA cache_size = -65536; PRAGMA mmap_size = 0").unwrap();
    let begin = Instant::now();
    let mut statement = conn.prepare("SELECT * FROM fd_log ORDER BY position").unwrap();
    let columns = statement.column_count();
    let (mut rows, mut bytes) = (statement.query([]).unwrap(), 0);
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            if let ValueRef::Blob(blob) | ValueRef::Text(blob) = row.get_ref(column).unwrap() {
                bytes += blob.len();
            }
        }
    }
    assert!(bytes > 0);
    begin.elapsed()
}

/// The same rows of a database, page by page, and nothing done with them.
fn lean_postgres(url: &str) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (server, schema) = url.split_once("?schema=").unwrap();
        let (client, wire) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(wire);
        client.batch_execute(&format!("SET search_path TO {schema}")).await.unwrap();
        let begin = Instant::now();
        let sql = "SELECT * FROM fd_log WHERE position > $1 ORDER BY position LIMIT 1000";
        let statement = client.prepare(sql).await.unwrap();
        let mut after = 0_i64;
        loop {
            let rows = client.query(&statement, &[&after]).await.unwrap();
            match rows.last() {
                Some(last) => after = last.get("position"),
                None => return begin.elapsed(),
            }
        }
    })
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let many: u64 = if quick { 20_000 } else { 1_000_000 };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let server = flightdeck_test_postgres::shared().unwrap();
    for kind in ["sqlite", "postgres"] {
        let store = |name: &str| match kind {
            "sqlite" => format!("sqlite:{}", file(&format!("{name}.db"))),
            _ => format!("{server}?schema=operator_{name}_{}", std::process::id()),
        };
        let (small, large) = (store("small"), store("large"));
        println!(
            "\n{kind}, {many} events                 seconds   events/s   to the lean scan   MB   MB at a tenth"
        );
        let mut lean = Duration::ZERO;
        let show = |what: &str, small: (Duration, u64), large: (Duration, u64), lean: Duration| {
            let seconds = large.0.as_secs_f64();
            println!(
                "{what:<36} {seconds:>7.2} {:>10.0} {:>18.2} {:>4} {:>6}",
                many as f64 / seconds,
                lean.as_secs_f64() / seconds,
                large.1,
                small.1
            );
        };
        events(Path::new(&file("small.ndjson")), many / 10);
        events(Path::new(&file("large.ndjson")), many);
        let both = |arguments: &dyn Fn(&str) -> Vec<String>| {
            let ran = |name: &str, store: &str| {
                let arguments = arguments(name);
                run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), store)
            };
            (ran("small", &small), ran("large", &large))
        };
        let strings =
            |arguments: &[&str]| arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let imported = both(&|name| strings(&["import", "--as-new", &file(&format!("{name}.ndjson"))]));
        for _ in 0..2 {
            lean = match kind {
                "sqlite" => lean_sqlite(Path::new(&file("large.db"))),
                _ => lean_postgres(&large),
            };
        }
        println!(
            "{:<36} {:>7.2} {:>10.0}",
            "the lean scan",
            lean.as_secs_f64(),
            many as f64 / lean.as_secs_f64()
        );
        show("import --as-new", imported.0, imported.1, lean);
        let read = both(&|_| strings(&["read"]));
        show("read", read.0, read.1, lean);
        let verified = both(&|_| strings(&["verify"]));
        show("verify", verified.0, verified.1, lean);
        let exported = both(&|name| strings(&["export", &file(&format!("{kind}-{name}.export"))]));
        show("export (written, read back, checked)", exported.0, exported.1, lean);
        let backed = both(&|name| strings(&["backup", &file(&format!("{kind}-{name}.backup"))]));
        show("backup", backed.0, backed.1, lean);
        let restored = {
            let ran = |name: &str| {
                run(&["restore", &file(&format!("{kind}-{name}.backup"))], &store(&format!("{name}_again")))
            };
            (ran("small"), ran("large"))
        };
        show("restore", restored.0, restored.1, lean);
    }
}
