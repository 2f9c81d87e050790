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
];

#[cfg(test)]
mod tests {
    use super::SQLITE;

    #[test]
    fn numbers_have_no_holes() {
        for (expected, migration) in (1..).zip(SQLITE) {
            assert_eq!(migration.number, expected);
            assert!(!migration.sql.trim().is_empty());
        }
    }
}
