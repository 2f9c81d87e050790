//! Kill points: places where a test stops, breaks or delays a store. Only there with the feature `faults`, for tests of stores.
//!
//! The environment says what happens where: `FLIGHTDECK_FAULT=before-commit:3:kill` at the third time that
//! the store comes by; `panic` and `stall` (for two seconds) in place of `kill`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Comes by the kill point of that name.
///
/// # Panics
/// When the environment asks for it.
pub fn come_by(point: &str) {
    static PLAN: OnceLock<Option<(String, u32, String)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let plan = PLAN.get_or_init(|| {
        let plan = std::env::var("FLIGHTDECK_FAULT").ok()?;
        let mut parts = plan.split(':').map(str::to_owned);
        Some((parts.next()?, parts.next()?.parse().ok()?, parts.next()?))
    });
    let Some((planned, at, action)) = plan else {
        return;
    };
    if planned != point || PASSED.fetch_add(1, Ordering::SeqCst) + 1 != *at {
        return;
    }
    eprintln!("fault: {action} at {point}");
    match action.as_str() {
        "kill" => {
            // A process can't block this signal, and nothing of ours runs behind it.
            let me = rustix::process::getpid();
            let _sent = rustix::process::kill_process(me, rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
        "panic" => panic!("fault: panic at {point}"),
        "stall" => std::thread::sleep(std::time::Duration::from_secs(2)),
        other => eprintln!("fault: no such action: {other}"),
    }
}
