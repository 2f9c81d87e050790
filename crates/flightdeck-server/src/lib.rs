//! The host of FlightDeck, as a library: what handles commands, and what knows all stored events.
//!
//! So far there is the [`Desk`], at which commands are handled, and the [`registry`](fn@registry) of everything that is stored. Routes and push
//! come on top of them. This crate knows the port of the log and no database.

pub mod desk;
pub mod registry;

pub use crate::desk::Desk;
pub use crate::registry::registry;
