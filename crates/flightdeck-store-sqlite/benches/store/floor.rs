//! The floors: what the machine and SQLite can do at best with the same bytes.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::load::{ACTOR, CORRELATION, Cost, Dice, STREAMS, data, name};

/// The same bytes appended to a file, one `fdatasync` a group.
pub(crate) fn file(path: &Path, group: usize, events: usize) -> Cost {
    let row = [data().as_bytes(), ACTOR.as_bytes(), CORRELATION.as_bytes()].concat();
    let bytes = row.repeat(group);
    let mut file = File::create(path).unwrap();
    Cost::of(events, || {
        for _ in 0..events / group {
            file.write_all(&bytes).unwrap();
            file.sync_data().unwrap();
        }
    })
}

/// A bare loop over the tables of the store, one transaction a group: no chain, no checksums, nothing looked up.
pub(crate) fn lean(path: &Path, group: usize, events: usize) -> Cost {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 8000;
         PRAGMA foreign_keys = on;",
    )
    .unwrap();
    for migration in flightdeck_migrations::SQLITE {
        conn.execute_batch(migration.sql).unwrap();
    }
    let mut lean =
        Lean { dice: Dice(88_172_645_463_325_252), versions: vec![0; 10_000], position: 0, data: data() };
    conn.execute_batch("BEGIN; INSERT INTO fd_type VALUES (1, 'OrderPlaced');").unwrap();
    for number in 0..STREAMS {
        conn.execute(
            "INSERT INTO fd_stream VALUES (?1, ?2, 1, 0, 0, 0)",
            params![number.cast_signed() + 1, name(number)],
        )
        .unwrap();
    }
    for stream in 0..10_000 {
        lean.insert(&conn, stream);
    }
    conn.execute_batch("COMMIT").unwrap();
    Cost::of(events, || {
        for _ in 0..events / group {
            conn.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
            for _ in 0..group {
                let stream = usize::try_from(lean.dice.roll() % STREAMS).unwrap();
                lean.insert(&conn, stream);
                lean.touch(&conn, stream);
            }
            conn.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
        }
    })
}

struct Lean {
    dice: Dice,
    versions: Vec<i64>,
    position: i64,
    data: String,
}

impl Lean {
    fn insert(&mut self, conn: &Connection, stream: usize) {
        self.position += 1;
        self.versions[stream] += 1;
        // As time-ordered as the store's own.
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.position.to_be_bytes());
        id[8..].copy_from_slice(&self.dice.roll().to_be_bytes());
        let sql = "INSERT OR FAIL INTO fd_log (position, stream, version, type, schema, recorded, append_rest, id, actor, correlation,
                     checksum, hash, data)
                   VALUES (?1, ?2, ?3, 1, 1, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10)";
        let number = i64::try_from(stream).unwrap() + 1;
        let checksum = self.dice.roll().cast_signed();
        let mut insert = conn.prepare_cached(sql).unwrap();
        insert
            .execute(params![
                self.position,
                number,
                self.versions[stream],
                1_790_000_000_000_000 + self.position,
                id,
                ACTOR,
                CORRELATION,
                checksum,
                [7_u8; 32],
                self.data.as_bytes(),
            ])
            .unwrap();
    }

    fn touch(&mut self, conn: &Connection, stream: usize) {
        let sql = "UPDATE OR FAIL fd_stream SET version = ?2, updated = ?3, checksum = ?4 WHERE stream = ?1";
        let number = i64::try_from(stream).unwrap() + 1;
        let mut update = conn.prepare_cached(sql).unwrap();
        let checksum = self.dice.roll().cast_signed();
        update
            .execute(params![number, self.versions[stream], 1_790_000_000_000_000 + self.position, checksum])
            .unwrap();
    }
}
