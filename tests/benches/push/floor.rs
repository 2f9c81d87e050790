//! The floor: a broadcaster that knows no log, no filter and no protocol, on one thread. Each connection writes what is new, as much as there is, in pieces.
//!
//! A program of its own, so that what it takes is counted apart. It is told over its standard input what to do, and says when that is done.

use std::cell::RefCell;
use std::io::BufRead as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::wire::GREETING;

/// A piece, about.
const PIECE_BYTES: usize = 16 * 1024;
/// Messages that are made at once in a burst.
const BATCH: u64 = 1_000;

/// What there is, encoded.
type Log = Rc<RefCell<Vec<Bytes>>>;

/// The messages, and their making.
struct Maker {
    log: Log,
    message_bytes: usize,
    bell: watch::Sender<usize>,
}

/// `--floor BYTES`.
pub(crate) fn run() {
    let message_bytes: usize =
        std::env::args().skip_while(|one| one != "--floor").nth(1).unwrap().parse().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, serve(message_bytes, told));
}

async fn serve(message_bytes: usize, mut told: mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    println!("ready on http://{}", listener.local_addr().unwrap());
    let maker = Maker { log: Log::default(), message_bytes, bell: watch::Sender::new(0) };
    let (log, bell) = (Rc::clone(&maker.log), maker.bell.clone());
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::task::spawn_local(follow(stream, Rc::clone(&log), bell.subscribe()));
        }
    });
    while let Some(line) = told.recv().await {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| words[place].parse::<u64>().unwrap();
        let made = match words[0] {
            "steady" => maker.steady(number(1), Duration::from_millis(number(2))).await,
            "burst" => maker.burst(number(1)).await,
            other => panic!("{other}"),
        };
        println!("made {made}");
    }
}

/// One connection: where it is, and what is new behind that.
async fn follow(mut stream: TcpStream, log: Log, mut bell: watch::Receiver<usize>) {
    let (mut next, mut piece) = (log.borrow().len(), Vec::new());
    if stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{GREETING}").as_bytes()).await.is_err() {
        return;
    }
    loop {
        piece.clear();
        for message in &log.borrow()[next..] {
            piece.extend_from_slice(message);
            next += 1;
            if piece.len() >= PIECE_BYTES {
                break;
            }
        }
        let is_over = if piece.is_empty() {
            // It holds nothing while there is nothing.
            piece = Vec::new();
            bell.changed().await.is_err()
        } else {
            stream.write_all(&piece).await.is_err()
        };
        if is_over {
            return;
        }
    }
}

impl Maker {
    fn make(&self, count: u64) {
        let mut log = self.log.borrow_mut();
        for _ in 0..count {
            let begins = format!("id: floor-{:08}\ndata: {{", log.len());
            let fills = "x".repeat(self.message_bytes.saturating_sub(begins.len() + 3));
            log.push(Bytes::from(format!("{begins}{fills}}}\n\n")));
        }
        self.bell.send_replace(log.len());
    }

    async fn steady(&self, rate: u64, time: Duration) -> u64 {
        let (begun, mut made) = (Instant::now(), 0);
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / rate as f64));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while begun.elapsed() < time {
            tick.tick().await;
            self.make(1);
            made += 1;
        }
        made
    }

    async fn burst(&self, events: u64) -> u64 {
        for first in (0..events).step_by(usize::try_from(BATCH).unwrap()) {
            self.make((events - first).min(BATCH));
            tokio::task::yield_now().await;
        }
        events
    }
}
