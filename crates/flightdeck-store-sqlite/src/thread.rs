//! The thread around the writer: it owns the connection and the lock, and sees to it that a writer that
//! breaks is never mistaken for one that works.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use flightdeck_core::{Clock, Epoch, Position};
use flightdeck_store::{AppendError, Groups, Newest, Reason};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{mpsc, watch};

use crate::inline::InlineViews;
use crate::ledger::Ledger;
use crate::lock::Lock;
use crate::options::Reserve;
use crate::wal::{self, Copier};
use crate::writer::{Job, Next, ViewJobs, Writer};

/// What the thread takes with it.
pub(crate) struct Thread {
    pub(crate) conn: Connection,
    pub(crate) copier: Copier,
    pub(crate) lock: Lock,
    pub(crate) epoch: Epoch,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) newest: Arc<Mutex<Newest>>,
    pub(crate) path: PathBuf,
    pub(crate) reserve: Reserve,
    pub(crate) groups: Arc<Groups>,
    pub(crate) stopped: watch::Sender<bool>,
}

impl Thread {
    pub(crate) fn start(self, jobs: mpsc::Receiver<Job>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("flightdeck-writer".to_owned()).spawn(move || self.run(jobs))
    }

    fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let Self { conn, mut copier, lock, epoch, clock, head, newest, path, reserve, groups, stopped } =
            self;
        wal::take_over(&conn);
        let (copying, kept) = (&mut copier, Arc::clone(&newest));
        let work = || -> Next {
            let ledger = match Ledger::open(&conn, epoch) {
                Ok(ledger) => ledger,
                Err(damage) => {
                    tracing::error!(?damage, "the writer can't begin");
                    return Next::Stop;
                }
            };
            let (views, inline) = (ViewJobs::default(), InlineViews::default());
            let mut writer = Writer {
                conn: &conn,
                ledger,
                clock,
                head,
                newest,
                path,
                reserve,
                groups,
                below_reserve: None,
                views,
                inline,
                copier: copying,
                flushes: true,
            };
            writer.run(&mut jobs)
        };
        // A panic answers nobody: whoever waits is told that the outcome is unknown.
        let ended = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Next::Stop);
        // From here on another may write the file.
        kept.lock().unwrap_or_else(PoisonError::into_inner).begin(None);
        let copied = copier.end();
        if let Err(error) = &copied {
            tracing::error!(%error, "the WAL could not be copied back, and what is left of it stays");
        }
        if ended == Next::Stop || copied.is_err() {
            stopped.send_replace(true);
            jobs.close();
            while let Ok(job) = jobs.try_recv() {
                job.fail(AppendError::not_committed(Reason::Stopped));
            }
            call_off_the_last_checkpoint(&conn);
        } else if let Err(error) = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the last checkpoint could not be made; the next opening makes it");
            call_off_the_last_checkpoint(&conn);
        }
        if let Err((_, error)) = conn.close() {
            tracing::warn!(%error, "the store's file could not be closed");
        }
        drop(lock);
    }
}

/// What SQLite holds in memory may not be what the disk holds: it must not be copied over it, nor the WAL be thrown away.
fn call_off_the_last_checkpoint(conn: &Connection) {
    if let Err(error) = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::error!(%error, "the last checkpoint could not be called off");
    }
}
