//! The daemon, driven from outside: the binary, a real broker, a real pseudo-terminal, a real model.

#![expect(missing_docs, reason = "tests are named as sentences")]

mod bad_input;
mod crashes;
mod links;
mod models;
mod words;
