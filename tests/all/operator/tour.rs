//! A tour as a new operator would take it, on both stores: make it, fill it, look into it, follow it, save it, get it back, prove
//! it, move it to the other kind of store and back again.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;

use super::{Desk, Kind, command, done, refused, same};
use crate::victim::{Victim, victim};

const EVENTS: u64 = 100_000;

fn tour(kind: &Kind, other: &Kind) {
    let desk = Desk::new();
    let store = desk.store(kind, "bank.db");
    let applied = done(&["migrate"], &store);
    assert_eq!(applied.matches("applied").count(), 3, "{applied}");
    let said = done(&["import", "--as-new", &desk.events("in.ndjson", EVENTS)], &store);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((said["events"].as_u64(), said["duplicates"].as_u64()), (Some(EVENTS), Some(0)));

    let page = done(&["read", "--limit", "3", "--after", "41"], &store);
    let first: Value = serde_json::from_str(page.lines().next().unwrap()).unwrap();
    assert_eq!((page.lines().count(), first["position"].as_u64()), (3, Some(42)));
    assert_eq!((first["data"]["cents"].as_u64(), first["metadata"]["desk"].as_u64()), (Some(41), Some(6)));
    let eyes = done(&["read", "--text", "--backward", "--limit", "2", "--tags", "teller:5"], &store);
    assert!(eyes.starts_with("99") && eyes.contains("Deposited") && eyes.lines().count() == 2, "{eyes}");

    follow(&store);
    let head = under_load(&desk, kind, &store);

    // What a backup gives back is the same log in another life.
    let restored = desk.store(kind, "restored.db");
    done(&["restore", &desk.path("under-load")], &restored);
    let verified: Value = serde_json::from_str(&done(&["verify"], &restored)).unwrap();
    assert_eq!(verified["problems"].as_array().unwrap().len(), 0);
    assert!(verified["events"].as_u64().unwrap() > EVENTS);
    let epoch = |cursor: &str| cursor.split('-').next().unwrap().to_owned();
    assert_ne!(epoch(verified["head"].as_str().unwrap()), epoch(&head));

    // To the other kind of store and back: equal to the byte.
    let (there, back) = (desk.store(other, "there.db"), desk.store(kind, "back.db"));
    done(&["copy", "--from", &store, "--to", &there], "");
    done(&["copy", "--from", &there, "--to", &back], "");
    let original = desk.export(&store);
    same(&original, &desk.export(&there), "there");
    same(&original, &desk.export(&back), "and back");
    // Once more is no harm; but not into a log that has gone on by itself.
    done(&["copy", "--from", &store, "--to", &back], "");
    done(&["append", "own-1", "Own"], &back);
    assert!(refused(&["copy", "--from", &store, "--to", &back], "", 1).contains("events already"));
    done(&["doctor"], &back);
}

/// Follows the log while another process appends.
fn follow(store: &str) {
    let mut tail =
        command(&["tail", "--json", "--types", "Tailed"], store).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(tail.stdout.take().unwrap());
    let (say, said) = channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
    // It begins at the end of the log, wherever that is by then: what is appended until it is there need not come.
    let mut number = 0;
    let first = loop {
        number += 1;
        let data = format!("{{\"number\":{number}}}");
        done(&["append", "tail-1", "Tailed", "--data", &data], store);
        if let Ok(line) = said.recv_timeout(Duration::from_millis(500)) {
            break line;
        }
        assert!(number < 60, "the tail shows nothing");
    };
    let seen = |line: &str| serde_json::from_str::<Value>(line).unwrap()["data"]["number"].as_u64().unwrap();
    let mut last = seen(&first);
    for next in last + 1..last + 6 {
        done(&["append", "tail-1", "Tailed", "--data", &format!("{{\"number\":{next}}}")], store);
        if next <= number {
            continue;
        }
        let line = said.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(seen(&line), last + 1, "each once, and in order");
        last = next;
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
}

/// Backs up while another process appends, and says where the log was then.
fn under_load(desk: &Desk, kind: &Kind, store: &str) -> String {
    let place = store.strip_prefix("sqlite:").unwrap_or(store);
    let mut load = Victim::start(victim(&["append", place, "5000000", "4", "1000000"]));
    load.until(|said| said.acked.len() > 20);
    let said = done(&["backup", &desk.path("under-load"), "--time-max", "120"], store);
    if matches!(kind, Kind::Postgres) {
        let said: Value = serde_json::from_str(&said).unwrap();
        let file = std::fs::read_to_string(desk.file("under-load")).unwrap();
        let end: Value = serde_json::from_str(file.lines().last().unwrap()).unwrap();
        assert_eq!(said["hash"], end["end"]["hash"], "it says what the file holds, and not what came since");
    }
    load.hear_for(Duration::ZERO);
    let acked = load.said.acked.len();
    load.until(|said| said.acked.len() > acked);
    load.kill();
    assert!(refused(&["backup", &desk.path("under-load")], store, 1).contains("is there already"));
    if matches!(kind, Kind::Sqlite) {
        // A backup that takes too long holds up nobody for long, and leaves nothing.
        assert!(
            refused(&["backup", &desk.path("late"), "--time-max", "0"], store, 1)
                .contains("not written within")
        );
        assert!(std::fs::read_dir(desk.file("")).unwrap().all(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            !name.contains("late") && !name.ends_with(".part")
        }));
    }
    let last = done(&["read", "--backward", "--limit", "1"], store);
    let last: Value = serde_json::from_str(&last).unwrap();
    last["cursor"].as_str().unwrap().to_owned()
}

