//! A drought: a filter that nothing passes over a long log. What was looked at once is not looked at again by whoever comes with the last number.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::child::{Child, Cores};
use super::writer::Writer;
use super::{Bench, Wanted, figure, told};

/// A checkpoint comes after so many events at the latest; a page has so many.
const CHECKPOINT: u64 = 10_000;
const PAGE: u64 = 512;
const PATIENCE: Duration = Duration::from_secs(600);

/// What one who follows until it has caught up was told.
struct Followed {
    /// The number before the last: of a checkpoint, if there was one.
    checkpoint: Option<String>,
    /// The number with which it had caught up.
    head: String,
    checkpoints: u64,
    /// Reads of the log meanwhile.
    reads: u64,
    took: Duration,
}

/// Follows behind a number, or from the beginning, with a server that remembers nothing of those before.
fn follow(folder: &Path, last: Option<&str>) -> Followed {
    let child = Child::server(folder, "", Cores::All);
    let mut stream = TcpStream::connect(child.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let last = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
    let request = format!(
        "GET /api/events?streams=nothing-* HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n{last}\r\n",
        child.address
    );
    let begun = Instant::now();
    stream.write_all(request.as_bytes()).unwrap();
    let (mut name, mut checkpoint, mut checkpoints) = (String::new(), None, 0);
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let status = lines.next().unwrap();
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    // Chunks begin and end between these lines.
    for line in lines {
        assert!(!line.starts_with("data: {"), "something passed, or the server gave up: {name} {line}");
        if let Some(new) = line.strip_prefix("event: ") {
            new.clone_into(&mut name);
        }
        let Some(id) = line.strip_prefix("id: ") else { continue };
        if name == "caught-up" {
            let (took, head) = (begun.elapsed(), id.to_owned());
            return Followed { checkpoint, head, checkpoints, reads: child.catch_up_reads(), took };
        }
        (checkpoint, checkpoints) = (Some(id.to_owned()), checkpoints + 1);
    }
    panic!("the server has closed the connection before it had caught up");
}

pub(crate) fn run(bench: &Bench) -> bool {
    println!("A drought: a filter that nothing of {} events passes", bench.drought_events);
    let folder = tempfile::tempdir().unwrap();
    {
        let child = Child::server(folder.path(), "", Cores::All);
        let begun = Instant::now();
        Writer::new(child.address).burst(bench.drought_events);
        told("appended", bench.drought_events as f64 / begun.elapsed().as_secs_f64(), "events/s");
    }
    let reads_max = Wanted::AtMost((CHECKPOINT.div_ceil(PAGE) + 1) as f64);
    let first = follow(folder.path(), None);
    told("the first time: reads", first.reads as f64, "");
    told("  until it had caught up", first.took.as_secs_f64(), "s");
    told("  checkpoints", first.checkpoints as f64, "");
    let again = follow(folder.path(), Some(&first.head));
    figure("again with the last number: reads", again.reads as f64, "", reads_max);
    let Some(checkpoint) = &first.checkpoint else {
        // So few events were asked for that none was due.
        return first.head == again.head;
    };
    let cut = follow(folder.path(), Some(checkpoint));
    figure("cut off just before, with the last checkpoint: reads", cut.reads as f64, "", reads_max);
    told("  until it had caught up", cut.took.as_secs_f64(), "s");
    first.head == again.head && first.head == cut.head
}
