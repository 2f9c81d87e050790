//! What the tests of the project rely on: a server that is there, that can be broken, and that always goes.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use flightdeck_test_postgres::{Cluster, SERVER_VARIABLE, Settings, programs, shared};
use rustix::process::{Pid, Signal, getuid, kill_process, kill_process_group};
use tempfile::TempDir;

fn start() -> Cluster {
    Cluster::start(&Settings::default()).unwrap()
}

/// What psql answers, with an error's text for an answer, too: bounded by its timeouts.
fn ask(url: &str, sql: &str) -> String {
    let mut psql = Command::new(programs().unwrap().join("psql"));
    psql.env("PGCONNECT_TIMEOUT", "20").env("PGOPTIONS", "-c statement_timeout=20s");
    let output = psql.args(["-X", "-At", "-c", sql, url]).output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8(text).unwrap().trim().to_owned()
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so after 30 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().unwrap()).unwrap()
}

/// All processes that mention the folder, as their command line or as where they work.
fn processes_of(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let about = |process: &Path| {
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        let place = fs::read_link(process.join("cwd")).unwrap_or_default();
        format!("{} in {}", String::from_utf8_lossy(&command).replace('\0', " "), place.display())
    };
    entries.map(|process| about(&process)).filter(|text| text.contains(folder.to_str().unwrap())).collect()
}

fn assert_nothing_left(folder: &Path, port: u16) {
    assert!(!folder.exists());
    assert!(!answers(port));
    assert_eq!(processes_of(folder), Vec::<String>::new());
}

