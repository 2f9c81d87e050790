//! What an operator may do by mistake, or someone else on purpose: the wrong file behind half of one, names that were chosen to
//! collide, files that were planted, rights that are missing, settings that can't be read.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Desk, Kind, command, done, is_there, refused, run, same};
use crate::doors::{flightdeck, flightdeck_with_faults};

#[test]
fn another_file_behind_half_of_one_leaves_nothing_of_itself() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let store = desk.filled(&Kind::Sqlite, 3_500);
        done(&["export", &desk.path("big")], &store);
        let other = desk.store(&Kind::Sqlite, "other.db");
        done(&["append", "k-1", "K", "--key", "K1"], &other);
        done(&["export", &desk.path("small")], &other);
        let target = desk.store(&kind, "target.db");
        let killed = Command::new(flightdeck_with_faults())
            .args(["import", &desk.path("big"), "--store", &target])
            .env("FLIGHTDECK_FAULT", "fill-commit:3:kill")
            .output();
        assert!(!killed.unwrap().status.success());
        assert!(refused(&["import", &desk.path("small")], &target, 1).contains("which the source has not"));
        done(&["import", &desk.path("big")], &target);
        same(&desk.export(&store), &desk.export(&target), "nothing of the other one is in it");
        let appended: Value =
            serde_json::from_str(&done(&["append", "k-1", "K", "--key", "K1"], &target)).unwrap();
        assert_eq!(appended["duplicate"], false);
    }
}

/// These two have the same XXH3-64.
#[test]
fn names_that_were_chosen_to_collide_do_no_harm() {
    let desk = Desk::new();
    let store = desk.store(&Kind::Postgres, "");
    done(&["append", "s-ELgBKDOKNKOPfK", "A"], &store);
    done(&["append", "s-gOcGPmFKENGGGC", "A"], &store);
    done(&["backup", &desk.path("saved")], &store);
    done(&["restore", &desk.path("saved")], &desk.store(&Kind::Sqlite, "restored.db"));
}

#[test]
fn a_file_that_is_appended_is_taken_whole_or_not_at_all_and_may_grow() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let store = desk.filled(&Kind::Sqlite, 1_500);
        let export = String::from_utf8(desk.export(&store)).unwrap();
        let target = desk.store(&kind, "target.db");
        let cut: Vec<&str> = export.lines().take(500).collect();
        std::fs::write(desk.file("cut"), cut.join("\n")).unwrap();
        assert!(refused(&["import", "--as-new", &desk.path("cut")], &target, 1).contains("cut off"));

        let line = |number: u64, data: &str| {
            format!(
                "{{\"streamId\":\"a-1\",\"eventType\":\"A\",\"id\":\"01920000-0000-7000-8000-{number:012}\",\"data\":{data}}}\n"
            )
        };
        let lines = |many: u64| (1..=many).map(|number| line(number, "1")).collect::<String>();
        std::fs::write(desk.file("grows"), lines(1_500)).unwrap();
        done(&["append", "--ndjson", &desk.path("grows")], &target);
        std::fs::write(desk.file("grows"), lines(2_600)).unwrap();
        let said: Value =
            serde_json::from_str(&done(&["append", "--ndjson", &desk.path("grows")], &target)).unwrap();
        assert_eq!((said["events"].as_u64(), said["duplicates"].as_u64()), (Some(2_600), Some(1_500)));
        assert_eq!(done(&["read"], &target).lines().count(), 2_600);
        // One that says something else under a known id, in its third thousand: what stands before it is in the log, and it says so.
        let mut others = (3_001..=5_300).map(|number| line(number, "1")).collect::<String>();
        others.push_str(&line(7, "2"));
        std::fs::write(desk.file("others"), others).unwrap();
        let said = refused(&["import", "--as-new", &desk.path("others")], &target, 1);
        assert!(said.contains("line 2001") && !said.contains("nothing was appended"), "{said}");
        assert!(said.contains("events that stand before it are in the log"), "{said}");
    }
}

#[test]
fn a_name_that_no_database_can_be_told_is_refused_and_leaves_nothing() {
    let desk = Desk::new();
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let store = desk.store(&kind, "some.db");
        done(&["append", "a-1", "A"], &store);
        std::fs::create_dir_all(desk.file("odd")).unwrap();
        let odd = desk.file("odd").join(OsStr::from_bytes(b"\xff.db"));
        let ran =
            Command::new(flightdeck()).arg("backup").arg(odd).args(["--store", &store]).output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(std::fs::read_dir(desk.file("odd")).unwrap().count(), 0);
    }
}

