//! One server and its folder: how it is started, asked about, broken on purpose, and ended.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::StartError;
use crate::machine::{Account, account, free_port, give, parent_of_folders, programs};

const WATCHDOG: &str = include_str!("watchdog.sh");

/// How long anything may take. Far more than it needs: a machine busy with other tests is not a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to sleep between two looks.
const BLINK: Duration = Duration::from_millis(10);

/// What PostgreSQL says when somebody else was faster to listen on the port.
const PORT_TAKEN: &str = "Address already in use";

/// What it says while something of a killed server is still there. All of these pass.
const STILL_HELD: [&str; 3] =
    ["pre-existing shared memory block", "lock file \"postmaster.pid\" already exists", PORT_TAKEN];

/// What a server should have beyond the usual.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Lines for `postgresql.conf`, as name and value; they win over ours, except over the port.
    pub extra: Vec<(String, String)>,
    /// Files for the data folder, as name and content. They are the server's own and nobody else may read
    /// them, as it demands of the key of a certificate.
    pub files: Vec<(String, String)>,
}

/// A running PostgreSQL server. Dropping it ends the server and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    watchdog: Child,
    folder: PathBuf,
    port: u16,
    /// The number of the watchdog's last order.
    run: AtomicU32,
}

impl Cluster {
    /// Starts a server and waits until it is ready. Its superuser is `flightdeck`, without a password.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or would not start; the error holds the end of its log.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let programs = programs().ok_or(StartError::NoPrograms)?;
        let account = account()?;
        let (watchdog, folder) = spawn_watchdog(&programs, account)?;
        let mut cluster = Self { watchdog, folder, port: 0, run: AtomicU32::new(0) };
        cluster.initialise()?;
        cluster.configure(settings, account).map_err(StartError::system("write the server's settings"))?;
        cluster.launch_on_a_free_port()?;
        Ok(cluster)
    }

    /// Where the server is reached, as `postgres://flightdeck@127.0.0.1:PORT/postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The same for another of its databases, whether that exists or not.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://flightdeck@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1. It stays the same over a [`Cluster::restart`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's folder: its Unix socket, its log, and in `data` all that it stores.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that the server has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder().join("server.log")).unwrap_or_default()).into_owned()
    }

    /// The process id of the running server's main process; `None` when it has ended.
    #[must_use]
    pub fn postmaster_pid(&self) -> Option<u32> {
        if self.ended().is_some() { None } else { self.number("running") }
    }

    /// Kills the server's main process as `kill -9` does, and waits until it is gone. The processes that
    /// serve connections end by themselves a moment later, a busy one once it has finished.
    ///
    /// # Errors
    /// It is still there after a minute.
    pub fn kill_postmaster(&self) -> Result<(), StartError> {
        self.end(Signal::KILL)
    }

    /// Ends the server at once, as after a power cut but with its connections told, and waits until it is gone.
    ///
    /// # Errors
    /// It is still there after a minute.
    pub fn stop_immediate(&self) -> Result<(), StartError> {
        self.end(Signal::QUIT)
    }

    /// Starts the server again, with the same port and data, and waits until it is ready. One that still
    /// runs is ended first, cleanly. After a kill this waits for the old server's processes to be gone.
    ///
    /// # Errors
    /// The server would not start, or what is left of the killed one is still there after a minute.
    pub fn restart(&self) -> Result<(), StartError> {
        self.end(Signal::INT)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.launch() {
                Err(StartError::Ended { log })
                    if STILL_HELD.iter().any(|held| log.contains(held)) && Instant::now() < deadline =>
                {
                    thread::sleep(10 * BLINK);
                }
                outcome => return outcome,
            }
        }
    }

    /// Waits until the server takes connections, for example after a crash of one of its processes.
    ///
    /// # Errors
    /// The server has ended, or is not ready after a minute.
    pub fn wait_ready(&self) -> Result<(), StartError> {
        self.wait_ready_after(0)
    }

    fn wait_ready_after(&self, logged: usize) -> Result<(), StartError> {
        self.wait_until(logged, || match self.ended() {
            Some(_) => Err(StartError::Ended { log: self.last_words(logged) }),
            None => Ok(self.is_ready()),
        })
    }

    /// A fresh server accepts connections before it can serve them, so only its own word counts. The file
    /// it gives it in outlives a killed server, so the word has to be of the one that runs.
    fn is_ready(&self) -> bool {
        let text = fs::read_to_string(self.folder().join("data/postmaster.pid")).unwrap_or_default();
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
        let status = text.lines().nth(7).map(str::trim);
        pid.is_some() && pid == self.postmaster_pid() && matches!(status, Some("ready" | "standby"))
    }

    fn initialise(&self) -> Result<(), StartError> {
        self.order("initdb")?;
        self.wait_until(0, || Ok(self.ended().is_some()))?;
        if self.ended() == Some(0) { Ok(()) } else { Err(StartError::Ended { log: self.last_words(0) }) }
    }

    /// `fsync` stays as it is, on: the product refuses a server without.
    fn configure(&self, settings: &Settings, account: Option<Account>) -> io::Result<()> {
        let mut text = String::from("\n# What the tests want.\n");
        let folder = self.folder().display().to_string();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", folder.as_str()),
            ("max_connections", "200"),
            // A client that connects and says nothing while the server ends holds that up for so long.
            ("authentication_timeout", "10s"),
            // In the data folder rather than in /dev/shm, where a killed server's would stay for ever.
            ("dynamic_shared_memory_type", "mmap"),
        ];
        let extra = settings.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in ours.into_iter().chain(extra) {
            let quoted = value.replace('\\', "\\\\").replace('\'', "''");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name} = '{quoted}'");
        }
        let data = self.folder().join("data");
        File::options().append(true).open(data.join("postgresql.conf"))?.write_all(text.as_bytes())?;
        for (name, content) in &settings.files {
            let path = data.join(name);
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(content.as_bytes())?;
            give(&path, account)?;
        }
        Ok(())
    }

    /// Between our look at a port and the server's taking it, somebody else can.
    fn launch_on_a_free_port(&mut self) -> Result<(), StartError> {
        for _ in 0..10 {
            self.port = free_port().map_err(StartError::system("find a free port"))?;
            match self.launch() {
                Err(StartError::Ended { log }) if log.contains(PORT_TAKEN) => {}
                outcome => return outcome,
            }
        }
        Err(StartError::Ended { log: self.last_words(0) })
    }

    fn launch(&self) -> Result<(), StartError> {
        let logged = self.log().len();
        self.order("start")?;
        self.wait_ready_after(logged)
    }

    fn end(&self, signal: Signal) -> Result<(), StartError> {
        let pid = self.postmaster_pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        // That the process has ended meanwhile is no error: it is what we want.
        let _ = pid.map(|pid| kill_process(pid, signal));
        self.wait_until(0, || Ok(self.ended().is_some()))
    }

    /// Tells the watchdog to start a program.
    fn order(&self, program: &str) -> Result<(), StartError> {
        let run = self.run.fetch_add(1, Ordering::SeqCst) + 1;
        let line = format!("{program} {run} {}\n", self.port);
        let written = match self.watchdog.stdin.as_ref() {
            Some(mut pipe) => pipe.write_all(line.as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(StartError::system("reach the server's watchdog"))
    }

    /// The exit status of the watchdog's last program, once it has ended.
    fn ended(&self) -> Option<u32> {
        self.number("ended")
    }

    /// What the watchdog has noted about its last program.
    fn number(&self, note: &str) -> Option<u32> {
        let name = format!("{note}.{}", self.run.load(Ordering::SeqCst));
        fs::read_to_string(self.folder().join(name)).ok()?.trim().parse().ok()
    }

    fn wait_until(
        &self,
        logged: usize,
        done: impl Fn() -> Result<bool, StartError>,
    ) -> Result<(), StartError> {
        let deadline = Instant::now() + PATIENCE;
        while !done()? {
            if Instant::now() > deadline {
                return Err(StartError::Late { log: self.last_words(logged) });
            }
            thread::sleep(BLINK);
        }
        Ok(())
    }

    /// The last lines that were logged after the given byte.
    fn last_words(&self, logged: usize) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.get(logged..).unwrap_or(&log).lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Closes the watchdog's stdin, too, which is its order to end the server. It gives up by itself.
        let _ = self.watchdog.wait();
        // What a test has put there as root is not the watchdog's to remove.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The watchdog, and the folder that it has created. It is the one to do so because whoever creates the
/// folder has to be there to remove it, and we can be killed at any time.
fn spawn_watchdog(programs: &Path, account: Option<Account>) -> Result<(Child, PathBuf), StartError> {
    let parent =
        parent_of_folders(account).map_err(StartError::system("find a place for temporary files"))?;
    let mut command = Command::new("sh");
    command.args(["-c", WATCHDOG, "flightdeck-test-postgres"]).args([&parent, programs]);
    // A group of its own keeps Ctrl-C away. And the other account need not be able to be where we are.
    command.process_group(0).current_dir("/");
    // None of our files, or else who reads what we print would wait for the watchdog, too.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // In English, because we read what it says; and what says how to reach another server is not for ours.
    command.env("LC_ALL", "C");
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
        command.env_remove(name);
    }
    if let Some((user, group)) = account {
        command.uid(user).gid(group);
    }
    let mut watchdog = command.spawn().map_err(StartError::system("start the server's watchdog"))?;
    let mut answer = Vec::new();
    if let Some(mut stdout) = watchdog.stdout.take() {
        stdout.read_to_end(&mut answer).map_err(StartError::system("hear from the server's watchdog"))?;
    }
    match answer.strip_suffix(b"\n").map(|path| PathBuf::from(OsStr::from_bytes(path))) {
        Some(folder) if folder.is_dir() => Ok((watchdog, folder)),
        _ => {
            let _ = watchdog.wait();
            Err(StartError::Ended { log: String::from_utf8_lossy(&answer).into_owned() })
        }
    }
}
