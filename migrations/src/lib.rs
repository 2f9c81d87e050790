//! The SQL files of the stores, as constants.
//!
//! The files lie beside this crate's manifest, in `sqlite/` and `postgres/`, with the same numbers
//! and names; what runs them is in the adapters. A file that was released is never edited again: a
//! store keeps the checksum of each one that it was built with. A change is a new file.

/// One migration: a step from one shape of a store's tables to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// 1, 2, 3, with no holes.
    pub number: i64,
    /// What it does, in a word or two; the file's name after the number.
    pub name: &'static str,
    /// The SQL, exactly as in the file.
    pub sql: &'static str,
}

/// The migrations of the SQLite store, in their order.
pub const SQLITE: &[Migration] = &[
    Migration { number: 1, name: "log", sql: include_str!("../sqlite/0001_log.sql") },
    Migration { number: 2, name: "snapshots", sql: include_str!("../sqlite/0002_snapshots.sql") },
    Migration { number: 3, name: "views", sql: include_str!("../sqlite/0003_views.sql") },
];

/// The migrations of the PostgreSQL store, in their order: the same steps as on SQLite.
pub const POSTGRES: &[Migration] = &[
    Migration { number: 1, name: "log", sql: include_str!("../postgres/0001_log.sql") },
    Migration { number: 2, name: "snapshots", sql: include_str!("../postgres/0002_snapshots.sql") },
    Migration { number: 3, name: "views", sql: include_str!("../postgres/0003_views.sql") },
];

#[cfg(test)]
mod tests {
    use super::{POSTGRES, SQLITE};

    #[test]
    fn numbers_have_no_holes() {
        for migrations in [SQLITE, POSTGRES] {
            for (expected, migration) in (1..).zip(migrations) {
                assert_eq!(migration.number, expected);
                assert!(!migration.sql.trim().is_empty());
            }
        }
    }

    #[test]
    fn both_stores_take_the_same_steps() {
        let names = |migrations: &'static [super::Migration]| {
            migrations.iter().map(|migration| (migration.number, migration.name)).collect::<Vec<_>>()
        };
        assert_eq!(names(SQLITE), names(POSTGRES));
    }
}
