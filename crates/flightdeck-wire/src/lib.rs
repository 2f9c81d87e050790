//! The JSON of FlightDeck's API, as types.
//!
//! A server writes them, a client reads them, and the OpenAPI document is made of their schemas. There is no logic here, and nothing
//! of what is stored: that is a promise to the past, and this is one to clients. Schemas are closed: a member that is not named is
//! not sent. Who reads may be given more by a newer server, and does well to ignore it.
//!
//! One file for each part of the API; open [`problem`] first, for every route may answer with one.

pub mod admin;
pub mod analytics;
pub mod append;
pub mod content;
pub mod event;
pub mod health;
pub mod history;
pub mod presentation;
pub mod problem;
pub mod stream;
pub mod token;
pub mod user;
pub mod visitor;
pub mod words;
