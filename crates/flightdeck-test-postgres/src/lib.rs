//! A throw-away PostgreSQL server for tests: started in a folder of its own, gone with whoever started it.
//!
//! [`Cluster::start`] gives a test a server of its own, to kill and to start again; [`shared`] gives it one
//! that other tests may be using too. Neither outlives the process that asked for it, not even after
//! `kill -9`: a small shell (`watchdog.sh`) holds the other end of a pipe, and ends the server and removes
//! its folder once that pipe closes.
//!
//! Whoever can reach the port is the server's superuser, so this is for test machines only.

mod cluster;
mod error;
mod machine;

use std::env;
use std::sync::OnceLock;

pub use crate::cluster::{Cluster, Settings};
pub use crate::error::StartError;
pub use crate::machine::programs;

/// The environment variable that names a server to use instead of starting one.
pub const SERVER_VARIABLE: &str = "FLIGHTDECK_TEST_POSTGRES";

/// The URL of a server for tests that just need one: the one that [`SERVER_VARIABLE`] names, else one that
/// is started once for this process and ends with it.
///
/// # Errors
/// The server could not be started. Every later call says the same: the tests that follow fail at once
/// rather than each after its own wait.
pub fn shared() -> Result<String, StartError> {
    // A static is never dropped: what ends this server is its watchdog, when the process ends.
    static SERVER: OnceLock<Result<Cluster, StartError>> = OnceLock::new();
    match env::var(SERVER_VARIABLE) {
        Ok(url) if !url.is_empty() => Ok(url),
        _ => match SERVER.get_or_init(|| Cluster::start(&Settings::default())) {
            Ok(cluster) => Ok(cluster.url()),
            Err(error) => Err(error.clone()),
        },
    }
}
