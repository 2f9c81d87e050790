//! The routes of our own, a file for each part of the API. Each is thin: it reads, asks whether it may, calls, and answers.

<<<<<<< HEAD
mod admin;
mod analytics;
mod docs;
=======
mod append;
>>>>>>> d49b09704112e2da1f613f3508e7315bfec228cb
mod health;
mod log;
mod streams;
mod visitors;

use crate::operation::Operation;

/// All of them.
#[must_use]
pub(crate) fn operations() -> Vec<Operation> {
<<<<<<< HEAD
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
=======
    [health::operations(), log::operations(), streams::operations(), append::operations()]
        .into_iter()
        .flatten()
        .collect()
>>>>>>> d49b09704112e2da1f613f3508e7315bfec228cb
}