#[test]
fn what_is_saved_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 100);
    std::os::unix::fs::symlink(desk.file("precious"), desk.file(".e.part")).unwrap();
    std::fs::write(desk.file("precious"), "precious").unwrap();
    for (name, arguments) in
        [("b", vec!["backup"]), ("e", vec!["export"]), ("c", vec!["export", "--format", "cloudevents"])]
    {
        let file = desk.path(name);
        let arguments: Vec<&str> = arguments.into_iter().chain([file.as_str()]).collect();
        done(&arguments, &store);
        let found = desk.file(name).symlink_metadata().unwrap();
        assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{name}: {found:?}");
    }
    assert_eq!(std::fs::read(desk.file("precious")).unwrap(), b"precious");
}

#[test]
fn doctor_changes_nothing_of_what_it_looks_at() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 100);
    done(&["backup", &desk.path("saved.db")], &store);
    let before = std::fs::read(desk.file("saved.db")).unwrap();
    let said = done(&["doctor", "--text"], &format!("sqlite:{}", desk.path("saved.db")));
    assert!(said.contains("a backup") && said.contains("synchronous FULL, read back"), "{said}");
    assert!(std::fs::read(desk.file("saved.db")).unwrap() == before);
    for beside in [".lock", "-wal", "-shm"] {
        assert!(!is_there(&desk.file(&format!("saved.db{beside}"))), "{beside}");
    }
    // And it says what a store is that is being filled, and one that moved.
    done(&["export", &desk.path("e")], &store);
    let half = desk.store(&Kind::Sqlite, "half.db");
    let killed = Command::new(flightdeck_with_faults())
        .args(["import", &desk.path("e"), "--store", &half])
        .env("FLIGHTDECK_FAULT", "fill-finish:1:kill")
        .output();
    assert!(!killed.unwrap().status.success());
    let doctor = run(&["doctor", "--text"], &half);
    assert!(
        doctor.code == Some(1) && doctor.out.contains("not filled to its end"),
        "{}{}",
        doctor.out,
        doctor.err
    );
    done(&["copy", "--move", "--from", &store, "--to", &desk.store(&Kind::Sqlite, "moved.db")], "");
    assert!(done(&["doctor", "--text"], &store).contains("moved to sqlite:"));
    done(&["copy", "--move", "--from", &store, "--to", &desk.store(&Kind::Sqlite, "moved.db")], "");
    assert!(
        refused(&["copy", "--move", "--from", &store, "--to", &desk.store(&Kind::Sqlite, "third.db")], "", 1)
            .contains("moved to")
    );
    assert!(!is_there(&desk.file("third.db")));
}

#[test]
fn a_seal_is_only_taken_off_where_there_is_one() {
    let desk = Desk::new();
    let store = desk.store(&Kind::Sqlite, "log.db");
    refused(&["copy", "--reopen", "--from", &store], "", 69);
    assert!(!is_there(&desk.file("log.db")), "a typo makes no store");
    done(&["migrate"], &store);
    assert!(refused(&["copy", "--reopen", "--from", &store], "", 1).contains("not sealed"));
}

#[test]
fn rights_that_are_missing_are_found_before_anything_is_carried() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Postgres, 300);
    let (server, schema) = store.split_once("?schema=").unwrap();
    let role = format!("{schema}_reader");
    crate::victim::block_on(async {
        let raw = crate::postgres::connect(server, schema).await;
        raw.batch_execute(&format!("CREATE ROLE {role} LOGIN; SELECT fd_grant('{role}', 'read')"))
            .await
            .unwrap();
    });
    let as_reader = store.replace("flightdeck@", &format!("{role}@"));
    assert_eq!(done(&["read"], &as_reader).lines().count(), 300);
    done(&["verify"], &as_reader);
    for arguments in [vec!["copy"], vec!["copy", "--move"]] {
        let to = desk.store(&Kind::Sqlite, "never.db");
        let arguments: Vec<&str> = arguments.into_iter().chain(["--from", &as_reader, "--to", &to]).collect();
        let said = refused(&arguments, "", 1);
        assert!(said.contains("run it as"), "{said}");
        assert!(!is_there(&desk.file("never.db")));
    }
}

/// Whoever follows a store while a log is carried into it is told that it is another one, and shown nothing of it.
#[test]
fn a_follower_is_not_shown_a_log_that_is_only_half_there() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let store = desk.filled(&Kind::Sqlite, 2_000);
        let target = desk.store(&kind, "target.db");
        done(&["migrate"], &target);
        let mut tail = command(&["tail", "--from-start", "--text"], &target);
        let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(tail.stderr.take().unwrap()).lines();
        assert!(said.next().unwrap().unwrap().contains("caught up"));
        done(&["copy", "--from", &store, "--to", &target], "");
        let ended = tail.wait_with_output().unwrap();
        assert_eq!(
            (ended.status.code(), ended.stdout.len()),
            (Some(1), 0),
            "{}",
            String::from_utf8_lossy(&ended.stdout)
        );
        assert!(said.next().unwrap().unwrap().contains("not the one that was followed"));
    }
}

