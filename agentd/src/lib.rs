//! agentd: one daemon that turns a person's words into one safe, durable action on real hardware.
//! ARCHITECTURE.md has the map.

pub mod agent;
pub mod capabilities;
pub mod check;
pub mod cli;
pub mod client;
pub mod command;
pub mod config;
pub mod credential;
pub mod daemon;
pub mod demo;
pub mod feed;
pub mod footprint;
pub mod front;
pub mod ground;
pub mod health;
pub mod http;
pub mod journal;
pub mod link;
pub mod metrics;
pub mod model;
pub mod policy;
pub mod poll;
pub mod store;
pub mod tune;
pub mod watchdog;
pub mod wyoming;
