//! The routes of our own, a file for each part of the API. Each is thin: it reads, asks whether it may, calls, and answers.

mod contents;
mod health;
mod presentations;
mod streams;
mod thing;
mod users;

use crate::operation::Operation;

/// All of them.
#[must_use]
pub(crate) fn operations() -> Vec<Operation> {
    [
        health::operations(),
        streams::operations(),
        contents::operations(),
        presentations::operations(),
        users::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