#[test]
fn settings_that_can_not_be_read_are_not_passed_over() {
    let desk = Desk::new();
    let mut odd = Command::new(flightdeck());
    odd.args(["append", "a-1", "A"])
        .current_dir(desk.file(""))
        .env("FLIGHTDECK_STORE", OsStr::from_bytes(b"sqlite:\xff"));
    let ran = odd.output().unwrap();
    assert_eq!(ran.status.code(), Some(78), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(std::fs::read_dir(desk.file("")).unwrap().count(), 0, "no other store is made instead");
    for url in ["postgress://me:canary@db/x", "postgres://me:can?ary@db:1/x"] {
        for arguments in [vec!["config", "--store", url], vec!["copy", "--from", url, "--to", url]] {
            let ran = run(&arguments, "");
            let said = ran.out + &ran.err;
            assert!(!said.contains("canary") && !said.contains("can?") && !said.contains(":can"), "{said}");
        }
    }
    // What restores is told its settings, and does not look for others.
    let store = desk.filled(&Kind::Sqlite, 50);
    done(&["backup", &desk.path("saved")], &store);
    std::fs::write(desk.file("flightdeck.toml"), "nonsense\n").unwrap();
    std::fs::write(desk.file("good.toml"), "log = \"error\"\n").unwrap();
    let to = desk.store(&Kind::Sqlite, "restored.db");
    let mut restore = command(&["restore", "saved", "--config", "good.toml"], &to);
    let ran = restore.current_dir(desk.file("")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn pipes_are_read_like_files_and_nothing_is_told_to_a_terminal() {
    let desk = Desk::new();
    let store = desk.store(&Kind::Sqlite, "log.db");
    let mut import = command(&["import", "--as-new", "-"], &store)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let line =
        "{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":\"\\u001b]0;evil\\u0007 and \u{9b}31m\"}\n";
    import.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
    let shown = done(&["read", "--text"], &store);
    assert!(!shown.trim_end().chars().any(char::is_control), "{shown:?}");
    let fifo = desk.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let writer = std::thread::spawn({
        let (fifo, line) = (fifo.clone(), line.replace("evil", "more"));
        move || std::fs::write(fifo, line).unwrap()
    });
    done(&["import", "--as-new", &fifo], &store);
    writer.join().unwrap();
    assert_eq!(done(&["read"], &store).lines().count(), 2);
    refused(&["import", &desk.path("")], &store, 1);
}

#[test]
fn one_store_under_two_names_is_one_store() {
    let desk = Desk::new();
    let kinds =
        [(Kind::Sqlite, false), (Kind::Sqlite, true), (Kind::Postgres, false), (Kind::Postgres, true)];
    for (kind, filled) in kinds {
        let store = desk.store(&kind, &format!("same-{filled}.db"));
        done(&["migrate"], &store);
        if filled {
            done(&["append", "a-1", "A"], &store);
        }
        let other = match kind {
            Kind::Sqlite => {
                let link = desk.file(&format!("link-{filled}.db"));
                std::os::unix::fs::symlink(desk.file(&format!("same-{filled}.db")), link).unwrap();
                desk.store(&kind, &format!("link-{filled}.db"))
            }
            Kind::Postgres => store.replace("127.0.0.1", "localhost"),
        };
        for arguments in [vec!["copy"], vec!["copy", "--move"]] {
            let arguments: Vec<&str> =
                arguments.into_iter().chain(["--from", &store, "--to", &other]).collect();
            assert!(refused(&arguments, "", 64).contains("the same store"));
        }
        done(&["append", "a-1", "A"], &store);
    }
}

#[test]
fn a_copy_of_the_files_is_no_move_and_no_copy() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 50);
    std::fs::copy(desk.file("filled.db"), desk.file("other.db")).unwrap();
    let other = desk.store(&Kind::Sqlite, "other.db");
    for arguments in [vec!["copy"], vec!["copy", "--move"]] {
        let arguments: Vec<&str> = arguments.into_iter().chain(["--from", &store, "--to", &other]).collect();
        refused(&arguments, "", 1);
    }
    done(&["append", "a-1", "A"], &store);
    // A backup is not moved, and stays as it is to the byte; nor is it restored onto itself.
    done(&["backup", &desk.path("saved")], &store);
    let before = std::fs::read(desk.file("saved")).unwrap();
    let saved = desk.store(&Kind::Sqlite, "saved");
    let to = desk.store(&Kind::Sqlite, "never.db");
    assert!(refused(&["copy", "--move", "--from", &saved, "--to", &to], "", 1).contains("is a backup"));
    refused(&["restore", &desk.path("saved")], &saved, 1);
    assert!(std::fs::read(desk.file("saved")).unwrap() == before && !is_there(&desk.file("never.db")));
}

#[test]
fn what_was_carried_before_is_checked_before_it_is_called_so() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 50);
    let target = desk.store(&Kind::Sqlite, "target.db");
    done(&["backup", &desk.path("saved")], &store);
    let saved = desk.path("saved");
    let both = [vec!["copy", "--from", &store, "--to", &target], vec!["restore", &saved, "--store", &target]];
    for arguments in &both {
        done(arguments, "");
    }
    let conn = rusqlite::Connection::open(desk.file("target.db")).unwrap();
    let change =
        "DROP TRIGGER fd_log_never_changes; UPDATE fd_log SET data = CAST('{}' AS BLOB) WHERE position = 2";
    conn.execute_batch(change).unwrap();
    drop(conn);
    for arguments in &both {
        assert!(refused(arguments, "", 1).contains("1 thing is damaged"));
    }
}

