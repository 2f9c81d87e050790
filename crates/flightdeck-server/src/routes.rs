//! The routes of our own, a file for each part of the API. Each is thin: it reads, asks whether it may, calls, and answers.

mod admin;
mod analytics;
mod append;
mod contents;
mod docs;
mod health;
mod live;
mod log;
mod presentations;
mod streams;
mod thing;
mod tickets;
mod tokens;
mod users;
mod visitors;

use crate::operation::Operation;

/// All of them.
#[must_use]
pub(crate) fn operations() -> Vec<Operation> {
    [
        health::operations(),
        log::operations(),
        streams::operations(),
        append::operations(),
        visitors::operations(),
        analytics::operations(),
        admin::operations(),
        docs::operations(),
        live::operations(),
        contents::operations(),
        presentations::operations(),
        users::operations(),
        tokens::operations(),
        tickets::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
