//! Views that are folded within the appends: what a group has written is folded before it is committed.
//!
//! A view that is not there yet is left to its runner until only a little is missing. A fold that fails halts its view and
//! nothing else.

use flightdeck_core::Position;
use flightdeck_store::view::{Cache, Checkpoint, FoldError, Generation, Halt, HaltKind, Inline};
use flightdeck_store::{Corruption, Recorded};
use rusqlite::{Connection, ErrorCode, params};

use crate::generations::{self, Stored};
use crate::names::Names;
use crate::row::{Damage, Rows, select_events};
use crate::tables::Tables;
use crate::writer::Broke;

/// How many events a view may be behind and still be brought to the head by the writer: more are its runner's.
const BEHIND_EVENTS_MAX: i64 = 2_000;
/// How much of a view's rows is kept in mind between groups.
const CACHE_BYTES_MAX: usize = 8 * 1024 * 1024;

const SELECT_BEHIND: &str = select_events!("WHERE position > ?1 AND position <= ?2 ORDER BY position");

/// The views that are folded within the appends, as of the last commit.
#[derive(Default)]
pub(crate) struct InlineViews {
    views: Vec<View>,
    /// Something else may have changed them since they were looked at.
    stale: bool,
}

struct View {
    inline: Inline,
    stored: Option<Stored>,
    cache: Option<Cache>,
}

impl InlineViews {
    pub(crate) fn set(&mut self, inline: Vec<Inline>) {
        self.views = inline.into_iter().map(|inline| View { inline, stored: None, cache: None }).collect();
        self.stale = true;
    }

    /// Whether that one is among them.
    pub(crate) fn has(&self, of: &Generation) -> bool {
        self.views.iter().any(|view| view.inline.of == *of)
    }

    /// Something else may have changed them, or what was written was rolled back.
    pub(crate) fn forget(&mut self) {
        self.stale = true;
    }

    /// Folds what stands in the log up to the last event that was `added`, within the transaction that is open; `before` is where the log
    /// ended before it.
    pub(crate) fn fold(
        &mut self,
        conn: &Connection,
        names: &Names,
        before: Position,
        added: &[Recorded],
    ) -> Result<(), Broke> {
        let newest = added.last().map_or(before, |last| last.position);
        if self.stale {
            for view in &mut self.views {
                view.stored = generations::find(conn, &view.inline.of)?;
                view.cache = None;
            }
            self.stale = false;
        }
        for view in &mut self.views {
            let Some(Stored { id, state, staged }) = &view.stored else { continue };
            let behind = before.get() - state.checkpoint.position.get();
            // What is staged is further than the checkpoint says, and half of it is in the tables.
            let waits = state.paused || state.halt.is_some() || staged.is_some();
            if waits || newest <= state.checkpoint.position || behind > BEHIND_EVENTS_MAX {
                continue;
            }
            let id = *id;
            let added = (behind == 0).then_some(added);
            if let Some(added) = added
                && !added.iter().any(|event| (view.inline.reads)(event) != Ok(false))
            {
                self.stale |= !view.move_on(conn, newest)?;
                continue;
            }
            conn.prepare_cached("SAVEPOINT fd_inline")?.execute([])?;
            let folded = view.fold(conn, names, newest, added);
            match folded {
                Ok(true) => conn.prepare_cached("RELEASE fd_inline")?.execute([]).map(drop)?,
                // It is not where it was thought to be.
                Ok(false) => {
                    conn.execute_batch("ROLLBACK TO fd_inline; RELEASE fd_inline")?;
                    self.stale = true;
                }
                Err(damage) if is_the_views_own(&damage) => {
                    conn.execute_batch("ROLLBACK TO fd_inline; RELEASE fd_inline")?;
                    view.halt_for_damage(conn, id, &damage)?;
                }
                Err(damage) => return Err(damage.into()),
            }
        }
        Ok(())
    }
}

/// Whether something is wrong with the view's tables, and not with the file as such.
fn is_the_views_own(damage: &Damage) -> bool {
    match damage {
        Damage::Corrupt(_) => true,
        Damage::Sql(error) => {
            matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ConstraintViolation | ErrorCode::Unknown) | None
            )
        }
    }
}

