//! The routes of our own, a file for each part of the API. Each is thin: it reads, asks whether it may, calls, and answers.

mod append;
mod health;
mod log;
mod streams;

use crate::operation::Operation;

/// All of them.
#[must_use]
pub(crate) fn operations() -> Vec<Operation> {
    [health::operations(), log::operations(), streams::operations(), append::operations()]
        .into_iter()
        .flatten()
        .collect()
}
