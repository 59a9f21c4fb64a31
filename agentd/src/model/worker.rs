//! The worker: the process that holds the model, started by the supervisor as `agentd worker`.
//!
//! Its stdin is one end of a socket pair and carries [frames](super::frame) both ways; stdout is not
//! used; stderr has llama.cpp's log, which the supervisor reads.
//!
//! ```text
//!  socket ──> reader thread ──asks──> main thread (model, several asks at once) ──> socket
//!                   └── cancel, stop: signals that the main thread looks at before each batch
//! ```
//!
//! Bounds: the supervisor has at most `--parallel` asks in hand here. At the end of the socket the process
//! ends at once: whoever would hear its answer is gone.

use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::adapter::Adapter;
use super::config::{DEFAULT_GUESS, Parallel};
use super::dialect::TURNS;
use super::frame::{self, FrameError, FrameReader, FromWorker, ToWorker};
use super::loaded::Loaded;
use super::needs::{Memory, Needs, budget};
use super::prefix::Prefixes;
use super::scripted::Script;
use super::thinker::{Broken, Request, Signals, Thinker};
use super::words::Ahead;
use super::{built_in, devices, digest, gguf, kernels};

/// In the place of an adapter's file: not even the built-in one.
pub const NO_ADAPTER: &str = "none";
/// Below the daemon and what its owner runs, above nothing.
const NICE: i32 = 5;
/// When memory runs out the kernel takes the worker first: it can be started again.
const OOM_SCORE_ADJ: &str = "500";

/// What `agentd worker` is told on its command line.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArgs {
    /// The GGUF file.
    #[arg(long, required_unless_present = "scripted")]
    pub model: Option<PathBuf>,
    /// A LoRA adapter for it, or `none`. Default: the built-in one, where it is for this model.
    #[arg(long)]
    pub adapter: Option<PathBuf>,
    /// A file of scripted answers in the model's place, for tests.
    #[arg(long, conflicts_with = "model")]
    pub scripted: Option<PathBuf>,
    /// Threads that decode; 0 leaves one core free where there are four.
    #[arg(long, default_value_t = 0)]
    pub threads: u32,
    /// The context's size in tokens.
    #[arg(long, default_value_t = 2048)]
    pub context: u32,
    /// The most layers on a GPU; default: as many as fit.
    #[arg(long)]
    pub gpu_layers: Option<u32>,
    /// The most memory that the model may take, in MiB; 0: as much as is free.
    #[arg(long, default_value_t = 0)]
    pub memory_mib: u32,
    /// Asks that are answered at once, 1 to 16.
    #[arg(long, default_value = "4")]
    pub parallel: Parallel,
    /// The most tokens of an answer that are guessed at once; 0: none.
    #[arg(long, default_value_t = DEFAULT_GUESS)]
    pub guess_tokens: u32,
    /// A smaller model of the same vocabulary (GGUF) that guesses free text.
    #[arg(long)]
    pub draft: Option<PathBuf>,
    /// Where the states of prompts are kept over a restart.
    #[arg(long)]
    pub prefixes: Option<PathBuf>,
}

/// The sending end.
struct Outbox(UnixStream);

impl Outbox {
    fn send(&mut self, frame: &FromWorker) -> Result<(), FrameError> {
        let mut bytes = BytesMut::new();
        frame::encode(frame, &mut bytes)?;
        Ok(self.0.write_all(&bytes)?)
    }
}

/// Its exit code where the model cannot be used.
pub const UNUSABLE: u8 = 65;

/// Runs the worker until it is told to stop. The exit code is 64 where a person started it by hand, [`UNUSABLE`]
/// where the model cannot be used, 70 where the engine broke.
pub fn main(args: &WorkerArgs) -> ExitCode {
    let started = Instant::now();
    let Some(socket) = socket() else {
        eprintln!(
            "agentd worker is started by the daemon, which gives it a socket as its stdin. \
             Run `agentd run` instead."
        );
        return ExitCode::from(64);
    };
    lower_priority();
    let Ok(writer) = socket.try_clone() else { return ExitCode::from(70) };
    let mut out = Outbox(writer);
    let signals = Arc::new(Signals::default());
    let asks = read_frames(socket, Arc::clone(&signals));
    match work(args, started, &asks, &signals, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended { code, message }) => {
            // The supervisor sees the end of the process too; this only tells it why. It does not
            // go to stderr as well: there, llama.cpp's own reason is to stay the last one.
            let _ = out.send(&FromWorker::Fatal { message });
            ExitCode::from(code)
        }
    }
}

struct Ended {
    code: u8,
    message: String,
}

