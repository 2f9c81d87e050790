//! The host of FlightDeck, as a library: HTTP on any store.
//!
//! [`Server`] puts it together: a store, our own aggregates, views and routes, and whatever you add: an aggregate
//! ([`Server::decider`]), a view ([`Server::projection`]), routes ([`Server::operations`]). The binary is its first user.
//!
//! A route is an [`Operation`]: what serves it and what the OpenAPI document says of it, in one place. It takes a [`Call`] (who asks, and
//! what comes with it) and perhaps a [`Body`], asks whether it [`may`](Asker::may), and answers, or gives a [`Problem`].
//! For what is added, [`Operation::command`] and [`Operation::rows`] are whole routes: a command to a thing, and the rows of a view.
//! Commands to our own aggregates are handled at the [`Desk`]; [`registry`](fn@registry) knows everything that is stored.
//!
//! A whole aggregate with its view and its routes, in a server of its own, is in `examples/auction.rs`.
//!
//! This crate knows the ports of log and views, and no database. Open `server.rs` first, then `routes.rs`.

pub mod access;
pub mod asker;
mod audit;
pub mod authorise;
pub mod call;
mod caller;
pub mod caps;
pub mod cloud_event;
pub mod connections;
pub mod desk;
mod door;
pub mod event;
pub mod host;
mod link;
pub mod measure;
mod members;
mod negotiate;
pub mod next_link;
pub mod openapi;
pub mod operation;
pub mod page;
pub mod params;
pub mod problem;
mod push;
pub mod registry;
mod routes;
pub mod server;
mod stock;
mod threshold;
mod ticket;
mod trace;
mod visitor;

pub use actix_web::HttpRequest;
pub use flightdeck_analytics::visitor::Policy;

pub use crate::access::Access;
pub use crate::asker::Asker;
pub use crate::authorise::{Action, Grants, Identify, Object, Principal, Shown, Streams, authorise};
pub use crate::call::{Body, Call};
pub use crate::caps::{Cap, Caps};
pub use crate::desk::Desk;
pub use crate::host::{Host, Options, StoreFacts};
pub use crate::members::Wrong;
pub use crate::operation::{Answer, Operation};
pub use crate::problem::{Code, Problem};
pub use crate::registry::registry;
pub use crate::server::{Running, ServeError, Server};
