//! A storm: thousands who were cut off come again at once, near to one another and far behind the head. The log is read once for all.

use std::time::{Duration, Instant};

use super::child::{Child, Cores};
use super::crowd::Crowd;
use super::writer::Writer;
use super::{Bench, Wanted, figure, told};

/// As small as the ring may be, so that the log has to be read.
const LIMITS: &str = "ring_bytes=65536";
/// Reads of the log, of as many events as these are behind the head when it is 20,000.
const READS_MAX: f64 = 50.0;
const BEHIND: f64 = 20_000.0;
/// Events before those, so that nobody begins at the beginning.
const BEFORE: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(bench: &Bench) -> bool {
    let Bench { storm_clients, behind, near, .. } = *bench;
    println!("A storm: {storm_clients} come again at once over SSE, about {behind} events behind the head");
    let folder = tempfile::tempdir().unwrap();
    let limits = format!("{LIMITS},connections={}", 2 * storm_clients + 64);
    let child = Child::server(folder.path(), &limits, Cores::All);
    let mut writer = Writer::new(child.address);
    writer.burst(BEFORE + near + behind);
    let (epoch, head) = writer.cursor();
    let first = head - behind - near;
    let after: Vec<u64> = (0..storm_clients as u64).map(|number| first + number % near.max(1)).collect();
    let wanted: u64 = after.iter().map(|after| head - after).sum();
    let requests = after.iter().map(|after| {
        format!(
            "GET /api/events HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\nLast-Event-ID: {epoch}-{after}\r\n\r\n",
            child.address
        )
    });
    let requests: Vec<String> = requests.collect();
    let (reads, cpu) = (child.catch_up_reads(), child.cpu());
    let begun = Instant::now();
    let mut crowd = Crowd::at_once(child.address, &requests);
    let asked = begun.elapsed();
    let came = crowd.until(wanted, PATIENCE);
    let (took, cpu) = (begun.elapsed(), child.cpu() - cpu);
    let reads = (child.catch_up_reads() - reads) as f64;
    let reads_max = READS_MAX * (behind as f64 / BEHIND).max(0.1);
    figure("reads of the log", reads, "", Wanted::AtMost(reads_max));
    told("  on average for each of them", reads / storm_clients as f64, "");
    told("until all had asked", asked.as_secs_f64(), "s");
    told("until all had caught up", took.as_secs_f64(), "s");
    told("  events in all", crowd.events as f64, "");
    told("  a second", crowd.events as f64 / took.as_secs_f64(), "/s");
    told("  by the second of processor time", crowd.events as f64 / cpu.as_secs_f64().max(0.01), "/CPU s");
    if !came || crowd.events != wanted {
        println!("  NOT ALL DELIVERED: {} of {wanted}", crowd.events);
    }
    came && crowd.events == wanted
}