fn work(
    args: &WorkerArgs,
    started: Instant,
    asks: &mpsc::Receiver<Request>,
    signals: &Arc<Signals>,
    out: &mut Outbox,
) -> Result<(), Ended> {
    let unusable = |message: String| Ended { code: UNUSABLE, message };
    let load_ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(path) = &args.scripted {
        let mut script = Script::from_file(path).map_err(|e| unusable(e.to_string()))?;
        let sha256 = digest::of_file(path).map_err(|e| unusable(e.to_string()))?;
        let name = "scripted".to_owned();
        tell(
            out,
            &FromWorker::Ready {
                name,
                sha256,
                n_ctx: args.context,
                threads: 1,
                device: "script".into(),
                load_ms: load_ms(),
                native: None,
            },
        )?;
        return serve(&mut script, asks, signals, out);
    }
    let path = args.model.as_deref().ok_or_else(|| unusable("no model is given".into()))?;
    let header =
        gguf::Header::read(path).map_err(|e| unusable(format!("{}: {e}", path.display())))?;
    let needs = Needs::of(&header, args.context);
    let draft = args.draft.as_deref().filter(|_| args.guess_tokens > 0);
    let beside = draft.map(|path| {
        let header = gguf::Header::read(path);
        let header = header.map_err(|e| unusable(format!("{}: {e}", path.display())))?;
        Ok(Needs::of(&header, args.context))
    });
    let beside = beside.transpose()?;
    let both = draft.map_or(String::new(), |draft| format!(" with {}", draft.display()));
    beside
        .map_or(needs, |beside| needs.and(beside))
        .fit(Memory::now(), budget(args.memory_mib))
        .map_err(|why| unusable(format!("{}{both}: {why}", path.display())))?;
    let threads = if args.threads == 0 { kernels::threads() } else { args.threads };
    let ahead = args.prefixes.as_deref().and_then(|folder| Ahead::begin(folder, path));
    let digest = hash_beside(path);
    let reporter = reporter(out, signals)?;
    let (mut loaded, plan) = Loaded::from_file(path, reporter, |devices| {
        devices::plan(devices, &needs, header.shape.layers, args.gpu_layers)
    })
    .map_err(unusable)?;
    if let Some(draft) = draft {
        loaded.draft_with(draft).map_err(unusable)?;
    }
    let sha256 = digest
        .join()
        .map_err(|_| unusable("the file's hash could not be computed".into()))?
        .map_err(|e| unusable(format!("{}: {e}", path.display())))?;
    let adapter_sha256 = adapt(&mut loaded, args, &header, &sha256).map_err(unusable)?;
    match header.dialect.as_deref() {
        None => {}
        Some(TURNS) => loaded.speaks_turns(),
        Some(other) => {
            return Err(unusable(format!(
                "{}: it was tuned on prompts of the format {other:?}, which this version does not write: tune or pull it again",
                path.display()
            )));
        }
    }
    let engine = loaded.engine(args.context, threads, args.parallel.get(), ahead);
    let mut engine = engine.map_err(unusable)?;
    engine.guess_up_to(args.guess_tokens);
    if let Some(folder) = &args.prefixes {
        engine.keep_prefixes(Prefixes::new(folder.clone(), &format!("{sha256}{adapter_sha256}")));
    }
    let ready = FromWorker::Ready {
        name: header.name.unwrap_or_else(|| file_name(path)),
        sha256,
        n_ctx: engine.n_ctx(),
        threads,
        device: plan.told,
        load_ms: load_ms(),
        native: engine.native(),
    };
    tell(out, &ready)?;
    serve(&mut engine, asks, signals, out).map(|()| engine.keep_answers())
}

/// Tells the supervisor how far the load is, each percent once; leaves off when told to stop.
fn reporter(
    out: &Outbox,
    signals: &Arc<Signals>,
) -> Result<impl FnMut(f32) -> bool + 'static, Ended> {
    let socket = out.0.try_clone().map_err(|e| Ended { code: 70, message: e.to_string() })?;
    let (mut out, signals, mut told) = (Outbox(socket), Arc::clone(signals), None);
    Ok(move |done: f32| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is clamped"
        )]
        let percent = (done * 100.0).clamp(0.0, 100.0) as u8;
        if told != Some(percent) {
            told = Some(percent);
            // A lost report is made good by the next one; a lost socket ends the process elsewhere.
            let _ = out.send(&FromWorker::Loading { percent });
        }
        !signals.is_stopped()
    })
}

