//! The thread that all connections of a store live on, and the tasks that work on them.
//!
//! A store is used from whatever runtime its user has, also from several, also from ones that end early. What must
//! go on whatever its callers do has a runtime of its own.

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of one thread, which goes when the store does.
pub(crate) struct Thread(Option<Runtime>);

impl Thread {
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("flightdeck-postgres")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to put what shall live there.
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // The last handle may well be dropped within a runtime, where nothing may block.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
