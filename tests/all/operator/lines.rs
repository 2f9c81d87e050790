//! What goes in comes out: as lines, as CloudEvents, for eyes, in both directions; and what the exit codes say.

use serde_json::Value;

use super::{Desk, Kind, command, done, refused, run, same};

/// Data that a line can't hold as it is, or that a careless reader would change.
const ODD: [&str; 7] = [
    "{\n  \"a\": 1\n}",
    " {\"a\" :1} ",
    "12345678901234567890.123456789012345678901234567890",
    "null",
    "\"\\u0001\\ud83d\\ude00 \\\\n\"",
    "{\"a\":1,\"a\":2}",
    "[1e400000,-0.0]",
];

fn data(number: usize) -> &'static str {
    ODD[number % (ODD.len() - 1)]
}

/// A store with odd data, further metadata over several lines, tags, and an event whose data is gone.
fn odd(desk: &Desk, kind: &Kind) -> String {
    let store = desk.store(kind, "odd.db");
    for number in 0..ODD.len() - 1 {
        let metadata =
            "{\"userId\":\"me\",\"occurredAt\":\"2020-02-29T23:59:59.999999+02:00\",\"mood\":\"ü\"}";
        let stream = format!("odd-{}", number % 2);
        let arguments = [
            "append",
            &stream,
            "Odd",
            "--data",
            data(number),
            "--metadata",
            metadata,
            "--tag",
            "a:1",
            "--tag",
            "b:ü\"x\"",
        ];
        done(&arguments, &store);
    }
    // What will be an act of the store one day: data gives way to its hash.
    match kind {
        Kind::Sqlite => {}
        Kind::Postgres => crate::victim::block_on(async {
            let (server, schema) = store.split_once("?schema=").unwrap();
            let raw = crate::postgres::connect(server, schema).await;
            let sql = "UPDATE fd_log SET data = NULL, tombstone = sha256(data) WHERE position = 3";
            assert_eq!(raw.execute(sql, &[]).await.unwrap(), 1);
        }),
    }
    store
}

#[test]
fn what_is_stored_comes_back_to_the_byte() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let store = odd(&desk, &kind);
        let export = desk.export(&store);
        std::fs::write(desk.file("odd.ndjson"), &export).unwrap();
        for (target, name) in [(Kind::Sqlite, "one.db"), (Kind::Postgres, "other.db")] {
            let copied = desk.store(&target, name);
            done(&["import", &desk.path("odd.ndjson")], &copied);
            same(&export, &desk.export(&copied), "odd data");
            done(&["verify"], &copied);
        }
    }
}

#[test]
fn every_line_that_is_written_for_programs_is_one_and_can_be_read_again() {
    let desk = Desk::new();
    let store = odd(&desk, &Kind::Sqlite);
    let read = done(&["read"], &store);
    let events: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), ODD.len() - 1);
    assert_eq!(events[0]["metadata"]["occurredAt"], "2020-02-29T21:59:59.999999Z");
    assert_eq!(events[0]["metadata"]["mood"], "ü");
    assert_eq!(events[0]["tags"][1], "b:ü\"x\"");
    let cloud = done(&["export", "-", "--format", "cloudevents"], &store);
    // Both are taken again, with the same data, under the same ids.
    for (name, text) in [("read", &read), ("cloud", &cloud)] {
        std::fs::write(desk.file(name), text).unwrap();
        let again = desk.store(&Kind::Sqlite, &format!("{name}.db"));
        done(&["import", "--as-new", &desk.path(name)], &again);
        let told = done(&["read"], &again);
        assert_eq!(told.lines().count(), events.len());
        for (line, event) in told.lines().zip(&events) {
            let line: Value = serde_json::from_str(line).unwrap();
            for member in ["id", "streamId", "version", "eventType", "schema", "data", "tags", "metadata"] {
                assert_eq!(line[member], event[member], "{name}: {member}");
            }
        }
    }
}

