//! Kill points: places where a test stops, breaks or delays the writer. Without the feature `faults` they are nothing.
//!
//! The environment says what happens where: `FLIGHTDECK_FAULT=before-commit:3:kill` at the third time that
//! the writer comes by; `panic` and `stall` (for two seconds) in place of `kill`.

/// The places there are, in the order in which an append comes by them.
#[cfg(feature = "faults")]
pub const POINTS: [&str; 6] =
    ["before-begin", "after-insert", "before-commit", "after-commit", "after-answer", "migration-step"];

/// Comes by a kill point.
macro_rules! kill_point {
    ($name:literal) => {
        #[cfg(feature = "faults")]
        $crate::fault::come_by($name);
    };
}
pub(crate) use kill_point;

/// What the tests may ask for in place of `synchronous=FULL`, to see that they would notice.
pub(crate) fn synchronous() -> &'static str {
    #[cfg(feature = "faults")]
    if std::env::var_os("FLIGHTDECK_FAULT_SYNCHRONOUS").is_some_and(|value| value == "off") {
        return "OFF";
    }
    "FULL"
}

#[cfg(feature = "faults")]
pub(crate) fn come_by(point: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
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