#[test]
fn a_fresh_server_answers_and_keeps_what_it_promises() {
    let cluster = start();
    let url = cluster.url();
    assert_eq!(url, format!("postgres://flightdeck@127.0.0.1:{}/postgres", cluster.port()));
    assert!((15_000..32_000).contains(&cluster.port()));
    cluster.wait_ready().unwrap();
    assert_eq!(ask(&url, "select 1"), "1");
    for (name, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("max_connections", "200"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(ask(&url, &format!("show {name}")), value, "{name}");
    }
    assert_eq!(ask(&url, "show listen_addresses"), "127.0.0.1");
    assert_eq!(ask(&url, "show unix_socket_directories"), cluster.folder().to_str().unwrap());
    ask(&url, "create database another");
    assert_eq!(ask(&cluster.url_of("another"), "select current_database()"), "another");
    assert!(cluster.log().contains("database system is ready to accept connections"), "{}", cluster.log());
}

#[test]
fn two_at_once_do_not_get_in_each_others_way() {
    let (one, two) = thread::scope(|scope| {
        let other = scope.spawn(start);
        (start(), other.join().unwrap())
    });
    assert_ne!(one.port(), two.port());
    assert_ne!(one.folder(), two.folder());
    let directory = |cluster: &Cluster| ask(&cluster.url(), "show data_directory");
    assert_eq!(directory(&one), one.folder().join("data").to_str().unwrap());
    assert_eq!(directory(&two), two.folder().join("data").to_str().unwrap());
}

#[test]
fn it_does_not_run_as_root() {
    let cluster = start();
    let status = fs::read_to_string(format!("/proc/{}/status", cluster.postmaster_pid().unwrap())).unwrap();
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        found.split_whitespace().map(|number| number.parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    assert!(line("Uid:").iter().all(|&user| user != 0), "{status}");
    if getuid().is_root() {
        assert!(line("Gid:").iter().all(|&group| group != 0), "{status}");
        assert!(line("Groups:").iter().all(|&group| group != 0), "{status}");
    } else {
        assert!(line("Uid:").iter().all(|&user| user == getuid().as_raw()), "{status}");
    }
}

#[test]
fn settings_and_files_reach_the_server() {
    let settings = Settings {
        extra: vec![
            ("application_name".into(), r"it's a \ name".into()),
            ("max_connections".into(), "17".into()),
        ],
        files: vec![("note.txt".into(), "for the server".into())],
    };
    let cluster = Cluster::start(&settings).unwrap();
    assert_eq!(ask(&cluster.url(), "select reset_val from pg_settings where name = 'max_connections'"), "17");
    let name = "select reset_val from pg_settings where name = 'application_name'";
    assert_eq!(ask(&format!("{}?application_name=", cluster.url()), name), r"it's a \ name");
    assert_eq!(ask(&cluster.url(), "select pg_read_file('note.txt')"), "for the server");
    let mode = fs::metadata(cluster.folder().join("data/note.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_server_that_cannot_start_says_why_and_leaves_nothing() {
    let place = TempDir::new().unwrap();
    let note = place.path().join("unheard-of").to_str().unwrap().to_owned();
    let settings = Settings { extra: vec![(note.clone(), "1".into())], files: Vec::new() };
    let error = Cluster::start(&settings).unwrap_err().to_string();
    assert!(error.contains("syntax error") && error.contains("postgresql.conf"), "{error}");
    let folder = Path::new(error.split_once("file \"").unwrap().1.split_once("/data/").unwrap().0);
    assert!(folder.is_absolute(), "{error}");
    assert_nothing_left(folder, 1);
}

#[test]
fn dropping_it_removes_server_and_folder() {
    let cluster = start();
    let (folder, port) = (cluster.folder().to_owned(), cluster.port());
    assert!(processes_of(&folder).len() > 3);
    // A client that stays must not keep it: a clean end does not wait for clients.
    let url = cluster.url();
    let client = thread::spawn(move || ask(&url, "select pg_sleep(15)"));
    eventually("the client is being served", || {
        ask(&cluster.url(), "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
    });
    let before = Instant::now();
    drop(cluster);
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    assert_nothing_left(&folder, port);
    assert!(client.join().unwrap().contains("terminating connection due to administrator command"));
}

/// PostgreSQL (15, at least) does not signal a process that it starts for such a client, only waits for it.
#[test]
fn a_client_that_connects_while_it_ends_and_says_nothing_does_not_keep_it() {
    let cluster = start();
    let postmaster = pid(cluster.postmaster_pid().unwrap());
    // Stopped, it finds the order to end and the client at the same time.
    kill_process(postmaster, Signal::STOP).unwrap();
    let client = TcpStream::connect(("127.0.0.1", cluster.port())).unwrap();
    let waker = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        kill_process(postmaster, Signal::CONT).unwrap();
    });
    let before = Instant::now();
    cluster.restart().unwrap();
    let took = before.elapsed();
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert!(cluster.log().contains("database system is shut down"), "{took:?}: {}", cluster.log());
    waker.join().unwrap();
    drop(client);
}

#[test]
fn a_killed_server_starts_again_with_its_data() {
    let cluster = start();
    let url = cluster.url();
    assert_eq!(ask(&url, "create table kept as select 42 as n"), "SELECT 1");
    let (first, port) = (cluster.postmaster_pid().unwrap(), cluster.port());
    cluster.kill_postmaster().unwrap();
    assert_eq!(cluster.postmaster_pid(), None);
    assert!(!answers(port));
    assert!(cluster.wait_ready().is_err(), "a killed server's file still says that it is ready");
    // What is left of the killed one is for the next start to clean up; a second kill changes nothing.
    cluster.kill_postmaster().unwrap();

    cluster.restart().unwrap();
    assert_ne!(cluster.postmaster_pid().unwrap(), first);
    assert_eq!((cluster.port(), ask(&url, "select n from kept")), (port, "42".into()));
    assert!(cluster.log().contains("automatic recovery in progress"), "{}", cluster.log());

    cluster.stop_immediate().unwrap();
    assert_eq!(cluster.postmaster_pid(), None);
    cluster.restart().unwrap();
    assert_eq!(ask(&url, "select n from kept"), "42");
    // One that runs is ended cleanly first.
    let second = cluster.postmaster_pid().unwrap();
    cluster.restart().unwrap();
    assert_ne!(cluster.postmaster_pid().unwrap(), second);
    assert_eq!(ask(&url, "select n from kept"), "42");
}

/// A stopped process stands for one that is too busy to notice that its server was killed.
#[test]
fn starting_again_waits_for_what_is_left_of_a_killed_server() {
    let cluster = start();
    let backend: u32 =
        ask(&cluster.url(), "select pid from pg_stat_activity where backend_type = 'checkpointer'")
            .parse()
            .unwrap();
    kill_process(pid(backend), Signal::STOP).unwrap();
    cluster.kill_postmaster().unwrap();
    let wait = Duration::from_secs(2);
    let waker = thread::spawn(move || {
        thread::sleep(wait);
        kill_process(pid(backend), Signal::CONT).unwrap();
    });
    let before = Instant::now();
    cluster.restart().unwrap();
    assert!(before.elapsed() >= wait);
    waker.join().unwrap();
    assert!(cluster.log().contains("pre-existing shared memory block"), "{}", cluster.log());
    assert_eq!(ask(&cluster.url(), "select 1"), "1");
}

#[test]
fn starting_again_waits_for_its_port() {
    let cluster = start();
    cluster.stop_immediate().unwrap();
    let squatter = TcpListener::bind(("127.0.0.1", cluster.port())).unwrap();
    let wait = Duration::from_secs(2);
    let waker = thread::spawn(move || {
        thread::sleep(wait);
        drop(squatter);
    });
    let before = Instant::now();
    cluster.restart().unwrap();
    assert!(before.elapsed() >= wait);
    waker.join().unwrap();
    assert_eq!(ask(&cluster.url(), "select 1"), "1");
}

#[test]
fn dropping_a_killed_server_leaves_nothing_either() {
    let cluster = start();
    let (folder, port) = (cluster.folder().to_owned(), cluster.port());
    let backend: u32 =
        ask(&cluster.url(), "select pid from pg_stat_activity where backend_type = 'walwriter'")
            .parse()
            .unwrap();
    let note = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let segment = note.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    let segments = || {
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        table.lines().filter_map(|line| Some(line.split_whitespace().nth(1)?.to_owned())).collect::<Vec<_>>()
    };
    assert!(segments().contains(&segment));
    kill_process(pid(backend), Signal::STOP).unwrap();
    cluster.kill_postmaster().unwrap();
    drop(cluster);
    eventually("the killed server's last process is gone", || processes_of(&folder).is_empty());
    assert_nothing_left(&folder, port);
    assert!(!segments().contains(&segment));
}

#[test]
fn those_who_share_get_one_server() {
    let first = shared().unwrap();
    assert_eq!(shared().unwrap(), first);
    assert_eq!(ask(&first, "select 1"), "1");
}

/// The program in a group of its own, as a shell starts it, with its folder in a place we can look into.
struct Program {
    child: Child,
    place: TempDir,
}

impl Program {
    fn start() -> Self {
        let place = TempDir::new().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o1777)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_flightdeck-test-postgres"));
        command.env("TMPDIR", place.path()).env_remove(SERVER_VARIABLE).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), place }
    }

    /// The port from the one line that it prints.
    fn port(&mut self) -> u16 {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port =
            line.strip_prefix("postgres://flightdeck@127.0.0.1:").and_then(|rest| rest.split('/').next());
        port.unwrap_or_else(|| panic!("not a url: {line:?}")).parse().unwrap()
    }

    fn pid(&self) -> Pid {
        pid(self.child.id())
    }

    fn folders(&self) -> usize {
        fs::read_dir(self.place.path()).unwrap().count()
    }

    fn assert_all_goes(&self) {
        eventually("the folder is gone", || self.folders() == 0);
        eventually("the processes are gone", || processes_of(self.place.path()).is_empty());
    }
}