#[test]
fn cloud_events_are_as_their_specification_says() {
    let desk = Desk::new();
    let store = odd(&desk, &Kind::Sqlite);
    for line in done(&["export", "-", "--format", "cloudevents"], &store).lines() {
        let event: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        assert_eq!((&event["specversion"], &event["type"]), (&"1.0".into(), &"Odd".into()));
        for required in ["id", "source"] {
            assert!(event[required].as_str().is_some_and(|text| !text.is_empty()), "{required}");
        }
        assert!(event["subject"].as_str().unwrap().starts_with("odd-") && event["sequence"].is_string());
        for (name, value) in &event {
            assert!(
                name == "data" || name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
                "{name}"
            );
            assert!(name == "data" || value.is_string() || value.is_i64(), "{name} is {value}");
        }
    }
}

#[test]
fn an_append_is_done_once_under_its_key_and_refused_when_it_expects_something_else() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let store = desk.store(&kind, "log.db");
        let arguments = ["append", "a-1", "A", "--expect", "none", "--key", "k"];
        let first: Value = serde_json::from_str(&done(&arguments, &store)).unwrap();
        let again: Value = serde_json::from_str(&done(&arguments, &store)).unwrap();
        assert_eq!((&first["duplicate"], &again["duplicate"]), (&false.into(), &true.into()));
        assert_eq!(first["position"], again["position"]);
        assert!(
            refused(&["append", "a-1", "A", "--expect", "none"], &store, 1).contains("current version is 1")
        );
        assert!(refused(&["append", "a-1", "B", "--key", "k"], &store, 1).contains("key"));
        done(&["append", "a-1", "A", "--expect", "1"], &store);
        let mut piped = command(&["append", "a-1", "A", "--data", "-"], &store);
        let mut child = piped.stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"{\"from\":\"stdin\"}").unwrap();
        assert!(child.wait().unwrap().success());
        assert!(done(&["read", "a-1", "--after", "2"], &store).contains("\"from\":\"stdin\""));
        assert!(refused(&["read", "b-1"], &store, 1).contains("there is no stream b-1"));
    }
}

#[test]
fn exit_codes_and_texts_say_what_is_wrong_and_what_to_do() {
    let desk = Desk::new();
    let store = desk.store(&Kind::Sqlite, "log.db");
    done(&["migrate"], &store);
    assert_eq!(run(&["append"], &store).code, Some(64));
    assert_eq!(run(&["no-such"], "").code, Some(64));
    refused(&["append", "a b", "A"], &store, 64);
    refused(&["append", "a-1", "A", "--data", "{"], &store, 64);
    refused(&["append", "a-1", "A", "--expect", "soon"], &store, 64);
    refused(&["read", "--after", "x-y-z"], &store, 64);
    refused(&["read"], "postgres://flightdeck@127.0.0.1:1/none", 69);
    refused(&["read"], "mysql://x", 78);
    refused(&["read"], &desk.store(&Kind::Sqlite, "none.db"), 69);
    assert!(refused(&["read"], &crate::postgres::Place::new().url(), 1).contains("flightdeck migrate"));
    let mut holder = crate::victim::Victim::start(crate::victim::victim(&["hold", &desk.path("log.db")]));
    holder.until(|said| said.count("open") == 1);
    let locked = refused(&["append", "a-1", "A"], &store, 75);
    assert!(locked.contains(&format!("process {}", holder.pid())), "{locked}");
    // What only reads goes on beside it.
    done(&["verify"], &store);
    done(&["backup", &desk.path("beside")], &store);
    assert!(done(&["doctor", "--text"], &store).contains(&format!("by process {}", holder.pid())));
    holder.kill();
    // A reader that has had enough is no error.
    done(&["import", "--as-new", &desk.events("many", 5_000)], &store);
    let mut read = command(&["read"], &store).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(read.stdout.take());
    assert_eq!(read.wait().unwrap().code(), Some(0));
}

