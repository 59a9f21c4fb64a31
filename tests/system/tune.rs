//! `agentd tune` with the real model and worker. Training itself is a script's: it hands out the built-in adapter.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use agentd_tests::{binary, real_model};
use serde_json::{Value, json};

/// Some thirty questions, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

const TOOLS: &str = r#"
[device]
id = "bench"
[[tool]]
name = "set_output"
description = "switch a device on or off"
kind = "publish"
event = "done"
params.device = { enum = ["pump", "fan", "lamp"] }
params.state = { enum = ["on", "off"] }
sentences = ["(turn|switch) [the] {device} {state}", "(turn|switch) {state} [the] {device}", "{device} {state}"]
examples = [{ say = "let some fresh air in", call = { device = "fan", state = "on" } }]
[[tool]]
name = "set_speed"
description = "set how fast the fan turns, in percent"
kind = "publish"
event = "done"
params.percent = { type = "integer", min = 0, max = 100, unit = "percent" }
sentences = ["set the speed to {percent} percent", "run it at {percent} percent", "speed {percent}"]
"#;

/// In Python's place: each call is written down, other machines are one, and the adapter to begin with is the result, also
/// averaged.
const TRAINER: &str = r#"#!/bin/sh
case "$*" in *generate.py*) echo generate ;; *train.py*) echo train ;; *average.py*) echo average ;; *) exit 0 ;; esac >>"$0.calls"
case "$*" in *average.py*) while [ $# -gt 1 ]; do
    case $1 in *adapter.gguf) end=$1 ;; --out) cp "$end" "$2" ;; --shares) echo "$2" >>"$0.shares" ;; esac
    shift
done; exit ;; esac
while [ $# -gt 1 ]; do
    case $1 in --from) from=$2 ;; --out) out=$2 ;; --lessons) lessons=$2 ;; esac
    shift
done
if [ -z "$from" ]; then
    cp "$0.jsonl" "$out"
else
    mkdir -p "$out" && cp "$from" "$out/adapter.gguf" && wc -l <"$lessons" >"$0.lessons"
fi
"#;

/// Six of them are shown as examples, the others are learnt.
const OTHERS: &str = r#"{"tools": [{"name": "open_door", "description": "open the door", "kind": "note"}], "pairs": [
{"say": "open the door", "answer": "open_door()"}, {"say": "sing a song", "answer": "none()"},
{"say": "the door, please", "answer": "open_door()"}, {"say": "who are you", "answer": "none()"},
{"say": "let me in", "answer": "open_door()"}, {"say": "good night", "answer": "none()"},
{"say": "open up", "answer": "open_door()"}, {"say": "buy some milk", "answer": "none()"}]}"#;

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("trainer")).expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        write("trainer/train.py", "");
        write("python.jsonl", &OTHERS.replace('\n', ""));
        let python = write("python", TRAINER);
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(python, executable).expect("its mode is set");
        Self(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self, model: &str) -> PathBuf {
        let path = self.at("agentd.toml");
        std::fs::write(&path, format!("{TOOLS}{}{model}\n", real_model())).expect("written");
        path
    }

    async fn tune(&self, config: &Path, more: &[&str]) -> Output {
        let path = |name: &str| self.at(name).display().to_string();
        let command = tokio::process::Command::new(binary())
            .arg("tune")
            .args(["--config", &config.display().to_string(), "--toolsets", "3"])
            .args(["--python", &path("python"), "--trainer", &path("trainer")])
            .args(["--work", &path("work"), "--out", &path("out.gguf")])
            .args(more)
            .stdin(Stdio::null())
            .output();
        tokio::time::timeout(PATIENCE, command).await.expect("it ends in time").expect("it runs")
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.at("python.calls")).unwrap_or_default().replace('\n', " ")
    }
}

