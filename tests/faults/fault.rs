//! What can go wrong, by name.

use std::fmt;

/// Every failing reason code of a CONNACK (MQTT 5.0, table 3-1).
pub(crate) const CONNACK_CODES: [u8; 21] = [
    0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99,
    0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
];
/// Every failing reason code of a PUBACK (MQTT 5.0, table 3-4).
pub(crate) const PUBACK_CODES: [u8; 7] = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The daemon is killed at a moment.
    KillDaemon(Moment),
    /// The daemon is told to stop, and started again.
    StopDaemon,
    /// The model's process is killed.
    KillWorker,
    /// The broker is stopped, and started again later.
    StopBroker,
    /// The connection ends after so many bytes of a PUBLISH of the daemon's.
    CutUp { at: usize },
    /// The connection ends after so many bytes of a PUBLISH to the daemon.
    CutDown { at: usize },
    /// Each packet takes so long.
    Delay { ms: u64 },
    /// Nothing crosses the connection any more, and nobody is told.
    Silence,
    /// A PUBLISH reaches the daemon twice.
    Duplicate,
    /// Two PUBLISH change places on their way to the broker.
    ReorderUp,
    /// Two PUBLISH change places on their way to the daemon.
    ReorderDown,
    /// The broker refuses the next connection.
    RefuseConnect { code: u8 },
    /// The broker refuses a row of the outbox; `taken`: it keeps the message all the same.
    RefusePublish { code: u8, taken: bool },
    /// The disk is full, but for so many bytes.
    FillDisk { left: u64 },
    /// The daemon finds its disk read-only when it starts after a crash.
    ReadOnlyDisk,
    /// The cable is pulled, and plugged in again later.
    Unplug,
    /// The board takes long to answer once.
    Slow { ms: u64 },
    /// The board does what it is told and does not answer once.
    Mute,
    /// The board answers nonsense once.
    Garbage,
    /// The wall clock jumps.
    Clock { seconds: i64 },
}

/// When the daemon is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// At once.
    Now,
    /// When the board has been told to act and has not answered.
    Acting,
    /// When a row of the outbox is on its way; `passed`: the broker gets it.
    Publishing { passed: bool },
    /// When the broker acknowledges a row; the daemon does not hear of it.
    Acknowledged,
    /// When it acknowledges a command; `passed`: the broker hears of it.
    Accepting { passed: bool },
}

/// The rows of the table, in its order.
pub(crate) const KINDS: [&str; 20] = [
    "kill daemon",
    "stop daemon",
    "kill worker",
    "stop broker",
    "cut to broker",
    "cut to daemon",
    "delay",
    "silence",
    "duplicate",
    "reorder to broker",
    "reorder to daemon",
    "refuse connection",
    "refuse publish",
    "fill disk",
    "read-only disk",
    "unplug",
    "slow board",
    "mute board",
    "garbage",
    "clock jump",
];

impl Fault {
    /// Its row of the table.
    pub(crate) fn kind(self) -> &'static str {
        KINDS[match self {
            Self::KillDaemon(_) => 0,
            Self::StopDaemon => 1,
            Self::KillWorker => 2,
            Self::StopBroker => 3,
            Self::CutUp { .. } => 4,
            Self::CutDown { .. } => 5,
            Self::Delay { .. } => 6,
            Self::Silence => 7,
            Self::Duplicate => 8,
            Self::ReorderUp => 9,
            Self::ReorderDown => 10,
            Self::RefuseConnect { .. } => 11,
            Self::RefusePublish { .. } => 12,
            Self::FillDisk { .. } => 13,
            Self::ReadOnlyDisk => 14,
            Self::Unplug => 15,
            Self::Slow { .. } => 16,
            Self::Mute => 17,
            Self::Garbage => 18,
            Self::Clock { .. } => 19,
        }]
    }

    /// Whether it can happen only where packets flow or the board is asked.
    pub(crate) fn needs_traffic(self) -> bool {
        match self {
            Self::KillDaemon(moment) => moment != Moment::Now,
            Self::CutUp { .. }
            | Self::CutDown { .. }
            | Self::Silence
            | Self::Duplicate
            | Self::ReorderUp
            | Self::ReorderDown
            | Self::RefuseConnect { .. }
            | Self::RefusePublish { .. }
            | Self::Slow { .. }
            | Self::Mute
            | Self::Garbage => true,
            _ => false,
        }
    }

    /// Whether another fault may come while it lasts.
    pub(crate) fn may_overlap(self) -> bool {
        matches!(self, Self::Delay { .. }) || self.stops_traffic()
    }

    /// Whether nothing reaches the board or the broker while it lasts.
    pub(crate) fn stops_traffic(self) -> bool {
        matches!(self, Self::StopBroker | Self::FillDisk { .. } | Self::Unplug)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::KillDaemon(moment) => write!(f, " ({moment:?})"),
            Self::CutUp { at } | Self::CutDown { at } => write!(f, " (byte {at})"),
            Self::Delay { ms } | Self::Slow { ms } => write!(f, " ({ms} ms)"),
            Self::RefuseConnect { code } => write!(f, " ({code:#04x})"),
            Self::RefusePublish { code, taken } => write!(f, " ({code:#04x}, taken: {taken})"),
            Self::FillDisk { left } => write!(f, " (but for {left} bytes)"),
            Self::Clock { seconds } => write!(f, " ({seconds:+} s)"),
            _ => Ok(()),
        }
    }
}
