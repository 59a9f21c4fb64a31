//! agentd: one daemon that turns a person's words into one safe, durable action on real hardware.
//! ARCHITECTURE.md has the map.

pub mod client;
pub mod command;
pub mod feed;
pub mod front;
pub mod health;
pub mod journal;
pub mod link;
pub mod metrics;
pub mod store;
pub mod model;
pub mod http;
pub mod metrics;
pub mod store;
pub mod wyoming;
