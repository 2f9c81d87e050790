//! temporary
use flightdeck_store_contract::{event_store_contract, saboteur::Saboteur};
event_store_contract!(Saboteur::honest);