fn result(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[tokio::test]
async fn an_adapter_is_installed_if_it_is_better_and_kept_aside_if_it_is_not() {
    let bench = Bench::new();
    let better = bench.tune(&bench.config("adapter = \"none\""), &["--json"]).await;
    let told = result(&better);
    assert!(better.status.success(), "{told:#}");
    assert_eq!((&told["verdict"], &told["installed"]), (&"better".into(), &true.into()));
    assert!(told["own"]["before"]["n"].as_u64().is_some_and(|n| n >= 8), "{told:#}");
    assert_eq!(told["general"]["before"]["n"], 8);
    assert!(std::fs::read(bench.at("out.gguf")).expect("installed").starts_with(b"GGUF"));
    assert_eq!(bench.calls(), "generate generate generate train average ");
    let lessons = std::fs::read_to_string(bench.at("python.lessons")).expect("lessons");
    assert_eq!(lessons.trim(), "4", "three of its own, one of others");

    std::fs::remove_file(bench.at("out.gguf")).expect("removed");
    let same = bench.tune(&bench.config(""), &["--json"]).await;
    assert_eq!(same.status.code(), Some(65));
    assert_eq!(result(&same)["verdict"], "no_better");
    assert!(!bench.at("out.gguf").exists());
    let kept = result(&same)["adapter"].as_str().map(PathBuf::from).expect("a path");
    assert!(kept.ends_with("rejected.gguf") && kept.exists(), "{}", kept.display());
    // It went on in the same folder, and made no data again.
    assert_eq!(bench.calls(), "generate generate generate train average train average ");
}

#[tokio::test]
async fn what_people_taught_is_learnt_anew_with_each_word_of_theirs_and_is_enough_to_be_installed()
{
    let bench = Bench::new();
    let kept = |rows: &[&str]| {
        let path = bench.at("feedback.jsonl");
        let row = |(at, say): (usize, &&str)| {
            let answer = "set_output(device=fan, state=on)";
            let kept = json!({"id": at, "at": "2026-01-01T00:00:00Z", "verdict": "approved", "say": say, "answer": answer});
            format!("{kept}\n")
        };
        std::fs::write(&path, rows.iter().enumerate().map(row).collect::<String>())
            .expect("written");
        format!("--from-history={}", path.display())
    };
    let config = bench.config("adapter = \"none\"");
    let more = kept(&["please turn on the fan", "the fan has to be switched on now"]);
    let told = result(&bench.tune(&config, &["--json", &more]).await);
    let (before, after) = (&told["taught"]["before"], &told["taught"]["after"]);
    assert_eq!((&before["n"], &after["n"]), (&2.into(), &2.into()), "{told:#}");
    assert!(told["taught"]["won"].as_u64() > Some(0), "{told:#}");
    // With one sentence more there are other lessons, in a folder of their own.
    let more =
        kept(&["please turn on the fan", "the fan has to be switched on now", "fan on, please"]);
    let told = result(&bench.tune(&config, &["--json", &more]).await);
    assert_eq!(told["taught"]["before"]["n"], 3, "{told:#}");
    assert_eq!(std::fs::read_dir(bench.at("work")).expect("folders").count(), 2);
}

#[tokio::test]
async fn less_of_the_training_is_taken_where_half_of_it_forgets_too_much() {
    let bench = Bench::new();
    // What the untuned model refuses, as nearly all, is right here, and what the tuned one does is wrong.
    let says = [
        "open the door",
        "open the door, please",
        "please open the door",
        "can you open the door",
        "open that door now",
        "door, open",
    ];
    let pairs: Vec<_> = says.iter().map(|say| json!({"say": say, "answer": "none()"})).collect();
    let tools = json!([{"name": "open_door", "description": "open the door", "kind": "note"}]);
    let others = json!({"tools": tools, "pairs": pairs}).to_string();
    std::fs::write(bench.at("python.jsonl"), others).expect("written");
    let output = bench.tune(&bench.config("adapter = \"none\""), &["--json"]).await;
    let told = result(&output);
    assert_eq!((&told["verdict"], output.status.code()), (&"forgot".into(), Some(65)), "{told:#}");
    assert_eq!(std::fs::read_to_string(bench.at("python.shares")).expect("shares"), "0.5\n0.35\n");
}

#[tokio::test]
async fn the_data_alone_need_no_trainer_and_are_the_same_for_the_same_seed() {
    let bench = Bench::new();
    let config = bench.config("");
    let mut made = Vec::new();
    for seed in ["7", "7", "8"] {
        let output = bench.tune(&config, &["--data-only", "--seed", seed]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made.push(std::fs::read_to_string(bench.at("out.gguf")).expect("data"));
    }
    assert!(made[0] == made[1] && made[0] != made[2]);
    assert_eq!(made[0].lines().count(), 3);
    assert_eq!(bench.calls(), "");
}

#[tokio::test]
async fn what_is_missing_is_told_before_anything_is_made() {
    let bench = Bench::new();
    let config = bench.config("");
    for (more, part) in
        [(["--python", "/bin/false"], "python3 -m venv"), (["--trainer", "/nowhere"], "--trainer")]
    {
        let path = |name: &str| bench.at(name).display().to_string();
        let mut given =
            vec!["--python".to_owned(), path("python"), "--trainer".to_owned(), path("trainer")];
        let at = given.iter().position(|option| option == more[0]).expect("an option");
        given[at + 1] = more[1].to_owned();
        let output = tokio::process::Command::new(binary())
            .args(["tune", "--config", &config.display().to_string(), "--work", &path("work")])
            .args(given)
            .stdin(Stdio::null())
            .output();
        let output =
            tokio::time::timeout(PATIENCE, output).await.expect("in time").expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(part), "{told}");
        assert!(!bench.at("work").exists());
    }
}
