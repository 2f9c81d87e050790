//! temporary
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use flightdeck_store_contract::{rules, saboteur::{Sabotage, Saboteur}, Broken};
#[test]
fn matrix() {
    std::panic::set_hook(Box::new(|_| {}));
    let heavy = ["condition::refuses_a_stale_decision", "log::looks_only_so_far_for_one_page", "tag::is_found_however_long_ago"];
    let next = AtomicUsize::new(0);
    let out = Mutex::new(String::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| loop {
                let n = next.fetch_add(1, Ordering::SeqCst);
                let Some(sab) = Sabotage::ALL.get(n) else { return };
                let mut line = format!("{sab:?}:");
                for rule in rules() {
                    if heavy.contains(&rule.name) && std::env::var("HEAVY").is_err() { continue; }
                    let t = Instant::now();
                    match rule.run(Saboteur::of(*sab), Duration::from_millis(1500)) {
                        Ok(()) => {}
                        Err(Broken::Panicked(_)) => { line += &format!(" {}", rule.name); if t.elapsed() > Duration::from_millis(500) { line += "(slow)"; } }
                        Err(Broken::TookTooLong) => line += &format!(" {}(hang)", rule.name),
                    }
                }
                line.push('\n');
                out.lock().unwrap().push_str(&line);
                std::fs::write("/tmp/matrix.txt", &*out.lock().unwrap()).unwrap();
            });
        }
    });
}
