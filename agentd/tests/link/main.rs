//! The MQTT link against real brokers: mosquitto, started as the daemon starts it, and a scripted one
//! that misbehaves.

#![expect(clippy::disallowed_methods, reason = "the tests are the daemon that spawns")]

mod board;
mod commands;
mod embedded;
mod failover;
mod local;
mod peer;
mod rows;
mod scripted;
mod sessions;
mod status;
mod tls;
mod websocket;
