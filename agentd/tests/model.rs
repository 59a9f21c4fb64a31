//! The worker and its supervisor from outside: a script in the model's place where the behaviour of the
//! processes is tested, and the real model (`AGENTD_TEST_MODEL`, a path to
//! SmolLM2-135M-Instruct.Q4_1.gguf) where it matters what llama.cpp does.

#[path = "model/bench.rs"]
mod bench;
#[path = "model/guesses.rs"]
mod guesses;
#[path = "model/kept.rs"]
mod kept;
#[path = "model/lessons.rs"]
mod lessons;
#[path = "model/life.rs"]
mod life;
#[path = "model/native.rs"]
mod native;
#[path = "model/real.rs"]
mod real;
#[path = "model/scoring.rs"]
mod scoring;
#[path = "model/scripted.rs"]
mod scripted;
#[path = "model/second.rs"]
mod second;
#[path = "model/support.rs"]
#[expect(clippy::unwrap_used, reason = "a helper of tests: to panic is to fail the test")]
mod support;
#[path = "model/tuned.rs"]
mod tuned;
