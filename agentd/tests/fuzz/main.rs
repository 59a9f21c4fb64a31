//! Every parser that meets the outside, fed with damaged copies of good input.
//!
//! This is a bounded driver in the tree and not cargo-fuzz, which needs a nightly compiler: it runs with
//! all other tests, is the same at each run, and asks for more than that nothing panics (see [`driver`]).
//! `make fuzz N=1000000 SEED=7` runs it for longer, with other inputs.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "here nobody carries commands out")]
mod board;
mod driver;
mod http;
mod model;
mod mqtt;
mod mutate;
mod serial;
mod settings;
mod streams;
mod words;
