//! The tests of the tests: the suite is green on an honest store, and red on every saboteur.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod document;
mod saboteurs;
mod table;
mod view_table;
