//! `agentd check`: what `run` would find, found before it, with how to mend it. Nothing is changed.

use std::path::Path;
use std::process::ExitCode;

use agentd_tools::Toolbox;
use serde::Serialize;

use crate::agent::config::{self, AgentConfig, DEFAULT};
use crate::cli::models::summary;
use crate::cli::{BAD_CONFIG, ConfigArgs, chain};
use crate::config::{Config, ConfigError};
use crate::http::config::HttpConfig;
use crate::link;
use crate::link::config::MqttConfig;
use crate::model::adapter::Adapter;
use crate::model::built_in;
use crate::model::config::{ModelConfig, Source};
use crate::model::devices;
use crate::model::gguf::Header;
use crate::model::needs::{Memory, Needs, budget};
use crate::model::worker::NO_ADAPTER;
use crate::store::{self, StoreConfig};

/// What to check.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well.
    Ok,
    /// The daemon runs, without this.
    Warning,
    /// The daemon does not start.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `config`, `store`, `port:board`, ...
    pub what: String,
    /// How bad.
    pub level: Level,
    /// What was found, and how to mend it.
    pub message: String,
}

/// Checks, prints, and gives the exit code: 0 only if the daemon could run.
pub async fn run(args: &CheckArgs) -> ExitCode {
    let findings = match Config::load(&args.config.config) {
        Ok(config) => check(&config, &args.config.config.display().to_string()).await,
        // One finding for each mistake, and one line for each finding.
        Err(ConfigError::Parts(mistakes)) => mistakes
            .iter()
            .map(|mistake| mistake.split_whitespace().collect::<Vec<_>>().join(" "))
            .map(|mistake| finding("config", Level::Error, mistake))
            .collect(),
        Err(error) => vec![finding("config", Level::Error, chain(&error))],
    };
    if args.json {
        println!("{}", serde_json::json!(findings));
    } else {
        for finding in &findings {
            let mark = match finding.level {
                Level::Ok => "ok     ",
                Level::Warning => "warning",
                Level::Error => "ERROR  ",
            };
            println!("{mark}  {:<12} {}", finding.what, finding.message);
        }
    }
    let could_run = findings.iter().all(|finding| finding.level != Level::Error);
    if could_run { ExitCode::SUCCESS } else { ExitCode::from(BAD_CONFIG) }
}

fn finding(what: &str, level: Level, message: impl Into<String>) -> Finding {
    Finding { what: what.to_owned(), level, message: message.into() }
}

/// All findings about a config that could be read.
pub async fn check(config: &Config, path: &str) -> Vec<Finding> {
    let summary = format!(
        "{path}: device {}, {} tools, {} ports, {} polls",
        config.device_id(),
        config.tool.len(),
        config.serial.len(),
        config.poll.len()
    );
    let mut findings = vec![finding("config", Level::Ok, summary), check_store(&config.store)];
    findings.extend(check_tools(config));
    for port in &config.serial {
        let what = format!("port:{}", port.name);
        findings.push(match agentd_tools::device::probe(port) {
            Ok(()) => finding(&what, Level::Ok, format!("{} answers to being opened", port.path)),
            Err(error) => finding(&what, Level::Warning, error.to_string()),
        });
    }
    for agent in config::all(&config.agent) {
        findings.extend(check_models(&agent, &config.model));
    }
    match &config.mqtt {
        None => {
            let message = "no [mqtt] section: the device works without a network";
            findings.push(finding("mqtt", Level::Ok, message));
        }
        Some(mqtt) => {
            findings.push(check_broker("mqtt", mqtt).await);
            if let Some(local) = mqtt.on_board() {
                findings.push(check_broker("mqtt:local", &local).await);
            }
        }
    }
    findings.push(check_http(&config.http));
    findings
}

async fn check_broker(what: &str, config: &MqttConfig) -> Finding {
    match link::probe(config).await {
        Ok(text) => finding(what, Level::Ok, text),
        Err(error) if error.is_config() => finding(what, Level::Error, chain(&error)),
        Err(error) => finding(
            what,
            Level::Warning,
            format!("{}; until it is there, messages wait in the outbox", chain(&error)),
        ),
    }
}

fn check_store(config: &StoreConfig) -> Finding {
    match store::open::probe(&config.path) {
        Ok(None) => check_room(&config.path),
        Ok(Some(why)) => finding(
            "store",
            Level::Warning,
            format!("{}: {why}; `run` moves it aside and begins a new one", config.path.display()),
        ),
        Err(error) => finding("store", Level::Error, chain(&error)),
    }
}

/// Below this nothing can be recorded for long, and what cannot be recorded is not done.
const ROOM_NEEDED: u64 = 1024 * 1024;
/// Below this the outbox may not reach its bound.
const ROOM_WANTED: u64 = 100 * 1024 * 1024;

fn check_room(path: &Path) -> Finding {
    let folder = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let shown = path.display();
    let free = match rustix::fs::statvfs(folder) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            let message = format!("{shown}: the room on its disk is not known: {error}");
            return finding("store", Level::Warning, message);
        }
    };
    let (level, advice) = match free {
        0..ROOM_NEEDED => (Level::Error, ": the disk is full; make room, or set `store.path`"),
        ROOM_NEEDED..ROOM_WANTED => (Level::Warning, ": that is little for a long time offline"),
        _ => (Level::Ok, ""),
    };
    finding("store", level, format!("{shown}, {} MiB free{advice}", free / (1024 * 1024)))
}

