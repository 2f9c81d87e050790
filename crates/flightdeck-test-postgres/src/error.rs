//! Why there is no server, told so that whoever reads a failed test knows what to do about it.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::Arc;

/// Why a server could not be started, or started again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StartError {
    /// PostgreSQL's programs are not on this machine.
    NoPrograms,
    /// We are root, PostgreSQL refuses to be, and there is nobody else to run it as.
    NoAccount,
    /// The operating system refused something.
    System {
        /// What was being done.
        doing: &'static str,
        /// What it answered. Shared, because `shared` tells every caller the same.
        source: Arc<io::Error>,
    },
    /// A program ended that should have gone on, or failed.
    Ended {
        /// The last words of its log.
        log: String,
    },
    /// What was waited for did not happen in time.
    Late {
        /// The last words of the log.
        log: String,
    },
}

impl StartError {
    /// For `map_err`: says what was being done when the operating system refused.
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { doing, source: Arc::new(error) }
    }
}

impl Display for StartError {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrograms => out.write_str(
                "postgresql's initdb and postgres are neither on PATH nor in /usr/lib/postgresql/*/bin nor where \
                 pg_config says; on debian, `apt-get install postgresql` brings them",
            ),
            Self::NoAccount => {
                out.write_str("postgresql refuses to run as root, and /etc/passwd has neither postgres nor nobody")
            }
            Self::System { doing, source } => write!(out, "could not {doing}: {source}"),
            Self::Ended { log } => write!(out, "postgresql ended; the last words of its log:\n{log}"),
            Self::Late { log } => write!(out, "postgresql took too long; the last words of its log:\n{log}"),
        }
    }
}

impl Error for StartError {}
