//! What the daemon and its worker say to each other: JSON with its length before it.
//!
//! ```text
//!  | length: u32, little endian | JSON, `length` bytes |
//! ```
//!
//! Bound: a frame's JSON has at most [`MAX_FRAME_BYTES`]; a longer one is refused by both ends, and the
//! reader refuses it before it takes memory for it. One pure pair, [`encode`] and [`decode`], serves
//! both ends: the daemon wraps it in a codec ([`FrameDecoder`]), the worker in a blocking reader
//! ([`FrameReader`]).

use std::io::{self, Read};
use std::marker::PhantomData;

use agentd_tools::spec::Priority;
use bytes::{Buf, BufMut, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::constraint::Constraint;
use super::native::Native;
use super::{Answer, Message, ModelError};

/// The longest JSON of a frame, in bytes. A prompt for a context of 8192 tokens has some 32 KiB and a
/// large grammar some 200 KiB: what is longer is a mistake.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;

const LENGTH_BYTES: usize = 4;

/// From the daemon to the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum ToWorker {
    /// Continue these messages.
    Ask {
        /// Names the ask in the frames that answer it.
        id: u64,
        /// The prompt.
        messages: Vec<Message>,
        /// What the answer may be.
        grammar: Constraint,
        /// The tools that the model's own template renders along with the messages.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools: Option<serde_json::Value>,
        /// The most tokens that the answer may have; 0 where only the messages' state is wanted.
        max_tokens: u32,
        /// Who goes first.
        priority: Priority,
        /// Whether somebody looks at the answer while it is written.
        shows: bool,
        /// How long the answer is waited for, in milliseconds from the worker's receipt. It is not a
        /// point in time because the two processes share no monotonic clock that serde could carry.
        deadline_ms: u64,
    },
    /// The answer is no longer wanted.
    Cancel {
        /// The ask's id.
        id: u64,
    },
    /// Leave what is in hand and exit.
    Stop,
}

/// From the worker to the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum FromWorker {
    /// The model is being loaded.
    Loading {
        /// How much is done.
        percent: u8,
    },
    /// The worker waits for asks.
    Ready {
        /// The name that the file gives itself, else its file name.
        name: String,
        /// SHA-256 of the file, in hex.
        sha256: String,
        /// The context's size in tokens.
        n_ctx: u32,
        /// Threads that decode.
        threads: u32,
        /// What computes, as people are told of it.
        device: String,
        /// From the start of the process until now, in milliseconds.
        load_ms: u64,
        /// How the model wants to be offered tools, where it was not tuned on our prompts and has a way of its own.
        #[serde(default)]
        native: Option<Native>,
    },
    /// Some more of an answer: whole characters.
    Piece {
        /// The ask's id.
        id: u64,
        /// The text.
        text: String,
    },
    /// The whole answer.
    Done {
        /// The ask's id.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// There is no answer to this ask; the others go on.
    Failed {
        /// The ask's id.
        id: u64,
        /// Why.
        error: ModelError,
    },
    /// The ask was cancelled; the others go on.
    Cancelled {
        /// The ask's id.
        id: u64,
    },
    /// The worker cannot work and exits.
    Fatal {
        /// Why.
        message: String,
    },
}

/// Why a frame cannot be written or read. None of them can be mended: the stream is given up.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length before the frame is over the bound.
    #[error("a frame of {bytes} bytes; at most {MAX_FRAME_BYTES} are taken")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The JSON is not one of the frames.
    #[error("a frame that cannot be read")]
    Json(#[source] serde_json::Error),
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    CutOff,
    /// The stream broke.
    #[error("the stream to the other process broke")]
    Stream(#[from] io::Error),
}

/// Appends one frame to `out`; leaves `out` as it was where the frame is refused.
pub fn encode<T: Serialize>(frame: &T, out: &mut BytesMut) -> Result<(), FrameError> {
    let json = serde_json::to_vec(frame).map_err(FrameError::Json)?;
    let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= MAX_FRAME_BYTES);
    let length = length.ok_or(FrameError::TooLarge { bytes: json.len() })?;
    out.reserve(LENGTH_BYTES + json.len());
    out.put_u32_le(length);
    out.extend_from_slice(&json);
    Ok(())
}

