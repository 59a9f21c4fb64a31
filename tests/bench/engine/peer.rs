//! llama.cpp's own programs.

use std::io::{Read as _, Seek as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::form::Form;
use super::toolset::Marks;
use super::{Bench, http};

/// The most tokens of an answer: our own default.
const MAX_TOKENS: u32 = 256;
/// The longest that a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the peer says of itself.
pub(super) async fn version(bench: &Bench) -> Result<String> {
    let output = Command::new(bench.peer.join("llama-server")).arg("--version").output().await?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("version: "));
    Ok(format!("llama.cpp {}", line.context("llama-server tells its version")?.trim()))
}

/// Tokens that llama-bench decodes a second: `tokens` of them, one by one, after `depth` that are there.
pub(super) async fn llama_bench(bench: &Bench, depth: u32, tokens: u32) -> Result<f64> {
    let (depth, tokens, threads) =
        (depth.to_string(), tokens.to_string(), bench.threads.to_string());
    let output = Command::new(bench.peer.join("llama-bench"))
        .arg("-m")
        .arg(bench.model())
        .args(["-t", &threads, "-p", "0", "-n", &tokens, "-d", &depth, "-r", "1", "-o", "json"])
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "llama-bench: {}: {}", output.status, said());
    let rows: Value = serde_json::from_slice(&output.stdout).context("llama-bench prints JSON")?;
    rows[0]["avg_ts"].as_f64().with_context(|| format!("llama-bench gives no figure: {rows}"))
}

/// llama-server, ready to answer.
pub(super) struct Server {
    child: Child,
    port: u16,
    log: std::fs::File,
    /// How the model's control tokens are written in a prompt.
    pub(super) marks: Marks,
}

/// An answer of the server, and what it took.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) text: String,
    /// Tokens of the whole prompt.
    pub(super) prompt: u64,
    /// Those of them that were not in the cache.
    pub(super) prefilled: u64,
    /// Tokens that were chosen, the one that ends the answer among them.
    pub(super) predicted: u64,
}

impl Server {
    /// Starts one with the defaults of its makers, but for what ours has too: the threads, the context of each slot
    /// in tokens, and how many slots there are. Returns once it answers.
    pub(super) async fn start(bench: &Bench, context: u32, slots: u32) -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        drop(listener);
        let log = tempfile::tempfile()?;
        let threads = bench.threads.to_string();
        let child = Command::new(bench.peer.join("llama-server"))
            .arg("--model")
            .arg(bench.model())
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--offline"])
            .args(["--threads", &threads, "--threads-batch", &threads])
            .args(["--ctx-size", &(context * slots).to_string(), "--parallel", &slots.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .kill_on_drop(true)
            .spawn()?;
        let mut server = Self { child, port, log, marks: Marks::default() };
        server.until_ready().await?;
        Ok(server)
    }

    async fn until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while http::get(self.port, "/health").await.is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let mut said = String::new();
                self.log.rewind()?;
                self.log.read_to_string(&mut said)?;
                bail!("llama-server is not ready ({ended:?}): {said}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Asks it how it writes the control tokens of the model.
    pub(super) async fn learn_marks(&mut self) -> Result<()> {
        let props = http::get(self.port, "/props").await?;
        let mark = |name: &str| {
            let text = props[name].as_str().map(str::to_owned);
            text.with_context(|| format!("llama-server has no {name}"))
        };
        self.marks = Marks { begin: mark("bos_token")?, end: mark("eos_token")? };
        Ok(())
    }

    /// Its process id.
    pub(super) fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id().context("llama-server runs")?)?)
    }

    /// Continues a prompt in the form that is wanted, always with the likeliest token.
    pub(super) async fn complete(&self, prompt: &str, form: &Form) -> Result<Completion> {
        let mut body = json!({
            "prompt": prompt, "n_predict": MAX_TOKENS, "temperature": 0.0, "cache_prompt": true,
        });
        let (key, value) = form.parameter();
        body[key] = value;
        let answer = http::post(self.port, "/completion", &body).await?;
        let count = |value: &Value, what: &str| {
            value.as_u64().with_context(|| format!("llama-server does not tell {what}: {answer}"))
        };
        Ok(Completion {
            text: answer["content"].as_str().unwrap_or_default().to_owned(),
            prompt: count(&answer["tokens_evaluated"], "tokens_evaluated")?,
            prefilled: count(&answer["timings"]["prompt_n"], "prompt_n")?,
            predicted: count(&answer["tokens_predicted"], "tokens_predicted")?,
        })
    }

    /// Ends it, and waits until it is gone.
    pub(super) async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
