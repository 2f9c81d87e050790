//! One who never reads, among many who do: what it does to these.

use super::child::{Child, Cores};
use super::crowd::{Crowd, stalled};
use super::latency::{Took, measure};
use super::wire::{DIFFERENT, Transport};
use super::writer::{BATCH, Writer};
use super::{Bench, Wanted, figure, milliseconds, quantile, told};

/// By how much the others may be slower beside it: not at all, but for what two runs differ by anyway.
const SLOWER: f64 = 1.1;

/// How those who read fare.
fn fare(writer: &mut Writer, crowd: &mut Crowd, bench: &Bench, subscribers: usize) -> (f64, Took) {
    let took = measure(writer, crowd, (bench.rate, bench.time, BATCH), subscribers);
    (milliseconds(quantile(&took.from_request, 990)), took)
}

fn by(transport: Transport, bench: &Bench) -> Result<bool, String> {
    let folder = tempfile::tempdir().unwrap();
    let limits = format!("stalled_seconds=3600,connections={}", 2 * bench.subscribers + 64);
    let child = Child::server(folder.path(), &limits, Cores::One);
    let others = (bench.subscribers - 1).max(1);
    let mut writer = Writer::new(child.address);
    let mut crowd = Crowd::open(child.address, transport, others)?;
    // What comes first is slow.
    fare(&mut writer, &mut crowd, bench, others);
    let (without, one) = fare(&mut writer, &mut crowd, bench, others);
    let before = child.resident_kib();
    let held = stalled(child.address, transport, 1)?;
    let (with, other) = fare(&mut writer, &mut crowd, bench, others);
    let after = child.resident_kib();
    // It was there until now.
    drop(held);
    println!(" {}", transport.name());
    told("the others without it, p50", milliseconds(quantile(&one.from_request, 500)), "ms");
    told("the others with it, p50", milliseconds(quantile(&other.from_request, 500)), "ms");
    told("the others without it, p99", without, "ms");
    told("the others with it, p99", with, "ms");
    figure("  of what it is without", with / without, "", Wanted::AtMost(SLOWER));
    told("the server without it", before / 1024.0, "MiB");
    told("the server with it, and the newest events more", after / 1024.0, "MiB");
    let is_whole = one.is_whole && other.is_whole;
    if !is_whole {
        println!("  NOT ALL DELIVERED");
    }
    Ok(is_whole)
}

pub(crate) fn run(bench: &Bench) -> bool {
    println!(
        "One that never reads beside {} who do, {} events/s for {} s, the server on one core",
        (bench.subscribers - 1).max(1),
        bench.rate,
        bench.time.as_secs()
    );
    let mut is_whole = true;
    for transport in bench.of(&DIFFERENT) {
        is_whole &= by(transport, bench).unwrap_or_else(|why| {
            println!(" {}\n  not measured: {why}", transport.name());
            false
        });
    }
    is_whole
}
