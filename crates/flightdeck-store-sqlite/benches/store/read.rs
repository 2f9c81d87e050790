//! Reading: all of the log with checksums, and many short streams folded.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use flightdeck_core::Position;
use flightdeck_store::{Append, EventStore as _, LogQuery, NewEvent, StreamQuery};
use rusqlite::{Connection, OpenFlags};

use crate::load::{Filler, runtime};

/// Reads all of the log, beside a bare loop over the same rows that borrows every column and checks nothing.
pub(crate) fn scan(folder: &Path, events: usize) {
    let path = folder.join("scan.db");
    let mut filler = Filler::open(&path);
    filler.fill(events, 1_000.min(events));
    let total = events + 10_000;
    let (mut lean, mut store) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        lean.push(rate(total, || lean_scan(&path)));
        store.push(rate(total, || store_scan(&filler)));
    }
    let mut ratios: Vec<f64> = store.iter().zip(&lean).map(|(store, lean)| store / lean).collect();
    for rates in [&mut lean, &mut store, &mut ratios] {
        rates.sort_by(f64::total_cmp);
    }
    let own = crate::load::data().len() + crate::load::ACTOR.len() + crate::load::CORRELATION.len();
    filler.close();
    let bytes = path.metadata().unwrap().len() as f64 / total as f64;
    println!(
        "read all of {total}: lean scan {:.0}/s, with checksums {:.0}/s, ratio {:.2}",
        lean[2], store[2], ratios[2]
    );
    println!(
        "bytes a stored event: {bytes:.0}, of which its own {own}; allowed {:.0}\n",
        1.15 * own as f64 + 180.0
    );
}

fn rate(events: usize, work: impl FnOnce() -> usize) -> f64 {
    let begin = Instant::now();
    assert_eq!(work(), events);
    events as f64 / begin.elapsed().as_secs_f64()
}

fn lean_scan(path: &Path) -> usize {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = conn.prepare("SELECT * FROM fd_log ORDER BY position").unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            bytes += row.get_ref(column).unwrap().as_bytes_or_null().ok().flatten().map_or(1, <[u8]>::len);
        }
        count += 1;
    }
    assert!(bytes > count);
    count
}

fn store_scan(filler: &Filler) -> usize {
    let store = filler.store.clone();
    runtime().block_on(async {
        let mut query = LogQuery::after(Position::START);
        let mut count = 0;
        loop {
            let page = store.read_log(&query).await.unwrap();
            count += page.events.len();
            match query.next(&page) {
                Some(next) => query = next,
                None => return count,
            }
        }
    })
}

/// Loads streams of 100 events that lie scattered over the log, and folds them, on both cores.
pub(crate) fn fold(folder: &Path, streams: usize) {
    let mut filler = Filler::open(&folder.join(format!("fold-{streams}.db")));
    let names = filler.events.streams()[..streams].to_vec();
    // Each stream has one event already; round by round they get the rest, so that no two of one lie together.
    for _ in 1..100 {
        for names in names.chunks(1_000) {
            let events: Vec<NewEvent> = names.iter().map(|name| filler.events.make(name.clone())).collect();
            filler.append(Append::of(events));
        }
    }
    let (store, names) = (filler.store.clone(), Arc::new(names));
    let loads = 5_000;
    let runtime = runtime();
    let mut rates = Vec::new();
    for _ in 0..3 {
        let next = Arc::new(AtomicUsize::new(0));
        let begin = Instant::now();
        runtime.block_on(async {
            let worker = |_| {
                let (store, names, next) = (store.clone(), Arc::clone(&names), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        if turn >= loads {
                            return;
                        }
                        // A stride, so that neighbours in the list are not read one after the other.
                        let name = names[turn.wrapping_mul(7_919) % names.len()].clone();
                        let page = store.read_stream(&StreamQuery::of(name)).await.unwrap();
                        let folded: usize = page.events.iter().map(|event| event.data_bytes().len()).sum();
                        assert_eq!((page.events.len(), folded > 30_000), (100, true));
                    }
                })
            };
            for worker in (0..4).map(worker).collect::<Vec<_>>() {
                worker.await.unwrap();
            }
        });
        rates.push(loads as f64 / begin.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    println!(
        "{streams} streams of 100 events, folded: {:.0} streams/s, {:.0} events/s",
        rates[1],
        rates[1] * 100.0
    );
    drop(store);
    filler.close();
}