#[test]
fn verify_and_doctor_say_what_is_damaged_and_exit_with_1() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 500);
    let conn = rusqlite::Connection::open(desk.file("filled.db")).unwrap();
    conn.execute_batch(
        "DROP TRIGGER fd_log_never_changes; UPDATE fd_log SET data = CAST('{}' AS BLOB) WHERE position = 123",
    )
    .unwrap();
    drop(conn);
    let ran = run(&["verify"], &store);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert_eq!(found["problems"][0]["position"].as_u64(), Some(123));
    assert!(ran.err.contains("restore a backup"), "{}", ran.err);
    assert!(run(&["verify", "--text"], &store).out.contains("position 123"));
    refused(&["backup", &desk.path("never")], &store, 1);
    assert!(!super::is_there(&desk.file("never")), "damage is not saved");
    refused(&["export", &desk.path("never")], &store, 1);
    assert!(!super::is_there(&desk.file("never")));
    std::fs::set_permissions(desk.file("filled.db"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    let doctor = run(&["doctor", "--text"], &store);
    assert!(doctor.out.contains("chmod 600") && doctor.code == Some(0), "{}{}", doctor.out, doctor.err);
}

#[test]
fn settings_come_in_layers_and_say_from_where() {
    let desk = Desk::new();
    let config = |add: &dyn Fn(&mut std::process::Command)| {
        let mut command = std::process::Command::new(crate::doors::flightdeck());
        command.args(["config", "--json"]).current_dir(desk.file("")).env_remove("FLIGHTDECK_STORE");
        add(&mut command);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let store = text.lines().next().unwrap();
        let store: Value = serde_json::from_str(store).unwrap();
        (store["value"].as_str().unwrap().to_owned(), store["source"].as_str().unwrap().to_owned())
    };
    let said = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(config(&|_| {}), said("sqlite:./data/flightdeck.db", "default"));
    std::fs::write(desk.file("flightdeck.toml"), "store = \"sqlite:./file.db\"\n").unwrap();
    assert_eq!(config(&|_| {}), said("sqlite:./file.db", "file (flightdeck.toml)"));
    let environment = |command: &mut std::process::Command| {
        command.env("FLIGHTDECK_STORE", "postgres://me:canary@db/x?password=canary&schema=s");
    };
    assert_eq!(config(&environment), said("postgres://db/x?schema=s", "environment (FLIGHTDECK_STORE)"));
    let flag = |command: &mut std::process::Command| {
        environment(command);
        command.args(["--store", "sqlite:./flag.db"]);
    };
    assert_eq!(config(&flag), said("sqlite:./flag.db", "command line"));
    std::fs::write(desk.file("bad.toml"), "stor = 1\n").unwrap();
    assert!(refused(&["config", "--config", &desk.path("bad.toml")], "", 78).contains("stor"));
}

/// What a terminal is shown: `script` gives a command one.
#[test]
fn a_terminal_is_shown_colours_columns_and_a_bar() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 2_000);
    let on_a_terminal = |arguments: &str, color: &str| {
        let command = format!("{} {arguments} --store {store}", crate::doors::flightdeck().display());
        let output = std::process::Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("COLUMNS", "100")
            .env_remove("NO_COLOR")
            .envs((!color.is_empty()).then_some((color, "1")))
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let read = on_a_terminal("read --limit 12", "");
    assert!(read.contains("\u{1b}[36m") && read.contains("\u{1b}[2m"), "{read:?}");
    let plain: Vec<String> =
        on_a_terminal("read --limit 12", "NO_COLOR").lines().map(str::to_owned).collect();
    assert!(plain.iter().all(|line| !line.contains('\u{1b}')), "{plain:?}");
    let column = |line: &String| line.find("Deposited").unwrap();
    assert!(plain.iter().all(|line| column(line) == column(&plain[0])), "{plain:?}");
    let verified = on_a_terminal("verify", "");
    assert!(
        verified.contains("events") && verified.contains('[') && verified.contains("whole"),
        "{verified:?}"
    );
}
