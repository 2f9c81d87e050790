//! The HTTP API, as its clients use it: the real binary on both stores, over real connections. (F66–F79)
//! And the example that puts a server of its own together.

mod abuse;
mod admin;
mod analytics;
mod append;
mod cloud_events;
mod contents;
mod deploy;
mod docs;
mod doorway;
mod example;
mod guarded;
mod health;
mod limits;
mod log;
mod odd;
mod presentations;
mod push;
mod secrets;
mod socket;
mod socket_follow;
mod socket_protocol;
mod sockets;
mod stop;
mod streams;
mod tags;
mod things;
mod traces;
mod users;
mod visitors;
mod whatever;
mod who_may;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::doors::flightdeck;
use crate::postgres::Place;

/// On which store a server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Both.
pub(crate) const BOTH: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

/// A server that runs, and a client of it. It is killed when this is dropped.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) store: String,
    pub(crate) client: Client,
    pub(crate) process: Child,
    /// What it said on standard error, when it was waited for.
    folder: tempfile::TempDir,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| {
            panic!("{error}: {} {}", self.status, String::from_utf8_lossy(&self.bytes))
        })
    }

    /// The answer, which must have that status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        let body = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status, status, "{body}");
        self
    }

    /// The problem that was answered, which must be of that kind, told in full and of nothing of our insides.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        let answer = self.is(status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!(problem["type"], format!("/problems/{code}"), "{problem}");
        assert_eq!(problem["status"], status);
        for member in ["title", "detail", "instance"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {problem}");
        }
        let text = problem.to_string();
        for inside in ["sqlite", "rusqlite", "postgres", ".rs", "panicked", "SQL"] {
            assert!(!text.contains(inside), "{text}");
        }
        problem
    }
}

impl Site {
    /// A server on a store of its own.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[])
    }

    /// The same, with arguments more.
    pub(crate) fn start_with(kind: Kind, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = match kind {
            Kind::Sqlite => format!("sqlite:{}", folder.path().join("store.db").display()),
            Kind::Postgres => Place::new().url(),
        };
        Self::run(&store, folder, arguments)
    }

    /// A server on a store that is there already.
    pub(crate) fn on(store: &str) -> Self {
        Self::run(store, tempfile::tempdir().unwrap(), &[])
    }

    /// The same, with arguments more.
    pub(crate) fn on_with(store: &str, arguments: &[&str]) -> Self {
        Self::run(store, tempfile::tempdir().unwrap(), arguments)
    }

    fn run(store: &str, folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let mut command = Command::new(flightdeck());
        command.args(["serve", "--listen", "127.0.0.1:0", "--store", store]).args(arguments);
        command.current_dir(folder.path());
        Self::of(command, store, folder)
    }

    /// A server that this command starts, and that says so in one line.
    fn of(mut command: Command, store: &str, folder: tempfile::TempDir) -> Self {
        let (process, url) = started(&mut command);
        let client = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { url, store: store.to_owned(), client, process, folder }
    }

    /// A request; `path` begins with a slash.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().unwrap();
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request("POST", path).json(body)).await
    }

    /// A request that is made until it is answered with that status: for what may be a moment behind.
    pub(crate) async fn until(&self, path: &str, there: impl Fn(&Answer) -> bool) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.get(path).await;
            if there(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{} {:?}", answer.status, answer.json());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Tells it to stop, and waits until it has: its exit code, and what it said on standard error.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        self.ended()
    }

    fn ended(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap().code(), said)
    }

    /// Kills it, and starts it again on the same store.
    pub(crate) fn kill_and_restart(mut self) -> Self {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let store = self.store.clone();
        drop(self);
        Self::run(&store, folder, &[])
    }
}

/// Starts a server, and waits until it takes requests: the process, and where it is.
pub(crate) fn started(command: &mut Command) -> (Child, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Some((_, url)) = line.trim_end().split_once(" ready on ") else {
        let mut said = String::new();
        process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        panic!("{line:?} {said}");
    };
    (process, url.to_owned())
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, bytes: answer.bytes().await.unwrap().to_vec() }
}

/// Whether an answer has the status of a success.
pub(crate) fn is_success(answer: &Answer) -> bool {
    StatusCode::from_u16(answer.status).is_ok_and(|status| status.is_success())
}
