//! The routes of our own, a file for each part of the API. Each is thin: it reads, asks whether it may, calls, and answers.

mod admin;
mod analytics;
mod docs;
mod health;
mod streams;
mod visitors;

use crate::operation::Operation;

/// All of them.
#[must_use]
pub(crate) fn operations() -> Vec<Operation> {
    [
        streams::operations(),
        visitors::operations(),
        analytics::operations(),
        admin::operations(),
        health::operations(),
        docs::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
