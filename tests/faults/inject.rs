//! How each fault is brought about, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Signal, kill_process};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::board::Mood;
use crate::fault::{Fault, Moment};
use crate::machine::{LOOK, Machine};
use crate::spawn;

/// How long a fault lies in wait. The link waits up to 30 s between two attempts to connect.
const IN_WAIT: Duration = Duration::from_secs(45);
/// The board answers so late when the daemon is to be killed in the middle of an exchange.
const MIDDLE: Duration = Duration::from_millis(500);

/// A fault that has begun.
pub(crate) enum Begun {
    /// It has happened, or could not.
    Now(bool),
    /// It lies in wait.
    Later(JoinHandle<bool>),
    /// It lies in wait at the board.
    Mood,
}

impl Machine {
    /// Brings a fault about, or lets it lie in wait.
    pub(crate) async fn begin(&mut self, fault: Fault) -> Result<Begun> {
        let now = match fault {
            Fault::KillDaemon(Moment::Now) => self.daemon.signal(Signal::KILL),
            Fault::KillDaemon(Moment::Acting) => {
                self.board.set_mood(Some(Mood::Late(MIDDLE)));
                let (daemon, mut count) = (Arc::clone(&self.daemon), self.board.count());
                count.mark_unchanged();
                return Ok(Begun::Later(spawn(async move {
                    count.changed().await.is_ok() && daemon.signal(Signal::KILL)
                })));
            }
            Fault::KillDaemon(_) => {
                let (daemon, happens) = (Arc::clone(&self.daemon), self.proxy.arm(fault));
                return Ok(Begun::Later(spawn(async move {
                    happens.await.is_ok() && daemon.signal(Signal::KILL)
                })));
            }
            Fault::StopDaemon => self.daemon.signal(Signal::TERM),
            Fault::KillWorker => {
                let workers = self.daemon.workers();
                workers.into_iter().any(|pid| kill_process(pid, Signal::KILL).is_ok())
            }
            Fault::StopBroker => self.stop_broker().await,
            Fault::CutUp { .. }
            | Fault::CutDown { .. }
            | Fault::Silence
            | Fault::Duplicate
            | Fault::ReorderUp
            | Fault::ReorderDown
            | Fault::RefuseConnect { .. }
            | Fault::RefusePublish { .. } => {
                let happens = self.proxy.arm(fault);
                return Ok(Begun::Later(spawn(async move { happens.await.is_ok() })));
            }
            Fault::Delay { ms } => {
                self.proxy.set_delay(Duration::from_millis(ms));
                true
            }
            Fault::FillDisk { left } => {
                self.daemon.set_excused(true);
                self.disk.fill(left)?;
                true
            }
            Fault::ReadOnlyDisk => {
                self.daemon.set_excused(true);
                self.daemon.set_wanted(false);
                self.daemon.signal(Signal::KILL);
                self.daemon.ended().await;
                self.disk.set_read_only(true)?;
                self.daemon.set_wanted(true);
                true
            }
            Fault::Unplug => {
                self.board.unplug();
                true
            }
            Fault::Slow { ms } => return Ok(self.mood(Mood::Late(Duration::from_millis(ms)))),
            Fault::Mute => return Ok(self.mood(Mood::Mute)),
            Fault::Garbage => return Ok(self.mood(Mood::Garbage)),
            Fault::Clock { seconds } => {
                self.clock.jump(seconds)?;
                true
            }
        };
        Ok(Begun::Now(now))
    }

    fn mood(&self, mood: Mood) -> Begun {
        self.board.set_mood(Some(mood));
        Begun::Mood
    }

    /// Ends a fault. `false`: it did not happen.
    pub(crate) async fn end(&mut self, fault: Fault, begun: Begun) -> Result<bool> {
        match fault {
            Fault::StopBroker => self.start_broker().await?,
            Fault::Delay { .. } => self.proxy.set_delay(Duration::ZERO),
            Fault::FillDisk { .. } | Fault::ReadOnlyDisk => {
                if fault == Fault::ReadOnlyDisk {
                    self.disk.set_read_only(false)?;
                } else {
                    self.disk.free()?;
                }
                // Until then it may still be ending because of what it could not write.
                self.answers().await?;
                self.daemon.set_excused(false);
            }
            Fault::Unplug => self.board.replug()?,
            _ => {}
        }
        let happened = match begun {
            Begun::Now(happened) => happened,
            Begun::Later(mut waiting) => {
                let happened = timeout(IN_WAIT, &mut waiting).await;
                waiting.abort();
                self.proxy.disarm();
                matches!(happened, Ok(Ok(true)))
            }
            Begun::Mood => timeout(IN_WAIT, self.answered()).await.is_ok(),
        };
        // A mood that nobody met is called off.
        self.board.set_mood(None);
        Ok(happened)
    }

    /// Waits until the board has answered in its mood.
    async fn answered(&self) {
        while self.board.mood().is_some() {
            tokio::time::sleep(LOOK).await;
        }
    }
}