#[test]
fn the_program_ends_cleanly_with_its_stdin() {
    let mut program = Program::start();
    let port = program.port();
    assert_eq!(ask(&format!("postgres://flightdeck@127.0.0.1:{port}/postgres"), "select 1"), "1");
    assert_eq!(program.folders(), 1);
    drop(program.child.stdin.take());
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
    // Not eventually: whoever waited for the program may rely on it.
    assert_eq!(program.folders(), 0);
    assert!(!answers(port));
    assert_eq!(processes_of(program.place.path()), Vec::<String>::new());
}

#[test]
fn killing_the_program_ends_its_server() {
    let mut program = Program::start();
    let port = program.port();
    kill_process(program.pid(), Signal::KILL).unwrap();
    program.child.wait().unwrap();
    program.assert_all_goes();
    assert!(!answers(port));
}

#[test]
fn ctrl_c_and_the_like_end_its_server() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let mut program = Program::start();
        let port = program.port();
        kill_process_group(program.pid(), signal).unwrap();
        program.child.wait().unwrap();
        program.assert_all_goes();
        assert!(!answers(port), "{signal:?}");
    }
}

/// Whatever it was doing: from creating the folder through initdb to the first connection.
#[test]
fn killing_the_program_while_it_starts_leaves_nothing() {
    for delay in [3, 40, 150, 400, 700, 1_000, 1_300] {
        let mut program = Program::start();
        thread::sleep(Duration::from_millis(delay));
        kill_process(program.pid(), Signal::KILL).unwrap();
        program.child.wait().unwrap();
        program.assert_all_goes();
    }
}
