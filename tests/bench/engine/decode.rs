//! Decoding alone: how many tokens a second our worker writes of a long free text, with its mask and its choice of
//! each token, and how many llama-bench decodes, which chooses none, at the same depth of the same context.

use std::time::{Duration, Instant};

use agentd::model::frame::{FromWorker, ToWorker};
use agentd::model::process::{Process, Said};
use agentd::model::{ModelError, grammar};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::ratio::{Aim, Sides};
use super::{Bench, CONTEXT, peer};

/// Tokens of an answer.
const TOKENS: u32 = 128;
/// The longest that an answer may take.
const LIMIT: Duration = Duration::from_secs(300);
const SAY: &str = "Tell me a long story about a greenhouse and the people who look after it.";

pub(super) async fn measure(bench: &Bench) -> Result<Map<String, Value>> {
    let mut worker = Worker::start(bench).await?;
    let depth = worker.prompt_tokens().await?;
    let mut sides = Sides::default();
    // The first round is not counted: it computes the prompt and compiles the grammar.
    for round in 0..=bench.rounds {
        let ours = worker.tokens_per_second().await?;
        let peer = peer::llama_bench(bench, depth, TOKENS).await?;
        if round > 0 {
            sides.add(ours, peer);
        }
    }
    let mut row = sides.told(Some(Aim::AtLeast(0.98)));
    row["tokens"] = json!(TOKENS);
    row["depth"] = json!(depth);
    worker.process.stop(Duration::from_secs(5)).await;
    Ok(Map::from_iter([("decode_tokens_per_second".to_owned(), row)]))
}

/// Our worker, without the daemon around it.
struct Worker {
    process: Process,
    last_id: u64,
}

impl Worker {
    async fn start(bench: &Bench) -> Result<Self> {
        let model = bench.model().display().to_string();
        let (context, threads) = (CONTEXT.to_string(), bench.threads.to_string());
        // Guesses would count what a text repeats.
        let sizes = ["--context", &context, "--threads", &threads, "--guess-tokens", "0"];
        let arguments = [&["worker", "--model", &model], sizes.as_slice()].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let process = Process::start(&agentd_tests::binary(), &arguments)?;
        let mut worker = Self { process, last_id: 0 };
        loop {
            match worker.next().await? {
                FromWorker::Ready { .. } => return Ok(worker),
                FromWorker::Loading { .. } => {}
                frame => bail!("the worker said {frame:?} before it was ready"),
            }
        }
    }

    async fn next(&mut self) -> Result<FromWorker> {
        let said = tokio::time::timeout(LIMIT, self.process.next()).await;
        match said.context("the worker says nothing")? {
            Said::Frame(frame) => Ok(frame),
            Said::Gone(death) => bail!("the worker is gone: {}", death.cause),
        }
    }

    /// `max_tokens` 0 has only the prompt computed.
    async fn ask(&mut self, max_tokens: u32) -> Result<()> {
        self.last_id += 1;
        let ask = json!({
            "frame": "ask", "id": self.last_id, "messages": [{"role": "user", "content": SAY}],
            "grammar": {"kind": "lark", "text": grammar::ENDLESS}, "max_tokens": max_tokens, "priority": "normal",
            "shows": false, "deadline_ms": LIMIT.as_millis() as u64,
        });
        let ask: ToWorker = serde_json::from_value(ask)?;
        Ok(self.process.send(&ask, LIMIT).await?)
    }

    /// How many tokens the prompt has.
    async fn prompt_tokens(&mut self) -> Result<u32> {
        self.ask(0).await?;
        match self.next().await? {
            FromWorker::Done { answer, .. } => Ok(answer.usage.reused + answer.usage.prefilled),
            frame => bail!("the worker said {frame:?}"),
        }
    }

    /// From the ask to the refusal of the token after the last: one batch for the last token of the prompt, whose rest
    /// is there from the round before, and one for each token of the answer.
    async fn tokens_per_second(&mut self) -> Result<f64> {
        let begun = Instant::now();
        self.ask(TOKENS).await?;
        match self.next().await? {
            FromWorker::Failed { error: ModelError::Refused(why), .. } => {
                let complete = format!("not complete after {TOKENS}");
                ensure!(why.contains(&complete), "there is no answer: {why}");
                Ok(f64::from(TOKENS + 1) / begun.elapsed().as_secs_f64())
            }
            frame => bail!("the worker said {frame:?} instead of a long text"),
        }
    }
}
