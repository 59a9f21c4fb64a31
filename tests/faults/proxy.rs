//! The network between the daemon and the broker, as a proxy that knows packets.
//!
//! ```text
//!  daemon <──TCP──> proxy <──TCP──> mosquitto
//!                     └── Traffic decides on each packet; one task a connection does what it says
//! ```
//!
//! Bounds: one fault lies in wait at a time; a packet that waits for another waits [`STASH`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::fault::Fault;
use crate::mqtt::{self, Kind, Packet, Splitter};
use crate::spawn;
use crate::traffic::{Deed, Traffic, Way};

/// How long a PUBLISH waits for another to change places with.
const STASH: Duration = Duration::from_millis(300);

/// A packet that was passed on.
#[derive(Debug, Clone)]
pub(crate) struct Tapped {
    pub(crate) at: SystemTime,
    pub(crate) way: Way,
    pub(crate) packet: Packet,
}

struct Armed {
    fault: Fault,
    tell: oneshot::Sender<()>,
}

#[derive(Default)]
struct State {
    armed: Option<Armed>,
    delay: Duration,
    tap: Option<Vec<Tapped>>,
}

/// The proxy. Dropping it ends it and all its connections.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
    cuts: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy for the broker at this port of the loopback.
    pub(crate) async fn start(broker: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (state, (cuts, cut)) = (Arc::default(), watch::channel(0));
        let task = spawn(serve(listener, broker, Arc::clone(&state), cut));
        Ok(Self { port, state, cuts, task })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lets a fault lie in wait. The receiver hears when it happens, or that it was called off.
    pub(crate) fn arm(&self, fault: Fault) -> oneshot::Receiver<()> {
        let (tell, happened) = oneshot::channel();
        lock(&self.state).armed = Some(Armed { fault, tell });
        if matches!(fault, Fault::RefuseConnect { .. }) {
            // It needs a connection to be made, so the one that is there ends.
            self.cuts.send_modify(|n| *n += 1);
        }
        happened
    }

    /// Calls off what lies in wait.
    pub(crate) fn disarm(&self) {
        lock(&self.state).armed = None;
    }

    /// From now on each packet takes so long.
    pub(crate) fn set_delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// From now on what is passed on is kept.
    pub(crate) fn tap(&self) {
        lock(&self.state).tap = Some(Vec::new());
    }

    /// What was passed on.
    pub(crate) fn tapped(&self) -> Vec<Tapped> {
        lock(&self.state).tap.clone().unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its connections hold only this sender's other end, and end with it.
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    listener: TcpListener,
    broker: u16,
    state: Arc<Mutex<State>>,
    cut: watch::Receiver<u64>,
) {
    while let Ok((daemon, _)) = listener.accept().await {
        let (state, mut cut) = (Arc::clone(&state), cut.clone());
        cut.mark_unchanged();
        spawn(async move {
            tokio::select! {
                // An error is a connection that ended, which is what connections do here.
                _ = carry(daemon, broker, &state) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn carry(mut daemon: TcpStream, broker: u16, state: &Mutex<State>) -> Result<()> {
    let (mut up, mut down) = (Splitter::default(), Splitter::default());
    let connect = mqtt::expect(&mut up, &mut daemon, Kind::Connect).await?;
    if let Some(code) = refusal(state) {
        return Ok(daemon.write_all(Packet::refused(code).bytes()).await?);
    }
    let mut broker = TcpStream::connect(("127.0.0.1", broker)).await?;
    daemon.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    broker.write_all(connect.bytes()).await?;
    let mut traffic = Traffic::default();
    let (mut daemon, mut to_daemon) = daemon.split();
    let (mut broker, mut to_broker) = broker.split();
    loop {
        let (way, packet) = tokio::select! {
            packet = up.read(&mut daemon) => (Way::Up, packet?),
            packet = down.read(&mut broker) => (Way::Down, packet?),
            () = tokio::time::sleep(STASH), if traffic.holds() => {
                for deed in traffic.release() {
                    apply(deed, state, &mut to_daemon, &mut to_broker).await?;
                }
                continue;
            }
        };
        let Some(packet) = packet else { return Ok(()) };
        let delay = lock(state).delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        for deed in decide(state, &mut traffic, way, packet) {
            if apply(deed, state, &mut to_daemon, &mut to_broker).await? {
                return Ok(());
            }
        }
    }
}

/// The code that this connection is refused with, where one lies in wait.
fn refusal(state: &Mutex<State>) -> Option<u8> {
    let mut state = lock(state);
    let Some(Armed { fault: Fault::RefuseConnect { code }, .. }) = state.armed else { return None };
    if let Some(armed) = state.armed.take() {
        // Whoever armed it may have gone.
        let _ = armed.tell.send(());
    }
    Some(code)
}

fn decide(state: &Mutex<State>, traffic: &mut Traffic, way: Way, packet: Packet) -> Vec<Deed> {
    let mut state = lock(state);
    let mut fault = state.armed.as_ref().map(|armed| armed.fault);
    let deeds = traffic.take(&mut fault, way, packet);
    if fault.is_none()
        && let Some(armed) = state.armed.take()
    {
        let _ = armed.tell.send(());
    }
    deeds
}

/// Writes what was decided. `true`: the connection ends here.
async fn apply(
    deed: Deed,
    state: &Mutex<State>,
    to_daemon: &mut (impl AsyncWrite + Unpin),
    to_broker: &mut (impl AsyncWrite + Unpin),
) -> Result<bool> {
    let (way, bytes, ends) = match deed {
        Deed::Pass(way, packet) => {
            let bytes = packet.bytes().to_vec();
            if let Some(tap) = &mut lock(state).tap {
                tap.push(Tapped { at: SystemTime::now(), way, packet });
            }
            (way, bytes, false)
        }
        Deed::Cut(way, bytes) => (way, bytes, true),
    };
    match way {
        Way::Up => to_broker.write_all(&bytes).await?,
        Way::Down => to_daemon.write_all(&bytes).await?,
    }
    Ok(ends)
}