/// Puts the adapter that is to be used onto the model, if there is one. Returns its hash, or nothing.
fn adapt(
    loaded: &mut Loaded,
    args: &WorkerArgs,
    model: &gguf::Header,
    model_sha256: &str,
) -> Result<String, String> {
    let built_in;
    let adapter = match &args.adapter {
        Some(path) if path.as_os_str() == NO_ADAPTER => return Ok(String::new()),
        Some(path) => Adapter::read(path, model)
            .map_err(|e| format!("the adapter {}: {e}", path.display()))?,
        None => {
            built_in = built_in::adapter_for(model, model_sha256).map_err(|e| e.to_string())?;
            match &built_in {
                Some(built_in) => built_in.adapter.clone(),
                None => return Ok(String::new()),
            }
        }
    };
    if adapter.base_sha256.as_deref().is_some_and(|base| base != model_sha256) {
        // Another quantisation of the same model works nearly as well, so that this is no error.
        eprintln!(
            "the adapter {} was trained on another file of the model",
            adapter.path.display()
        );
    }
    let hash = digest::of_file(&adapter.path);
    let hash = hash.map_err(|e| format!("{}: {e}", adapter.path.display()))?;
    loaded.adapt(adapter)?;
    Ok(hash)
}

/// The file's hash, computed while the model is loaded from the same pages.
fn hash_beside(path: &Path) -> std::thread::JoinHandle<std::io::Result<String>> {
    let path = path.to_owned();
    std::thread::spawn(move || digest::recorded(&path).map_or_else(|| digest::of_file(&path), Ok))
}

fn serve(
    thinker: &mut impl Thinker,
    asks: &mpsc::Receiver<Request>,
    signals: &Signals,
    out: &mut Outbox,
) -> Result<(), Ended> {
    let mut last_id = 0;
    loop {
        if thinker.is_idle() {
            signals.forget_until(last_id);
            let Ok(request) = asks.recv() else { return Ok(()) };
            last_id = request.id;
            thinker.take(request);
        }
        // From before the look at what came, so that a thinker that waits does not sleep over it.
        let watch = signals.watch();
        while let Ok(request) = asks.try_recv() {
            last_id = request.id;
            thinker.take(request);
        }
        let mut told = Ok(());
        let mut say = |frame: FromWorker| {
            if let Err(ended) = tell(out, &frame) {
                told = Err(ended);
            }
        };
        let worked = thinker.step(&watch, &mut say);
        worked.map_err(|Broken(message)| Ended { code: 70, message })?;
        told?;
    }
}

fn tell(out: &mut Outbox, frame: &FromWorker) -> Result<(), Ended> {
    out.send(frame).map_err(|e| Ended { code: 70, message: format!("cannot answer: {e}") })
}

/// Stdin as the socket that the supervisor made, or nothing where it is something else.
fn socket() -> Option<UnixStream> {
    let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
    stream.peer_addr().is_ok().then_some(stream)
}

/// Reads frames until the socket ends. The channel has room for all asks that may be in hand, so that a cancel is never
/// stuck behind one.
fn read_frames(socket: UnixStream, signals: Arc<Signals>) -> mpsc::Receiver<Request> {
    let (to_main, asks) = mpsc::sync_channel(Parallel::MOST as usize);
    std::thread::spawn(move || {
        let mut frames = FrameReader::new(socket);
        loop {
            match frames.read::<ToWorker>() {
                Ok(Some(ToWorker::Ask {
                    id,
                    messages,
                    tools,
                    grammar,
                    max_tokens,
                    priority,
                    shows,
                    deadline_ms,
                })) => {
                    let received = Instant::now();
                    let deadline = received + Duration::from_millis(deadline_ms);
                    let ask = Request {
                        id,
                        messages,
                        tools,
                        grammar,
                        max_tokens,
                        priority,
                        shows,
                        received,
                        deadline,
                    };
                    if to_main.send(ask).is_err() {
                        return;
                    }
                    signals.arrived();
                }
                Ok(Some(ToWorker::Cancel { id })) => signals.cancel(id),
                // To drop the sender ends the main thread's loop once it is back from its ask.
                Ok(Some(ToWorker::Stop)) => return signals.stop(),
                Ok(None) => end_process("the daemon is gone"),
                Err(e) => end_process(&e.to_string()),
            }
        }
    });
    asks
}

/// Ends the process from the reader thread. Not `exit`: that runs llama.cpp's destructors under the
/// feet of the threads that compute. Nothing here needs to be tidied up.
fn end_process(why: &str) -> ! {
    eprintln!("the worker ends: {why}");
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// Best effort: without the right to do it the worker still works.
fn lower_priority() {
    let _ = rustix::process::nice(NICE);
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
}

fn file_name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
