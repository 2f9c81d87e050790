//! The write-ahead log: how long it is, and copying it back into the file.
//!
//! SQLite copies it back by itself after some commits, and tells nobody when that fails: pages that could not be
//! flushed are tried again later, on a disk that has already lied. So the writer does it, and hears of it.

use std::cell::Cell;

use rusqlite::Connection;

/// Pages of 4 KiB that it grows by before it is copied back: 32 MB.
pub(crate) const CHECKPOINT_PAGES: i32 = 8_000;

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
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
