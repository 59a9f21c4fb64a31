//! The daemon as a process, and what a service manager does for it: it is started again whenever it ends.
//!
//! Bound: it is started again after [`PAUSE`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::spawn;

/// What systemd takes for its `RestartSec` where nothing is said, so that a daemon that cannot start does
/// not take a core.
const PAUSE: Duration = Duration::from_millis(100);

/// How the daemon is started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// What it says goes here.
    pub(crate) log: PathBuf,
}

/// An end that nobody asked for.
#[derive(Debug, Clone)]
pub(crate) struct Death {
    pub(crate) status: String,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<Pid>,
    /// Whether it is to run.
    wanted: bool,
    /// Whether its next end was asked for.
    asked: bool,
    /// Whether it may end by itself, since it cannot write its disk.
    excused: bool,
    lives: Vec<Instant>,
    deaths: Vec<Death>,
}

/// The daemon. Dropping it kills it.
pub(crate) struct Daemon {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
    task: JoinHandle<()>,
}

impl Daemon {
    /// Starts it, and again whenever it ends.
    pub(crate) fn start(launch: Launch) -> Self {
        let state = Arc::new(Mutex::new(State { wanted: true, ..State::default() }));
        let changed = Arc::new(watch::Sender::new(()));
        let task = spawn(keep(launch, Arc::clone(&state), Arc::clone(&changed)));
        Self { state, changed, task }
    }

    /// Sends a signal that ends it. `false`: it does not run.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let mut state = lock(&self.state);
        let Some(pid) = state.pid else { return false };
        state.asked = true;
        kill_process(pid, signal).is_ok()
    }

    /// Whether it is to run. Where it is not, it is not started again once it has ended.
    pub(crate) fn set_wanted(&self, wanted: bool) {
        lock(&self.state).wanted = wanted;
        self.changed.send_replace(());
    }

    /// Whether an end of its own is no surprise.
    pub(crate) fn set_excused(&self, excused: bool) {
        lock(&self.state).excused = excused;
    }

    /// Waits until the life that runs now is over.
    pub(crate) async fn ended(&self) {
        let mut changed = self.changed.subscribe();
        let life = lock(&self.state).lives.len();
        let over = |state: &State| state.pid.is_none() || state.lives.len() > life;
        while !over(&lock(&self.state)) {
            // Its sender lives as long as this.
            let _ = changed.changed().await;
        }
    }

    /// The processes of its models.
    pub(crate) fn workers(&self) -> Vec<Pid> {
        let Some(pid) = lock(&self.state).pid else { return Vec::new() };
        let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
        let children = tasks.into_iter().flatten().flatten();
        let children =
            children.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let pids = children.collect::<Vec<_>>().join(" ");
        pids.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// When each of its lives began.
    pub(crate) fn lives(&self) -> Vec<Instant> {
        lock(&self.state).lives.clone()
    }

    /// Its ends that nobody asked for.
    pub(crate) fn deaths(&self) -> Vec<Death> {
        lock(&self.state).deaths.clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The child is killed with the task that waits for it.
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn keep(launch: Launch, state: Arc<Mutex<State>>, changed: Arc<watch::Sender<()>>) {
    let mut wake = changed.subscribe();
    loop {
        if !lock(&state).wanted {
            // The sender lives as long as this task.
            let _ = wake.changed().await;
            continue;
        }
        let ended = live(&launch, &state).await;
        {
            let mut state = lock(&state);
            state.pid = None;
            let asked = std::mem::take(&mut state.asked);
            if !asked && !state.excused {
                let status = match &ended {
                    Ok(status) => status.to_string(),
                    Err(error) => format!("{error:#}"),
                };
                state.deaths.push(Death { status });
            }
        }
        changed.send_replace(());
        tokio::time::sleep(PAUSE).await;
    }
}

async fn live(launch: &Launch, state: &Mutex<State>) -> Result<ExitStatus> {
    let log = open_log(&launch.log)?;
    let [program, arguments @ ..] = launch.command.as_slice() else {
        anyhow::bail!("there is no program to start")
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(launch.environment.iter().map(|(key, value)| (key, value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{program} cannot be started"))?;
    {
        let mut state = lock(state);
        state.pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        state.lives.push(began);
        state.asked = false;
    }
    Ok(child.wait().await?)
}

fn open_log(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("{} cannot be written", path.display()))
}
