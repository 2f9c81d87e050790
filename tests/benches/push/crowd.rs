//! Those who follow: many sockets that one thread reads, and counts what comes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::time::Timespec;

use super::wire::{Counter, Transport};

/// So many connections come from one address: each is a port of its own.
const PORTS: usize = 20_000;
/// How long somebody waits to be let in.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, from an address that has ports left. What it takes in without being read is small when `narrow`.
fn connected(address: SocketAddr, number: usize, narrow: bool) -> TcpStream {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .unwrap();
    if narrow {
        // Before it connects, for it is then that the other end is told.
        set_socket_recv_buffer_size(&socket, 32 * 1024).unwrap();
    }
    if number >= PORTS {
        let from = Ipv4Addr::new(127, 0, 0, u8::try_from(1 + number / PORTS).unwrap());
        rustix::net::bind(&socket, &SocketAddrV4::new(from, 0)).unwrap();
    }
    rustix::net::connect(&socket, &address).unwrap();
    set_tcp_nodelay(&socket, true).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Where something stands in bytes.
fn place(of: &[u8], what: &[u8]) -> Option<usize> {
    of.windows(what.len()).position(|some| some == what)
}

/// Lets a connection follow: what has come behind the answer's head.
fn follows(stream: &mut TcpStream, transport: Transport, host: &str) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("the handshake failed: {error}");
    if let Some(request) = transport.request(host) {
        stream.write_all(request.as_bytes()).map_err(failed)?;
    }
    let (mut has, mut head, mut piece) = (Vec::new(), None, [0; 4096]);
    loop {
        if head.is_none()
            && let Some(end) = place(&has, b"\r\n\r\n")
        {
            let first = String::from_utf8_lossy(&has[..end]).lines().next().unwrap_or_default().to_owned();
            if first.split(' ').nth(1) != Some(transport.status()) {
                return Err(format!("the handshake was refused: {first}"));
            }
            head = Some(end + 4);
            if let Some(subscribe) = transport.subscribe() {
                stream.write_all(&subscribe).map_err(failed)?;
            }
        }
        if let Some(head) = head
            && transport.ready().is_none_or(|ready| place(&has[head..], ready.as_bytes()).is_some())
        {
            return Ok(has.split_off(head));
        }
        match stream.read(&mut piece) {
            Ok(0) => return Err("the server has closed the connection in the handshake".to_owned()),
            Ok(more) => has.extend_from_slice(&piece[..more]),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Those who follow and never read, for as long as they are held.
pub(crate) fn stalled(
    address: SocketAddr,
    transport: Transport,
    count: usize,
) -> Result<Vec<TcpStream>, String> {
    let host = address.to_string();
    let one = |number| {
        let mut stream = connected(address, number, true);
        follows(&mut stream, transport, &host).map(|_| stream)
    };
    (0..count).map(one).collect()
}

/// One who follows.
struct One {
    stream: TcpStream,
    counter: Counter,
    events: u64,
    /// When each event came, if that is noted.
    came: Vec<Instant>,
}

/// All of them.
pub(crate) struct Crowd {
    epoll: OwnedFd,
    all: Vec<One>,
    notes: bool,
    buffer: Vec<u8>,
    ready: Vec<Event>,
    /// Events that came, of all together.
    pub(crate) events: u64,
    /// And bytes.
    pub(crate) bytes: u64,
}

impl Crowd {
    fn empty() -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let (buffer, ready) = (vec![0; 64 * 1024], Vec::with_capacity(1024));
        Self { epoll, all: Vec::new(), notes: false, buffer, ready, events: 0, bytes: 0 }
    }

    /// So many who follow behind the head, one let in after the other.
    ///
    /// # Errors
    /// How the first of them was refused.
    pub(crate) fn open(address: SocketAddr, transport: Transport, count: usize) -> Result<Self, String> {
        let (mut crowd, host) = (Self::empty(), address.to_string());
        for number in 0..count {
            let mut stream = connected(address, number, false);
            let has = follows(&mut stream, transport, &host)?;
            crowd.enter(stream, Counter::new(transport), &has);
            if number % 64 == 63 {
                // Those who are in are heard and answered meanwhile.
                crowd.poll(Duration::ZERO);
            }
        }
        Ok(crowd)
    }

    /// Those who connect and ask at once, each for itself, for Server-Sent Events. Nobody is waited for, and nothing is read before all have asked.
    pub(crate) fn at_once(address: SocketAddr, requests: &[String]) -> Self {
        let mut crowd = Self::empty();
        for (number, request) in requests.iter().enumerate() {
            let mut stream = connected(address, number, false);
            stream.write_all(request.as_bytes()).unwrap();
            crowd.enter(stream, Counter::new(Transport::Sse), &[]);
        }
        crowd
    }

    fn enter(&mut self, stream: TcpStream, mut counter: Counter, has: &[u8]) {
        // What came before is no event: it follows behind the head.
        let events = counter.take_in(has);
        stream.set_nonblocking(true).unwrap();
        let number = EventData::new_u64(self.all.len() as u64);
        epoll::add(&self.epoll, &stream, number, EventFlags::IN).unwrap();
        self.all.push(One { stream, counter, events, came: Vec::new() });
        self.events += events;
    }

    /// From now on it is noted when each event comes, of those that come now.
    pub(crate) fn note(&mut self) {
        self.notes = true;
        self.forget();
    }

    /// Counts anew.
    pub(crate) fn forget(&mut self) {
        (self.events, self.bytes) = (0, 0);
        for one in &mut self.all {
            one.events = 0;
            one.came.clear();
        }
    }

    /// When each event came, for each who follows.
    pub(crate) fn came(&self) -> impl Iterator<Item = &[Instant]> {
        self.all.iter().map(|one| one.came.as_slice())
    }

    /// Whether everybody has so many events, and not one more.
    pub(crate) fn each_has(&self, events: u64) -> bool {
        self.all.iter().all(|one| one.events == events)
    }

    /// Reads what there is, or waits for it so long.
    pub(crate) fn poll(&mut self, wait: Duration) {
        let wait = Timespec::try_from(wait).unwrap();
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
        for event in &ready {
            let number = usize::try_from({ event.data }.u64()).unwrap();
            self.read(number);
        }
        self.ready = ready;
    }

    fn read(&mut self, number: usize) {
        let one = &mut self.all[number];
        let more = match one.stream.read(&mut self.buffer) {
            Ok(0) => panic!("the server has cut off one who follows, after {} events", one.events),
            Ok(more) => more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        };
        let events = one.counter.take_in(&self.buffer[..more]);
        if self.notes && events > 0 {
            let now = Instant::now();
            one.came.extend((0..events).map(|_| now));
        }
        one.events += events;
        self.events += events;
        self.bytes += more as u64;
        if let Some(reply) = one.counter.reply() {
            // A few bytes, for which there is room.
            one.stream.write_all(&reply).unwrap();
        }
    }

    /// Reads for so long.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.poll(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(20)));
        }
    }

    /// Reads until so many events have come to all together, at the most for so long: whether they have.
    pub(crate) fn until(&mut self, events: u64, time: Duration) -> bool {
        let until = Instant::now() + time;
        while self.events < events && Instant::now() < until {
            self.poll(Duration::from_millis(20));
        }
        self.events >= events
    }
}
