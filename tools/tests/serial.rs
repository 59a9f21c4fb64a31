//! The serial tool on real pseudo-terminals: the test plays the board on the other end.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agentd_tools::{
    Args, Output, PortState, PortTask, SerialSpec, ToolError, Toolbox, device, port,
};
use agentd_tools::{Failure, ToolSpec};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// The board's end of a pseudo-terminal. Dropping it unplugs the board.
struct Board {
    end: AsyncFd<OwnedFd>,
    path: PathBuf,
    received: Vec<u8>,
}

impl Board {
    fn plug_in() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let end = openpt(flags).unwrap();
        grantpt(&end).unwrap();
        unlockpt(&end).unwrap();
        rustix::io::ioctl_fionbio(&end, true).unwrap();
        let path = ptsname(&end, Vec::new()).unwrap().into_string().unwrap();
        #[expect(deprecated, reason = "sound for an OwnedFd, and its successor is unsafe to call")]
        let end = AsyncFd::new(end).unwrap();
        Self { end, path: path.into(), received: Vec::new() }
    }

    /// The next line that the daemon sends.
    async fn hears(&mut self) -> String {
        let line = async {
            loop {
                if let Some(at) = self.received.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.received.drain(..=at).collect();
                    return String::from_utf8(line).unwrap();
                }
                let mut bytes = [0; 256];
                let mut ready = self.end.readable().await.unwrap();
                let read = ready.try_io(|end| Ok(rustix::io::read(end.get_ref(), &mut bytes)?));
                match read {
                    Ok(Ok(n)) => self.received.extend(&bytes[..n]),
                    Ok(Err(e)) => panic!("the board's end: {e}"),
                    // A terminal that was once closed stays "ready": let the other side run.
                    Err(_would_block) => tokio::task::yield_now().await,
                }
            }
        };
        timeout(PATIENCE, line).await.expect("the board hears a line")
    }

    async fn says(&self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let mut ready = timeout(PATIENCE, self.end.writable()).await.unwrap().unwrap();
            if let Ok(written) = ready
                .try_io(|end| -> io::Result<usize> { Ok(rustix::io::write(end.get_ref(), rest)?) })
            {
                rest = &rest[written.unwrap()..];
            }
        }
    }
}

fn port(path: &Path) -> SerialSpec {
    serde_json::from_value(json!({"name": "board", "path": path})).unwrap()
}

fn open(path: &Path) -> (Toolbox, PortTask) {
    open_with(port(path), 5000)
}

fn open_with(port: SerialSpec, timeout_ms: u64) -> (Toolbox, PortTask) {
    let tools = json!([
        {"name": "set", "description": "d", "kind": "serial", "port": "board",
         "params": {"device": {}, "state": {"enum": ["on", "off"]}}, "timeout_ms": timeout_ms,
         "send": "SET {device} {state}", "expect": "^OK(?: (?P<amps>\\S+) (?P<mode>\\S+))?$",
         "fail": "^ERR *(?P<reason>.*)$",
         "verify": {"send": "GET {device}", "expect": "^{device}={state}$", "otherwise": "="}},
    ]);
    let tools: Vec<ToolSpec> = serde_json::from_value(tools).unwrap();
    // No tool here reads the database, so none is needed.
    let opened = Toolbox::open(tools, vec![port], Path::new("/nowhere/agentd.db"));
    let (toolbox, mut tasks) = opened.unwrap_or_else(|e| panic!("{e}"));
    (toolbox, tasks.remove(0))
}

/// Runs the port's task beside the scenario, as the daemon does.
async fn beside<T>(task: PortTask, scenario: impl Future<Output = T>) -> T {
    tokio::select! {
        () = task.run(std::future::pending()) => panic!("the port's task ended"),
        result = scenario => result,
    }
}

async fn set(toolbox: &Toolbox, device: &str) -> Result<Output, Failure> {
    set_within(toolbox, device, PATIENCE).await
}

async fn set_within(toolbox: &Toolbox, device: &str, time: Duration) -> Result<Output, Failure> {
    let args = json!({"device": device, "state": "on"});
    let args: Args = args.as_object().unwrap().clone();
    toolbox.run("set", &args, Instant::now() + time).await
}

