//! The write-ahead log: how long it is, and copying it back into the file.
//!
//! SQLite copies it back by itself after some commits, and tells nobody when that fails: pages that could not be
//! flushed are tried again later, on a disk that has already lied. So we do it, and hear of it: most of it beside the writer, which
//! is not to stand still for a tenth of a second, and the rest, which came meanwhile, by the writer itself. Only
//! when nothing is left does the next commit begin at the front of the file again.
//!
//! What takes longest of it is that the file is flushed, and SQLite does that only when nothing was committed while the last of it
//! was copied. So the writer pauses for a moment, until the little that was left is copied and the flush has begun, and goes on
//! beside it; and once more for what came during that.

use std::cell::Cell;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

/// Pages of 4 KiB that it grows by before it is copied back: 64 MB. A page that is changed time and again is copied once.
pub(crate) const CHECKPOINT_PAGES: i32 = 16_000;
/// Pages at which the writer waits until it is copied back: 128 MB.
const PAGES_MAX: i32 = 32_000;
/// A round of copying beside the writer ends when so few pages came during a pass, ...
const LEFT_PAGES: i64 = 500;
/// ... or after so many passes.
const PASSES: usize = 5;
/// Rounds beside the writer, all but the first of them with a flush.
const ROUNDS: u32 = 3;
/// How long the writer pauses for a flush to begin.
const PAUSE: Duration = Duration::from_millis(3);

thread_local! {
    /// How long it was after the last commit of this thread, which has one connection that writes.
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

/// Takes copying back out of SQLite's hands, and counts along.
pub(crate) fn take_over(conn: &Connection) {
    // This replaces SQLite's own hook, which is what would copy it back.
    conn.wal_hook(Some(|_, pages| {
        PAGES.set(pages);
        Ok(())
    }));
}

/// How many pages it had after the last commit.
pub(crate) fn pages() -> i32 {
    PAGES.get()
}

/// Copies back what no reader needs any more. What is left is the next one's.
pub(crate) fn checkpoint(conn: &Connection) -> rusqlite::Result<()> {
    PAGES.set(0);
    copy(conn).map(drop)
}

/// Copies back what no reader needs any more, and says how many pages are copied by now.
fn copy(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2))
}

/// Copies it back on a connection and a thread of its own.
pub(crate) struct Copier {
    asks: mpsc::Sender<()>,
    copied: mpsc::Receiver<rusqlite::Result<()>>,
    /// In which round it is, if it is at work.
    round: Option<u32>,
    thread: JoinHandle<()>,
}