/// Takes one frame from the head of `buffer`, or nothing where it is not whole yet.
pub fn decode<T: DeserializeOwned>(buffer: &mut BytesMut) -> Result<Option<T>, FrameError> {
    let Some(head) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*head) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLarge { bytes: length });
    }
    if buffer.len() < LENGTH_BYTES + length {
        buffer.reserve(LENGTH_BYTES + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    let json = buffer.split_to(length);
    serde_json::from_slice(&json).map(Some).map_err(FrameError::Json)
}

/// [`decode`] as a `tokio_util` codec.
#[derive(Debug)]
pub struct FrameDecoder<T>(PhantomData<fn() -> T>);

impl<T> Default for FrameDecoder<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: DeserializeOwned> tokio_util::codec::Decoder for FrameDecoder<T> {
    type Item = T;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<T>, FrameError> {
        decode(buffer)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<T>, FrameError> {
        match decode(buffer)? {
            None if !buffer.is_empty() => Err(FrameError::CutOff),
            frame => Ok(frame),
        }
    }
}

/// [`decode`] over a blocking stream.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: Read> FrameReader<R> {
    /// Reads frames from `stream`.
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Waits for the next frame; nothing at the end of the stream.
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let mut chunk = [0; 8192];
        loop {
            if let Some(frame) = decode(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut chunk) {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(FrameError::CutOff),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_util::codec::Decoder;

    use super::*;

    fn frames() -> impl Strategy<Value = Vec<FromWorker>> {
        let frame = prop_oneof![
            (0u8..=100).prop_map(|percent| FromWorker::Loading { percent }),
            (any::<u64>(), ".*").prop_map(|(id, text)| FromWorker::Piece { id, text }),
            ".*".prop_map(|message| FromWorker::Fatal { message }),
            (any::<u64>(), ".*")
                .prop_map(|(id, m)| FromWorker::Failed { id, error: ModelError::Refused(m) }),
            any::<u64>().prop_map(|id| FromWorker::Failed { id, error: ModelError::TooLate }),
            (any::<u64>(), ".*").prop_map(|(id, text)| FromWorker::Done {
                id,
                answer: Answer { text, ..Answer::default() }
            }),
        ];
        prop::collection::vec(frame, 0..12)
    }

    /// A stream that gives its bytes in chunks of the given sizes, over and over.
    struct Chunked<'a>(&'a [u8], std::iter::Cycle<std::vec::IntoIter<usize>>);

    impl Read for Chunked<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.next().unwrap_or(1).min(self.0.len()).min(out.len());
            let (head, rest) = self.0.split_at(n);
            out[..n].copy_from_slice(head);
            self.0 = rest;
            Ok(n)
        }
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
            sent in frames(), sizes in prop::collection::vec(1usize..200, 1..8)
        ) {
            let mut wire = BytesMut::new();
            for frame in &sent {
                encode(frame, &mut wire).unwrap();
            }
            let mut reader = FrameReader::new(Chunked(&wire, sizes.clone().into_iter().cycle()));
            let mut blocking = Vec::new();
            while let Some(frame) = reader.read::<FromWorker>().unwrap() {
                blocking.push(frame);
            }
            prop_assert_eq!(&blocking, &sent);

            let (mut codec, mut buffer) = (FrameDecoder::<FromWorker>::default(), BytesMut::new());
            let (mut through_codec, mut rest) = (Vec::new(), &wire[..]);
            for size in sizes.into_iter().cycle() {
                let (head, tail) = rest.split_at(size.min(rest.len()));
                buffer.extend_from_slice(head);
                rest = tail;
                while let Some(frame) = Decoder::decode(&mut codec, &mut buffer).unwrap() {
                    through_codec.push(frame);
                }
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(through_codec, sent);
            prop_assert_eq!(codec.decode_eof(&mut buffer).unwrap(), None);
        }

        #[test]
        fn garbage_is_refused_or_waited_for_and_never_panics(
            garbage in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let mut buffer = BytesMut::from(&garbage[..]);
            while let Ok(Some(frame)) = decode::<ToWorker>(&mut buffer) {
                prop_assert_eq!(frame, ToWorker::Stop, "random bytes hardly spell anything else");
            }
            let _ = FrameReader::new(&garbage[..]).read::<FromWorker>();
        }
    }

    #[test]
    fn the_frame_bound_holds_at_and_one_over() {
        let frame = |text_bytes| FromWorker::Fatal { message: "a".repeat(text_bytes) };
        let around = serde_json::to_vec(&frame(0)).unwrap().len();
        let mut wire = BytesMut::new();
        encode(&frame(MAX_FRAME_BYTES - around), &mut wire).unwrap();
        assert_eq!(wire.len(), 4 + MAX_FRAME_BYTES);
        assert!(decode::<FromWorker>(&mut wire).unwrap().is_some());
        let refused = encode(&frame(MAX_FRAME_BYTES - around + 1), &mut wire);
        assert!(
            matches!(refused, Err(FrameError::TooLarge { bytes }) if bytes == MAX_FRAME_BYTES + 1)
        );
        assert!(wire.is_empty(), "nothing of a refused frame goes out");
        let one_over = u32::try_from(MAX_FRAME_BYTES + 1).unwrap().to_le_bytes();
        let refused = decode::<FromWorker>(&mut BytesMut::from(&one_over[..]));
        assert!(matches!(refused, Err(FrameError::TooLarge { .. })), "by its length alone");
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_is_cut_off() {
        let mut wire = BytesMut::new();
        encode(&ToWorker::Stop, &mut wire).unwrap();
        let cut = &wire[..wire.len() - 1];
        assert!(matches!(FrameReader::new(cut).read::<ToWorker>(), Err(FrameError::CutOff)));
        let mut buffer = BytesMut::from(cut);
        let end = FrameDecoder::<ToWorker>::default().decode_eof(&mut buffer);
        assert!(matches!(end, Err(FrameError::CutOff)));
    }
}
