//! An open serial device, and what is read from it.
//!
//! Bound: at most [`MAX_STALE_BYTES`] of old input are dropped before a request, so that a device that
//! never stops talking cannot hold the request back.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_serial::{ClearBuffer, SerialPort, SerialStream};

use crate::line::{Frame, LineBuffer};
use crate::{SerialSpec, device};

/// How much old input is dropped before a request: more than the kernel holds for a terminal.
const MAX_STALE_BYTES: usize = 64 * 1024;
/// What one read takes.
const READ_BYTES: usize = 1024;

/// An open device.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: SerialStream,
    lines: LineBuffer,
}

impl Connection {
    /// Opens the port's device; the error says why not, and what to do.
    pub(crate) fn open(spec: &SerialSpec) -> Result<Self, String> {
        let stream = device::open(spec)?;
        Ok(Self { stream, lines: LineBuffer::new(&spec.line_ending) })
    }

    /// Drops what came without being asked for, and a line that is not whole.
    pub(crate) fn drop_stale(&mut self) -> io::Result<()> {
        self.lines.clear();
        let mut scratch = [0; READ_BYTES];
        let mut dropped = 0;
        while dropped < MAX_STALE_BYTES {
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return Err(hung_up()),
                Ok(n) => dropped += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes all bytes, and counts in `written` those that the system took.
    ///
    /// It does not flush: the stream's flush waits for the device on the runtime's own thread.
    pub(crate) async fn write(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        while *written < bytes.len() {
            match self.stream.write(&bytes[*written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => *written += n,
            }
        }
        Ok(())
    }

    /// Waits for bytes and gives the lines that they complete, perhaps none. Nothing is lost when the
    /// future is dropped.
    pub(crate) async fn read(&mut self) -> io::Result<Vec<Frame>> {
        let mut bytes = [0; READ_BYTES];
        match self.stream.read(&mut bytes).await? {
            0 => Err(hung_up()),
            n => Ok(self.lines.push(&bytes[..n])),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Closing a terminal waits, up to 30 s, for output that a stuck device does not take. A
        // device that is gone cannot be cleared, and does not need it.
        let _ = self.stream.clear(ClearBuffer::Output);
    }
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the device is gone")
}