#[test]
fn the_tour_of_an_operator_on_sqlite() {
    tour(&Kind::Sqlite, &Kind::Postgres);
}

#[test]
fn the_tour_of_an_operator_on_postgres() {
    tour(&Kind::Postgres, &Kind::Sqlite);
}

/// A log that moves keeps its epoch and its cursors; where it was, it is read and not appended to.
#[test]
fn a_log_that_moves_goes_on_elsewhere_in_the_same_epoch() {
    for (kind, other) in [(Kind::Sqlite, Kind::Postgres), (Kind::Postgres, Kind::Sqlite)] {
        let desk = Desk::new();
        let store = desk.filled(&kind, 2_500);
        let there = desk.store(&other, "there.db");
        let cursor = |store: &str| {
            let last: Value =
                serde_json::from_str(&done(&["read", "--backward", "--limit", "1"], store)).unwrap();
            last["cursor"].as_str().unwrap().to_owned()
        };
        let before = cursor(&store);
        done(&["copy", "--move", "--from", &store, "--to", &there], "");
        assert_eq!(cursor(&there), before);
        same(&desk.export(&store), &desk.export(&there), "moved");
        assert!(refused(&["append", "a-1", "A"], &store, 1).contains("moved to"));
        done(&["append", "a-1", "A"], &there);
        assert!(done(&["read", "--after", &before], &there).contains("\"a-1\""), "cursors go on");
        // Given up after all: then it is another life.
        done(&["copy", "--reopen", "--from", &store], "");
        done(&["append", "a-1", "A"], &store);
        assert!(refused(&["read", "--after", &before], &store, 1).contains("new epoch"));
    }
}

/// What `pg_dump` saves, `psql` gives back; the documented way beside ours.
#[test]
fn a_dump_of_the_database_is_a_backup_too() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Postgres, 1_500);
    let (server, schema) = store.split_once("?schema=").unwrap();
    let programs = flightdeck_test_postgres::programs().unwrap();
    let dump =
        std::process::Command::new(programs.join("pg_dump")).args(["-n", schema, server]).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    std::fs::write(desk.file("dump.sql"), dump.stdout).unwrap();
    let psql = |arguments: &[&str], database: &str| {
        let ran = std::process::Command::new(programs.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
            .args(arguments)
            .arg(database)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let database = format!("{schema}_dumped");
    psql(&["-c", &format!("CREATE DATABASE {database}")], server);
    let (cluster, _) = server.rsplit_once('/').unwrap();
    let elsewhere = format!("{cluster}/{database}");
    psql(&["-f", &desk.path("dump.sql")], &elsewhere);
    let restored = format!("{elsewhere}?schema={schema}");
    same(&desk.export(&store), &desk.export(&restored), "dumped");
    let verified: Value = serde_json::from_str(&done(&["verify"], &restored)).unwrap();
    assert_eq!(verified["problems"].as_array().unwrap().len(), 0);
    let last: Value = serde_json::from_str(&done(&["append", "a-1", "A"], &restored)).unwrap();
    assert_eq!(last["position"].as_u64(), Some(1_501));
}