fn wire(frames: &[agentd_tools::WireFrame]) -> Vec<String> {
    let arrow = |sent| if sent { '>' } else { '<' };
    frames.iter().map(|frame| format!("{} {}", arrow(frame.sent), frame.text)).collect()
}

async fn until(toolbox: &Toolbox, wanted: impl Fn(&PortState) -> bool) -> PortState {
    let mut state = toolbox.port_states().remove(0).1;
    let state = timeout(PATIENCE, state.wait_for(wanted)).await;
    state.expect("the port's state comes").unwrap().clone()
}

fn lost(state: &PortState) -> bool {
    matches!(state, PortState::Unavailable { .. })
}

#[tokio::test]
async fn an_answer_becomes_fields_and_the_wire_is_recorded() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    beside(task, async {
        let (output, ()) = tokio::join!(set(&toolbox, "fan"), async {
            assert_eq!(board.hears().await, "SET fan on\n");
            board.says("OK 1.50 eco\r\n").await;
        });
        let output = output.unwrap();
        assert_eq!(Value::Object(output.fields), json!({"amps": 1.5, "mode": "eco"}));
        assert_eq!(wire(&output.wire), ["> SET fan on\\n", "< OK 1.50 eco\\r\\n"]);
        assert_eq!(until(&toolbox, |_| true).await, PortState::Open);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_says_what_the_device_said() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    beside(task, async {
        for (answer, reason) in [("ERR door is open\n", "door is open"), ("ERR\n", "ERR")] {
            let (result, ()) = tokio::join!(set(&toolbox, "fan"), async {
                board.hears().await;
                board.says(answer).await;
            });
            let failure = result.unwrap_err();
            let refused = ToolError::Refused { what: "board".into(), reason: reason.into() };
            assert_eq!(failure.error, refused);
            assert_eq!((failure.wire.len(), failure.error.effect_unknown()), (2, false));
        }
    })
    .await;
}

#[tokio::test]
async fn a_device_is_asked_whether_a_call_took_effect_and_its_arguments_are_no_patterns() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    let args = json!({"device": "f.n", "state": "on"}).as_object().unwrap().clone();
    beside(task, async {
        for (answer, took_effect) in
            [("f.n=on\n", true), ("f.n=off\n", false), ("fan=on\n", false), ("hm\nf.n=on\n", true)]
        {
            let asked = toolbox.read_back("set", &args, Instant::now() + PATIENCE);
            let (told, ()) = tokio::join!(asked, async {
                assert_eq!(board.hears().await, "GET f.n\n");
                board.says(answer).await;
            });
            assert_eq!(told.unwrap().took_effect, took_effect, "{answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn silence_is_told_at_the_timeout_and_the_next_exchange_works() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open_with(port(&board.path), 200);
    beside(task, async {
        let failure = set(&toolbox, "fan").await.unwrap_err();
        assert!(matches!(failure.error, ToolError::NoAnswer { ms: 150..=5000, .. }), "{failure}");
        assert_eq!(wire(&failure.wire), ["> SET fan on\\n"]);
        assert_eq!(board.hears().await, "SET fan on\n");
        let (result, ()) = tokio::join!(set(&toolbox, "pump"), async {
            assert_eq!(board.hears().await, "SET pump on\n");
            board.says("OK\n").await;
        });
        assert!(result.unwrap().fields.is_empty());
    })
    .await;
}

/// A port whose device may be late by more than a test waits.
fn port_of_a_late_device(path: &Path) -> SerialSpec {
    SerialSpec { late_ms: Some(600_000), ..port(path) }
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_answer_to_the_next_request() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open_with(port_of_a_late_device(&board.path), 200);
    beside(task, async {
        let failure = set(&toolbox, "fan").await.unwrap_err();
        assert_eq!(failure.error.code(), "no_answer");
        assert_eq!(board.hears().await, "SET fan on\n");
        // Were the pump's request sent now, the fan's answer would be taken for its own.
        let early = set_within(&toolbox, "pump", Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(early.error, ToolError::Busy { what: "board".into() });
        assert!(early.wire.is_empty() && !early.error.effect_unknown());
        board.says("TICK\nOK 1 la").await;
        board.says("te\n").await;
        let (lamp, ()) = tokio::join!(set(&toolbox, "lamp"), async {
            assert_eq!(board.hears().await, "SET lamp on\n", "and not the pump");
            board.says("OK 2 own\n").await;
        });
        assert_eq!(lamp.unwrap().fields["mode"], json!("own"));
    })
    .await;
}

#[tokio::test]
async fn a_device_that_is_never_late_gets_the_next_request_at_once() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open_with(SerialSpec { late_ms: Some(0), ..port(&board.path) }, 1000);
    beside(task, async {
        set(&toolbox, "fan").await.unwrap_err();
        assert_eq!(board.hears().await, "SET fan on\n");
        // Less than the default, by which the pump would not have its turn.
        let soon = Duration::from_millis(900);
        let (pump, ()) = tokio::join!(set_within(&toolbox, "pump", soon), async {
            assert_eq!(board.hears().await, "SET pump on\n");
            board.says("OK\n").await;
        });
        pump.unwrap();
    })
    .await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_an_answer_that_is_owed() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open_with(port_of_a_late_device(&board.path), 200);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = task.run(async { drop(stopped.await) });
    let script = async {
        set(&toolbox, "fan").await.unwrap_err();
        let (pump, ()) = tokio::join!(set(&toolbox, "pump"), async { drop(stop) });
        let failure = pump.unwrap_err();
        assert_eq!((failure.error.code(), failure.wire.len()), ("unavailable", 0));
    };
    let all = async { tokio::join!(run, script) };
    timeout(PATIENCE, all).await.expect("shutdown is bounded");
    assert_eq!(board.hears().await, "SET fan on\n");
}

#[tokio::test]
async fn chatter_and_echo_before_the_answer_are_passed_over() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    beside(task, async {
        let (result, ()) = tokio::join!(set(&toolbox, "fan"), async {
            board.hears().await;
            board.says("SET fan on\r\nTEMP 21\nO").await;
            board.says("K\n").await;
        });
        let wire = wire(&result.unwrap().wire);
        assert_eq!(wire[1..], ["< SET fan on\\r\\n", "< TEMP 21\\n", "< OK\\n"]);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_told_at_the_timeout() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open_with(port(&board.path), 200);
    beside(task, async {
        let (result, ()) = tokio::join!(set(&toolbox, "fan"), async {
            board.hears().await;
            board.says(&format!("{}\nHELLO\n", "x".repeat(201))).await;
        });
        let failure = result.unwrap_err();
        let answer = "x".repeat(200);
        assert_eq!(failure.error, ToolError::Unexpected { what: "board".into(), answer });
        assert_eq!(failure.wire.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_device_that_never_stops_talking_cannot_outrun_the_timeout() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open_with(port(&board.path), 300);
    beside(task, async {
        let began = Instant::now();
        let chatter = async {
            board.hears().await;
            loop {
                board.says("TICK\n").await;
            }
        };
        let failure = tokio::select! {
            result = set(&toolbox, "fan") => result.unwrap_err(),
            () = chatter => unreachable!("it never stops"),
        };
        assert_eq!(failure.error.code(), "unexpected_answer");
        assert_eq!(failure.wire.len(), port::MAX_WIRE_FRAMES);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn what_was_said_before_the_request_is_no_answer_to_it() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open_with(port(&board.path), 300);
    // The port is open and idle when the stale answer comes; a late answer would be just that.
    beside(task, async {
        let (first, ()) = tokio::join!(set(&toolbox, "fan"), async {
            board.hears().await;
            board.says("OK\n").await;
        });
        first.unwrap();
        board.says("OK 9 stale\nOK 8 half").await;
        let (second, ()) = tokio::join!(set(&toolbox, "pump"), async {
            assert_eq!(board.hears().await, "SET pump on\n");
            board.says("OK 1 fresh\n").await;
        });
        assert_eq!(second.unwrap().fields["mode"], json!("fresh"));
    })
    .await;
}

#[tokio::test]
async fn a_device_unplugged_in_mid_exchange_breaks_it_and_the_effect_is_unknown() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    let path = board.path.display().to_string();
    beside(task, async {
        let (result, ()) = tokio::join!(set(&toolbox, "fan"), async {
            board.hears().await;
            drop(board);
        });
        let failure = result.unwrap_err();
        assert!(matches!(failure.error, ToolError::Broken { .. }), "{failure}");
        assert!(failure.error.effect_unknown());
        assert_eq!(wire(&failure.wire), ["> SET fan on\\n"]);
        let state = until(&toolbox, lost).await;
        let PortState::Unavailable { why, calls } = state else { unreachable!() };
        assert_eq!(calls, 1, "the one in hand");
        assert!(why.contains(&path) && why.contains("went away"), "{why}");
    })
    .await;
}

#[tokio::test]
async fn a_device_unplugged_while_idle_is_noticed_at_once_and_found_again_under_its_link() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("greenhouse");
    let mut first = Board::plug_in();
    symlink(&first.path, &link).unwrap();
    let (toolbox, task) = open(&link);
    beside(task, async {
        let (result, ()) = tokio::join!(set(&toolbox, "fan"), async {
            first.hears().await;
            first.says("OK\n").await;
        });
        result.unwrap();

        fs::remove_file(&link).unwrap();
        // The second is made before the first goes, so that it is another device.
        let mut second = Board::plug_in();
        drop(first);
        until(&toolbox, lost).await;
        let failure = set(&toolbox, "fan").await.unwrap_err();
        assert!(matches!(failure.error, ToolError::Unavailable { .. }), "{failure}");
        assert!(failure.to_string().contains("is the board plugged in?"), "{failure}");
        set(&toolbox, "fan").await.unwrap_err();
        let state = until(&toolbox, |_| true).await;
        assert!(matches!(state, PortState::Unavailable { calls: 2, .. }), "{state:?}");
        assert!(failure.wire.is_empty() && !failure.error.effect_unknown());

        symlink(&second.path, &link).unwrap();
        let (result, ()) = tokio::join!(set(&toolbox, "pump"), async {
            assert_eq!(second.hears().await, "SET pump on\n");
            second.says("OK\n").await;
        });
        result.unwrap();
        assert_eq!(until(&toolbox, |_| true).await, PortState::Open);
    })
    .await;
}

#[tokio::test]
async fn a_device_swapped_behind_the_tasks_back_gets_the_request_once() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("greenhouse");
    let mut first = Board::plug_in();
    symlink(&first.path, &link).unwrap();
    let (toolbox, task) = open(&link);
    beside(task, async {
        let (result, ()) = tokio::join!(set(&toolbox, "fan"), async {
            first.hears().await;
            first.says("OK\n").await;
        });
        result.unwrap();
        // No await from here to the request: the task has no turn to notice.
        let mut second = Board::plug_in();
        drop(first);
        fs::remove_file(&link).unwrap();
        symlink(&second.path, &link).unwrap();
        let (result, ()) = tokio::join!(set(&toolbox, "pump"), async {
            assert_eq!(second.hears().await, "SET pump on\n");
            second.says("OK\n").await;
        });
        assert_eq!(wire(&result.unwrap().wire), ["> SET pump on\\n", "< OK\\n"]);
    })
    .await;
}

#[tokio::test]
async fn callers_are_served_in_order_and_one_at_a_time() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    beside(task, async {
        let board = async {
            for (device, answer) in [("fan", "OK 1 a\n"), ("pump", "OK 2 b\n")] {
                assert_eq!(board.hears().await, format!("SET {device} on\n"));
                assert_eq!(board.received, b"", "the second request waits for the first answer");
                board.says(answer).await;
            }
        };
        let (fan, pump, ()) = tokio::join!(set(&toolbox, "fan"), set(&toolbox, "pump"), board);
        assert_eq!(fan.unwrap().fields["amps"], json!(1));
        assert_eq!(pump.unwrap().fields["amps"], json!(2));
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_is_busy_and_what_waits_in_it_is_served() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    // The task does not run yet: these fill the queue.
    let names: Vec<String> = (0..port::QUEUE).map(|n| format!("d{n}")).collect();
    let mut waiting: Vec<_> = names.iter().map(|name| Box::pin(set(&toolbox, name))).collect();
    for call in &mut waiting {
        let once = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx)));
        assert!(once.await.is_pending());
    }
    let failure = set(&toolbox, "one_over").await.unwrap_err();
    assert_eq!(failure.error, ToolError::Busy { what: "board".into() });
    assert!(failure.wire.is_empty());
    beside(task, async {
        for (name, call) in names.iter().zip(waiting) {
            let (result, ()) = tokio::join!(call, async {
                assert_eq!(board.hears().await, format!("SET {name} on\n"));
                board.says("OK\n").await;
            });
            result.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_gave_up_before_its_turn_has_nothing_sent() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    {
        let mut call = Box::pin(set(&toolbox, "fan"));
        let once = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx)));
        assert!(once.await.is_pending());
    }
    beside(task, async {
        let (result, ()) = tokio::join!(set(&toolbox, "pump"), async {
            assert_eq!(board.hears().await, "SET pump on\n", "and not the fan");
            board.says("OK\n").await;
        });
        result.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_argument_cannot_smuggle_in_a_second_request() {
    let board = Board::plug_in();
    let mut port = port(&board.path);
    port.line_ending = ";".into();
    let (toolbox, task) = open_with(port, 5000);
    beside(task, async {
        let failure = set(&toolbox, "fan on;SET heater").await.unwrap_err();
        assert_eq!(failure.error.code(), "bad_request");
        assert_eq!(until(&toolbox, |_| true).await, PortState::Unknown, "not even opened");
    })
    .await;
}

#[tokio::test]
async fn the_time_in_the_queue_does_not_count_against_the_device() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open_with(port(&board.path), 300);
    beside(task, async {
        let (first, second, ()) =
            tokio::join!(set(&toolbox, "fan"), set(&toolbox, "pump"), async {
                board.hears().await;
                // The first is never answered. The second gets its own time, not what is left.
                board.hears().await;
                board.says("OK\n").await;
            });
        assert_eq!(first.unwrap_err().error.code(), "no_answer");
        assert!(second.is_ok(), "{second:?}");
    })
    .await;
}

#[tokio::test]
async fn an_overlong_line_is_passed_over_and_the_answer_behind_it_is_read() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    beside(task, async {
        let (result, ()) = tokio::join!(set(&toolbox, "fan"), async {
            board.hears().await;
            board.says(&format!("{}\nOK\n", "x".repeat(4097))).await;
        });
        let wire = wire(&result.unwrap().wire);
        assert_eq!(wire[1..], ["< (a line of more than 4096 bytes)", "< OK\\n"]);
    })
    .await;
}

#[tokio::test]
async fn shutdown_finishes_the_exchange_in_hand_and_refuses_those_that_wait() {
    let mut board = Board::plug_in();
    let (toolbox, task) = open(&board.path);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = task.run(async { drop(stopped.await) });
    let script = async {
        board.hears().await;
        drop(stop);
        board.says("OK\n").await;
    };
    let all = async { tokio::join!(run, set(&toolbox, "fan"), set(&toolbox, "pump"), script) };
    let ((), fan, pump, ()) = timeout(PATIENCE, all).await.expect("shutdown is bounded");
    fan.unwrap();
    let failure = pump.unwrap_err();
    assert_eq!(failure.error.code(), "unavailable");
    let failure = set(&toolbox, "lamp").await.unwrap_err();
    assert!(failure.to_string().contains("the daemon is stopping"), "{failure}");
}

#[tokio::test]
async fn a_probe_leaves_the_port_free_and_says_who_is_in_the_way() {
    let board = Board::plug_in();
    let spec = port(&board.path);
    device::probe(&spec).unwrap();
    device::probe(&spec).unwrap();
    let _holder = hold(&board.path);
    let error = device::probe(&spec).unwrap_err();
    assert!(error.to_string().contains("another program holds"), "{error}");
}

#[tokio::test]
async fn a_port_that_another_program_holds_is_used_once_it_is_free() {
    let mut board = Board::plug_in();
    let holder = hold(&board.path);
    let (toolbox, task) = open(&board.path);
    beside(task, async {
        let failure = set(&toolbox, "fan").await.unwrap_err();
        assert_eq!(failure.error.code(), "unavailable");
        assert!(failure.to_string().contains("another program holds"), "{failure}");
        rustix::fs::flock(&holder, rustix::fs::FlockOperation::Unlock).unwrap();
        let (result, ()) = tokio::join!(set(&toolbox, "fan"), async {
            board.hears().await;
            board.says("OK\n").await;
        });
        result.unwrap();
    })
    .await;
}

/// Another program that holds the port. As root it is the lock that keeps others out.
fn hold(path: &Path) -> fs::File {
    let holder = fs::File::options().read(true).write(true).open(path).unwrap();
    rustix::fs::flock(&holder, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    holder
}