/// The statements are prepared against an empty database of this version, so that the real one is not
/// touched and need not exist.
fn check_tools(config: &Config) -> Vec<Finding> {
    let opened = tempfile::tempdir()
        .map_err(|e| format!("no folder for a trial database: {e}"))
        .and_then(|folder| {
            let path = folder.path().join("trial.db");
            store::open::create(&path).map_err(|e| chain(&e))?;
            Toolbox::open(config.tool.clone(), config.serial.clone(), &path).map_err(|e| chain(&e))
        });
    match opened {
        Ok(_) => {
            vec![finding("tools", Level::Ok, format!("{} are well-formed", config.tool.len()))]
        }
        Err(error) => vec![finding("tools", Level::Error, error)],
    }
}

/// The models of an agent; of another one than the default one the first, and its tools.
fn check_models(agent: &AgentConfig, machine: &ModelConfig) -> Vec<Finding> {
    let own = agent.model(machine);
    let first = check_model(&own);
    if agent.name != DEFAULT {
        let tools = agent.tools.as_ref().map_or("all tools".into(), |own| own.join(", "));
        let (what, message) =
            (format!("agent:{}", agent.name), format!("{}; for {tools}", first.message));
        return vec![Finding { what, message, ..first }];
    }
    let behind = own.fallback.iter().map(|named| {
        let told = check_model(&own.with(named));
        Finding { message: format!("fallback {}", told.message), ..told }
    });
    let larger = own.escalate_to.iter().map(|named| {
        let told = check_model(&own.with(named));
        Finding { message: format!("escalate_to {}", told.message), ..told }
    });
    std::iter::once(first).chain(behind).chain(larger).collect()
}

fn check_model(config: &ModelConfig) -> Finding {
    let source = match config.source() {
        Ok(source) => source,
        Err(error) => return finding("model", Level::Warning, chain(&error)),
    };
    let Some(source) = source else {
        return finding(
            "model",
            Level::Warning,
            "none is installed, so only known sentences work: `agentd model pull` gets one",
        );
    };
    match source {
        Source::Script(path) => {
            finding("model", Level::Ok, format!("the script {}", path.display()))
        }
        Source::File { name, path } => match Header::read(&path) {
            Ok(header) => {
                let draft = match draft(config) {
                    Ok(draft) => draft,
                    Err(why) => return finding("model", Level::Warning, why),
                };
                let needs = Needs::of(&header, config.context);
                let all = draft.map_or(needs, |draft| needs.and(draft));
                // What is free now may be other by the time it is loaded, and a daemon that runs has loaded it.
                let memory = Memory::now().map(|memory| Memory { free: memory.total, ..memory });
                match all.fit(memory, budget(config.memory_mib)) {
                    Ok(()) => {
                        let device = devices::all();
                        let plan =
                            devices::plan(&device, &needs, header.shape.layers, config.gpu_layers);
                        let mut found = check_adapter(config, &name, &header);
                        if found.level == Level::Ok {
                            found.message.push_str(&format!(", on {}", plan.told));
                        }
                        found
                    }
                    Err(why) => finding("model", Level::Warning, format!("{name}: {why}")),
                }
            }
            Err(error) => finding("model", Level::Warning, chain(&error)),
        },
    }
}

/// What the draft model needs, where there is one. The error says why it cannot be used.
fn draft(config: &ModelConfig) -> Result<Option<Needs>, String> {
    let path = config.draft_path().map_err(|error| chain(&error))?;
    let header = path.map(|path| {
        Header::read(&path)
            .map_err(|error| format!("the draft {}: {}", path.display(), chain(&error)))
    });
    Ok(header.transpose()?.map(|header| Needs::of(&header, config.context)))
}

fn check_adapter(config: &ModelConfig, name: &str, model: &Header) -> Finding {
    let Some(path) = &config.adapter else {
        // What is built in is for one model, which is known by its hash; that of a file of somebody's own is
        // not computed here, because it may take minutes.
        let for_this = |hash: String| built_in::adapter_for(model, &hash);
        let is_tuned = match config.sha256().map(for_this) {
            Some(Err(error)) => {
                let told = format!("{name}: the built-in adapter: {}", chain(&error));
                return finding("model", Level::Warning, told);
            }
            found => matches!(found, Some(Ok(Some(_)))),
        };
        let told = match is_tuned || model.adapter_sha256.is_some() {
            true => format!("{name}: {}, tuned for calls", summary(model)),
            false => format!("{name}: {}", summary(model)),
        };
        return finding("model", Level::Ok, told);
    };
    if path.as_os_str() == NO_ADAPTER {
        return finding("model", Level::Ok, format!("{name}: {}, without adapter", summary(model)));
    }
    match Adapter::read(path, model) {
        Ok(_) => {
            let told = format!("{name}: {}, adapter {}", summary(model), path.display());
            finding("model", Level::Ok, told)
        }
        Err(error) => {
            let told = format!("the adapter {}: {}", path.display(), chain(&error));
            finding("model", Level::Warning, told)
        }
    }
}

fn check_http(config: &HttpConfig) -> Finding {
    match config.check() {
        Ok(_) => {
            let listen = config.listen.map_or("off".to_owned(), |address| address.to_string());
            let socket = config.socket.as_ref().map_or("off".into(), |path| path.to_string_lossy());
            finding("http", Level::Ok, format!("TCP {listen}, socket {socket}"))
        }
        Err(error) => finding("http", Level::Error, chain(&error)),
    }
}
