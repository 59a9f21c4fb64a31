//! agentd: one daemon that turns a person's words into one safe, durable action on real hardware.
//! ARCHITECTURE.md has the map.

pub mod command;
pub mod feed;
pub mod health;
pub mod link;
pub mod metrics;
pub mod store;
