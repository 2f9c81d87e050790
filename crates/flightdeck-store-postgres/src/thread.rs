//! The thread that all connections of a store live on, and the tasks that work on them.
//!
//! A store is used from whatever runtime its user has, also from several, also from ones that end early. What must
//! go on whatever its callers do has a runtime of its own.

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

/// A runtime of one thread, which goes when the store does.
pub(crate) struct Thread {
    runtime: Option<Runtime>,
    /// What goes on until it is told otherwise.
    tasks: Vec<AbortHandle>,
}

impl Thread {
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("flightdeck-postgres")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime), tasks: Vec::new() })
    }

    /// Where to put what shall live there.
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.runtime.as_ref().map(|runtime| runtime.handle().clone())
    }

    /// Puts a task there that goes on until [`Thread::end_tasks`].
    pub(crate) fn keep(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.extend(self.handle().map(|runtime| runtime.spawn(task).abort_handle()));
    }

    pub(crate) fn end_tasks(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // The last handle may well be dropped within a runtime, where nothing may block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
