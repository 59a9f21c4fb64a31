//! The daemon, driven from outside: the binary, a real broker, a real pseudo-terminal, a real model.

mod agents;
mod bad_input;
mod crashes;
mod feedback;
mod hostile;
mod links;
mod models;
mod tune;
mod words;