impl View {
    /// Says that it has come further, and that nothing there is for it to fold. Says whether it was where it was thought to be.
    fn move_on(&mut self, conn: &Connection, newest: Position) -> Result<bool, Broke> {
        let Some(Stored { id, state, .. }) = &mut self.stored else { return Ok(true) };
        let to = Checkpoint { position: newest, ..state.checkpoint };
        let moved = generations::advance(conn, *id, &state.checkpoint, &to)?;
        if moved {
            state.checkpoint = to;
        }
        Ok(moved)
    }

    /// Folds what is behind its checkpoint, from `added` if that is all of it. Says whether it was where it was thought to be.
    fn fold(
        &mut self,
        conn: &Connection,
        names: &Names,
        newest: Position,
        added: Option<&[Recorded]>,
    ) -> Result<bool, Damage> {
        let Some(Stored { id, state, .. }) = &mut self.stored else { return Ok(true) };
        let tables = Tables::of(*id, &state.plan, state.serving);
        let cache = self.cache.get_or_insert_with(|| Cache::of(&state.plan));
        if cache.bytes() > CACHE_BYTES_MAX {
            cache.clear();
        }
        let from = state.checkpoint;
        let mut to = Checkpoint { position: newest, ..from };
        let mut halt = None;
        let mut take = |event: &Recorded| -> Result<bool, Damage> {
            match one(&self.inline, conn, &tables, cache, event)? {
                Ok(false) => {}
                Ok(true) => to.folded = Some((event.position, event.hash)),
                Err(why) => {
                    // What came before it is kept.
                    to.position = event.position.previous();
                    halt = Some(why);
                }
            }
            Ok(halt.is_none())
        };
        let skips = |position: i64| state.skips.iter().any(|skip| skip.get() == position);
        if let Some(added) = added {
            for event in added.iter().filter(|event| !skips(event.position.get())) {
                if !take(event)? {
                    break;
                }
            }
        } else {
            let mut statement = conn.prepare_cached(SELECT_BEHIND)?;
            let mut rows = statement.query(params![from.position.get(), newest.get()])?;
            let mut reader = Rows::new(conn, names);
            while let Some(row) = rows.next()? {
                // Also one that can't even be read.
                if !skips(row.get(0)?) && !take(&reader.event(row)?)? {
                    break;
                }
            }
        }
        tables.write(conn, &cache.changes())?;
        if !generations::advance(conn, *id, &from, &to)? {
            return Ok(false);
        }
        if let Some(halt) = halt {
            tracing::error!(view = %self.inline.of, %halt, "an inline view comes to a halt");
            generations::set_halt(conn, *id, Some(&halt))?;
            state.halt = Some(halt);
        }
        cache.settle();
        state.checkpoint = to;
        Ok(true)
    }

    /// An event is damaged, or the view's own tables are: it stands where it stood.
    fn halt_for_damage(&mut self, conn: &Connection, id: i64, damage: &Damage) -> Result<(), Broke> {
        let Some(Stored { state, .. }) = &mut self.stored else { return Ok(()) };
        let next = state.checkpoint.position.next();
        let (kind, position, error) = match damage {
            Damage::Corrupt(Corruption { position: Some(at), what }) => {
                (HaltKind::Corrupt, *at, what.clone())
            }
            Damage::Corrupt(Corruption { position: None, what }) => (HaltKind::Refused, next, what.clone()),
            Damage::Sql(error) => (HaltKind::Refused, next, error.to_string()),
        };
        let halt = Halt { kind, position, event: None, error };
        tracing::error!(view = %self.inline.of, %halt, "an inline view comes to a halt");
        generations::set_halt(conn, id, Some(&halt))?;
        state.halt = Some(halt);
        self.cache = None;
        Ok(())
    }
}

/// Folds one event. Says whether the view reads it at all; the inner error is why it can't be folded.
fn one(
    inline: &Inline,
    conn: &Connection,
    tables: &Tables,
    cache: &mut Cache,
    event: &Recorded,
) -> Result<Result<bool, Halt>, Damage> {
    match (inline.reads)(event) {
        Ok(true) => {}
        other => return Ok(other),
    }
    let poison = |error: &FoldError| Halt {
        kind: HaltKind::Poison,
        position: event.position,
        event: Some(event.id),
        error: error.to_string(),
    };
    let (keys, missing) = match cache.keys(&*inline.fold, event) {
        Ok(found) => found,
        Err(error) => return Ok(Err(poison(&error))),
    };
    if !missing.is_empty() {
        let rows = tables.load(conn, &missing)?;
        cache.take_in(missing, rows);
    }
    Ok(cache.fold(&*inline.fold, event, &keys).map(|()| true).map_err(|error| poison(&error)))
}