impl Copier {
    pub(crate) fn start(conn: Connection) -> std::io::Result<Self> {
        let (asks, asked) = mpsc::channel();
        let (answer, copied) = mpsc::channel();
        let thread = std::thread::Builder::new().name("flightdeck-copier".to_owned()).spawn(move || {
            while asked.recv().is_ok() {
                if answer.send(copy_most(&conn)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { asks, copied, round: None, thread })
    }

    /// Has it copied back when it has grown enough, and copies the rest when most of it is.
    pub(crate) fn see_to_it(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let Some(round) = self.round else {
            if pages() >= CHECKPOINT_PAGES {
                self.begin(1);
            }
            return Ok(());
        };
        let mut copied = match pages() < PAGES_MAX {
            true => self.copied.try_recv(),
            false => self.copied.recv().map_err(mpsc::TryRecvError::from),
        };
        // When all was copied between two commits, it has begun anew by itself.
        if copied == Ok(Ok(())) && round < ROUNDS && (CHECKPOINT_PAGES..PAGES_MAX).contains(&pages()) {
            self.begin(round + 1);
            copied = self.copied.recv_timeout(PAUSE).map_err(|why| match why {
                mpsc::RecvTimeoutError::Timeout => mpsc::TryRecvError::Empty,
                mpsc::RecvTimeoutError::Disconnected => mpsc::TryRecvError::Disconnected,
            });
        }
        if copied == Err(mpsc::TryRecvError::Empty) {
            return Ok(());
        }
        self.round = None;
        // What it came to is heard of however little there is to copy by now.
        copied.unwrap_or(Ok(()))?;
        match pages() < CHECKPOINT_PAGES {
            true => Ok(()),
            false => checkpoint(conn),
        }
    }

    fn begin(&mut self, round: u32) {
        // When there is nobody to ask, nobody answers either.
        let _nobody = self.asks.send(());
        self.round = Some(round);
    }

    /// Ends it, when it is through with what it is at. What went wrong in that was not said before.
    pub(crate) fn end(self) -> rusqlite::Result<()> {
        let Self { asks, copied, round: _, thread } = self;
        drop(asks);
        let ended = thread.join();
        copied.try_iter().collect::<rusqlite::Result<()>>()?;
        ended.map_err(|_panic| rusqlite::Error::UnwindingPanic)
    }
}

/// Copies what there is, and again and again what has come meanwhile, until that is little.
fn copy_most(conn: &Connection) -> rusqlite::Result<()> {
    let mut before = copy(conn)?;
    for _ in 1..PASSES {
        let copied = copy(conn)?;
        if copied - before < LEFT_PAGES {
            break;
        }
        before = copied;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rusqlite::{Connection, ErrorCode};

    use super::{CHECKPOINT_PAGES, Copier, PAGES, PAGES_MAX, ROUNDS, pages, take_over};

    /// A copier whose part the test plays: what it is asked, and what it answers.
    fn played() -> (Copier, mpsc::Receiver<()>, mpsc::Sender<rusqlite::Result<()>>) {
        let ((asks, asked), (answer, copied)) = (mpsc::channel(), mpsc::channel());
        (Copier { asks, copied, round: None, thread: std::thread::spawn(|| {}) }, asked, answer)
    }

    /// What came while the others copied is the writer's to copy: only then does the file begin anew.
    #[test]
    fn what_came_while_most_was_copied_is_copied_by_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let conn = Connection::open(folder.path().join("log.db")).unwrap();
        conn.execute_batch("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (n)")
            .unwrap();
        take_over(&conn);
        let commit = || conn.execute("INSERT INTO t VALUES (zeroblob(40000))", []).unwrap();
        let (mut copier, asked, answer) = played();
        commit();
        let before = pages();
        for round in 1..=ROUNDS {
            PAGES.set(CHECKPOINT_PAGES);
            copier.see_to_it(&conn).unwrap();
            assert_eq!((asked.try_iter().count(), copier.round), (1, Some(round)), "one round after another");
            copier.see_to_it(&conn).unwrap();
            assert_eq!(asked.try_iter().count(), 0, "nobody is asked who is at it");
            answer.send(Ok(())).unwrap();
        }
        copier.see_to_it(&conn).unwrap();
        assert_eq!(copier.round, None);
        commit();
        assert_eq!(pages(), before, "the same is as long at the front of the file");
    }

    /// What can't be copied now is tried again, and nobody waits for an answer that nobody was asked for.
    #[test]
    fn who_could_not_copy_is_asked_again() {
        let conn = Connection::open_in_memory().unwrap();
        let broken = Connection::open_in_memory().unwrap();
        broken.progress_handler(1, Some(|| true)).unwrap();
        let mut copier = Copier::start(broken).unwrap();
        for pages in [CHECKPOINT_PAGES, PAGES_MAX, PAGES_MAX] {
            PAGES.set(pages);
            let failed = loop {
                if let Err(error) = copier.see_to_it(&conn) {
                    break error;
                }
            };
            assert_eq!(failed.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
        }
        copier.end().unwrap();
    }

    #[test]
    fn what_was_never_said_is_said_at_the_end() {
        let conn = Connection::open_in_memory().unwrap();
        let broken = Connection::open_in_memory().unwrap();
        broken.progress_handler(1, Some(|| true)).unwrap();
        let mut copier = Copier::start(broken).unwrap();
        PAGES.set(CHECKPOINT_PAGES);
        copier.see_to_it(&conn).unwrap();
        assert!(copier.end().is_err());
    }
}
