//! A child that is measured: its processor time, its memory, and the core that it has.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Files that would be enough for everything here.
const FILES: u64 = 65_536;

/// Lets this program, and those that it starts, open as many files as it may.
pub(crate) fn raise_files() {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= FILES) {
        return;
    }
    let enough = Rlimit { current: Some(FILES), maximum: now.maximum.map(|most| most.max(FILES)) };
    if now.maximum.is_none_or(|most| most >= FILES) || setrlimit(Resource::Nofile, enough).is_err() {
        let most = now.maximum.map_or(FILES, |most| most.min(FILES));
        let most = Rlimit { current: Some(most), maximum: now.maximum };
        // If it can't be, there are so many fewer.
        let _ = setrlimit(Resource::Nofile, most);
    }
}

/// Connections that a server here may have: two files each, half of the files less 256, and some for those who ask beside.
pub(crate) fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(FILES);
    usize::try_from((files / 2).saturating_sub(256 + 64)).unwrap()
}

/// Where a child runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// One is its own, so it has one thread that takes requests; this program keeps to the others.
    One,
    All,
}

/// A child, killed when this is dropped.
pub(crate) struct Child {
    process: Process,
    pub(crate) address: SocketAddr,
    /// What this program had before, if a core of it is the child's.
    cores: Option<CpuSet>,
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        if let Some(cores) = &self.cores {
            // Those were its own before.
            let _ = sched_setaffinity(None, cores);
        }
    }
}

impl Child {
    /// The server, on a store in that folder.
    pub(crate) fn server(folder: &Path, limits: &str, cores: Cores) -> Self {
        let binary = std::env::var_os("FLIGHTDECK_BIN")
            .expect("FLIGHTDECK_BIN names the binary: cargo xtask bench push");
        let store = format!("sqlite:{}", folder.join("push.db").display());
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--store", &store]);
        if !limits.is_empty() {
            command.args(["--limits", limits]);
        }
        command.stdin(Stdio::null());
        let (child, stdout) = Self::start(command, cores);
        // It says no more that anybody waits for.
        drop(stdout);
        child
    }

    /// The broadcaster, and how it is told what to do.
    pub(crate) fn floor(message_bytes: usize, cores: Cores) -> (Self, ChildStdin, BufReader<ChildStdout>) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--floor", &message_bytes.to_string()]).stdin(Stdio::piped());
        let (mut child, stdout) = Self::start(command, cores);
        let stdin = child.process.stdin.take().unwrap();
        (child, stdin, stdout)
    }

    fn start(mut command: Command, cores: Cores) -> (Self, BufReader<ChildStdout>) {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let before = (cores == Cores::One).then(give_a_core).flatten();
        let mut process = command.spawn().unwrap();
        if let Some((_, others)) = &before {
            // The child has taken the one over; from now on this program leaves it alone.
            sched_setaffinity(None, others).unwrap();
        }
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains("ready on"), "{line:?}");
        let address = line.trim_end().rsplit("http://").next().unwrap().parse().unwrap();
        (Self { process, address, cores: before.map(|(all, _)| all) }, stdout)
    }

    /// Processor time that it took until now.
    pub(crate) fn cpu(&self) -> Duration {
        let told = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The name may have spaces within.
        let (_, rest) = told.rsplit_once(") ").unwrap();
        let ticks: u64 =
            rest.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    pub(crate) fn resident_kib(&self) -> f64 {
        let told = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = told.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// How often the log was read for those who were not on the ring.
    pub(crate) fn catch_up_reads(&self) -> u64 {
        self.metric("flightdeck_catch_up_reads_total")
    }

    /// One of the server's metrics.
    fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("there is no {name} in {answer:.200}")).trim().parse().unwrap()
    }
}

/// Goes to the first of the cores, for a child to take over: what this program had, and what is left without that. `None` when there is but one.
fn give_a_core() -> Option<(CpuSet, CpuSet)> {
    let all = sched_getaffinity(None).ok()?;
    let first = (0..CpuSet::MAX_CPU).find(|core| all.is_set(*core))?;
    let (mut one, mut others) = (CpuSet::new(), all);
    one.set(first);
    others.unset(first);
    (others.count() > 0 && sched_setaffinity(None, &one).is_ok()).then_some((all, others))
}