#[test]
fn a_thousand_lines_are_appended_whole_or_not_at_all() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let store = desk.store(&kind, "log.db");
        let id = |number: u64| format!("01920000-0000-7000-8000-{number:012}");
        done(&["append", "x-1", "Other", "--id", &id(500)], &store);
        let line = |number| {
            format!("{{\"streamId\":\"a-1\",\"eventType\":\"A\",\"id\":\"{}\",\"data\":1}}\n", id(number))
        };
        std::fs::write(desk.file("in"), (1..=1_000).map(line).collect::<String>()).unwrap();
        let said = refused(&["append", "--ndjson", &desk.path("in")], &store, 1);
        assert!(said.contains("0 events that stand before it are in the log"), "{said}");
        assert_eq!(done(&["read"], &store).lines().count(), 1);
    }
}

#[test]
fn a_store_that_is_gone_or_another_ends_a_tail() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 50);
    done(&["backup", &desk.path("saved")], &store);
    let mut tail = command(&["tail", "--text"], &store);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(tail.stderr.take().unwrap()).lines();
    assert!(said.next().unwrap().unwrap().contains("caught up"));
    for name in ["filled.db", "filled.db-wal", "filled.db-shm"] {
        drop(std::fs::remove_file(desk.file(name)));
    }
    done(&["restore", &desk.path("saved")], &store);
    assert_eq!(tail.wait().unwrap().code(), Some(69));
}

#[test]
fn a_backup_without_its_secret_is_refused_and_none_talks_to_a_terminal() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 50);
    done(&["backup", &desk.path("saved")], &store);
    let changed = |sql: &str| {
        std::fs::copy(desk.file("saved"), desk.file("changed")).unwrap();
        rusqlite::Connection::open(desk.file("changed")).unwrap().execute_batch(sql).unwrap();
    };
    changed("DELETE FROM fd_meta WHERE name = 'secret'");
    let never = desk.store(&Kind::Sqlite, "never.db");
    assert!(refused(&["restore", &desk.path("changed")], &never, 1).contains("no secret"));
    assert!(!is_there(&desk.file("never.db")));
    changed(
        "UPDATE fd_meta SET value = 'moved ' || char(27) || '[31mX' || char(10) || 'y' WHERE name = 'state'",
    );
    let odd = desk.store(&Kind::Sqlite, "changed");
    let doctor = run(&["doctor", "--text"], &odd);
    assert!(doctor.out.contains("moved to [31mXy") && !doctor.out.contains('\u{1b}'), "{}", doctor.out);
    assert!(!refused(&["append", "a-1", "A"], &odd, 1).contains('\u{1b}'));
}

#[test]
fn everything_is_said_in_json_when_it_is_asked_for() {
    let desk = Desk::new();
    let store = desk.store(&Kind::Sqlite, "log.db");
    let (saved, other) = (desk.path("saved"), desk.store(&Kind::Sqlite, "other.db"));
    for arguments in [
        vec!["migrate"],
        vec!["migrate", "--status"],
        vec!["version"],
        vec!["config"],
        vec!["append", "a-1", "A"],
        vec!["read"],
        vec!["verify"],
        vec!["doctor"],
        vec!["backup", &saved],
        vec!["copy", "--move", "--from", &store, "--to", &other],
        vec!["copy", "--reopen", "--from", &store],
    ] {
        let arguments: Vec<&str> = arguments.into_iter().chain(["--json"]).collect();
        let said = done(&arguments, &store);
        assert!(!said.is_empty(), "{arguments:?}");
        for line in said.lines() {
            let is_object = serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object());
            assert!(is_object, "{arguments:?}: {line}");
        }
    }
}
