//! Memory: what a connection takes that does nothing, and one that never reads while much goes by.

use std::time::Duration;

use super::child::{Child, Cores, connections_max};
use super::crowd::{Crowd, stalled};
use super::wire::{DIFFERENT, Transport};
use super::writer::{BATCH, Writer};
use super::{Bench, Wanted, figure, told};

/// After so long what a server holds is what it goes on to hold.
const REST: Duration = Duration::from_secs(2);
/// How long the last event may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// So that those who stall are not cut off, and the ring, which is full in the one and the other, is small beside them.
const STALLED_LIMITS: &str = "stalled_seconds=3600,ring_bytes=8388608";

/// KiB of a connection that does nothing, and what there was before the first.
fn idle(transport: Transport, count: usize) -> Result<(f64, f64), String> {
    let folder = tempfile::tempdir().unwrap();
    // Not dropped before the child is.
    let mut pipes = None;
    let child = if transport == Transport::Raw {
        let (child, stdin, stdout) = Child::floor(400, Cores::One);
        pipes = Some((stdin, stdout));
        child
    } else {
        // Of what is asked for as many as there can be are had.
        Child::server(folder.path(), &format!("connections={}", connections_max() + 64), Cores::One)
    };
    std::thread::sleep(REST);
    let before = child.resident_kib();
    let mut crowd = Crowd::open(child.address, transport, count)?;
    crowd.wait(REST);
    let after = child.resident_kib();
    drop((child, pipes));
    Ok(((after - before) / count as f64, before))
}

/// What a server holds after so many events have gone by, with so many who never read beside one who does. In KiB.
fn beside(transport: Transport, count: usize, bench: &Bench) -> Result<f64, String> {
    let folder = tempfile::tempdir().unwrap();
    let child = Child::server(folder.path(), STALLED_LIMITS, Cores::One);
    let mut crowd = Crowd::open(child.address, transport, 1)?;
    let held = stalled(child.address, transport, count)?;
    let mut writer = Writer::new(child.address);
    let (bytes, mut appended) = (bench.stalled_mib << 20, 0);
    while crowd.bytes < bytes {
        writer.append(BATCH);
        appended += BATCH;
        if !crowd.until(appended, PATIENCE) {
            return Err(format!("one who reads has {} of {appended} events", crowd.events));
        }
    }
    crowd.wait(REST);
    let resident = child.resident_kib();
    // They were there until now.
    drop(held);
    Ok(resident)
}

fn stalls(transport: Transport, bench: &Bench) -> Result<(), String> {
    let (mut without, mut with) = (0.0, 0.0);
    // In turns; what a server holds anyway is not always the same.
    const ROUNDS: usize = 2;
    for _ in 0..ROUNDS {
        without += beside(transport, 0, bench)? / ROUNDS as f64;
        with += beside(transport, bench.stalled_clients, bench)? / ROUNDS as f64;
    }
    let each = (with - without) / bench.stalled_clients as f64;
    figure("a stalled connection", each, "KiB", Wanted::AtMost(64.0));
    told("  the server without any", without / 1024.0, "MiB");
    told("  with all of them", with / 1024.0, "MiB");
    Ok(())
}

pub(crate) fn run(bench: &Bench) -> bool {
    let count = bench.idle.min(connections_max());
    println!(
        "Memory: {count} connections that do nothing; {} that never read while {} MiB of events go by",
        bench.stalled_clients, bench.stalled_mib
    );
    if count < bench.idle {
        println!("  ({} were asked for: this process may not open the files for more)", bench.idle);
    }
    let (floor, _) = idle(Transport::Raw, count).unwrap();
    println!(" {}", Transport::Raw.name());
    told("an idle connection", floor, "KiB");
    let mut is_whole = true;
    for transport in bench.of(&DIFFERENT) {
        println!(" {}", transport.name());
        let one = idle(transport, count).and_then(|(each, before)| {
            figure("an idle connection", each, "KiB", Wanted::AtMost(16.0));
            told("  beyond the floor's", each - floor, "KiB");
            figure("the server before the first", before / 1024.0, "MiB", Wanted::AtMost(40.0));
            stalls(transport, bench)
        });
        if let Err(why) = one {
            println!("  not measured: {why}");
            is_whole = false;
        }
    }
    is_whole
}
