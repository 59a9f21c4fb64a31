//! Streams of the front-ends: Wyoming events, and the server-sent events that the client reads.

use agentd::client::sse::{self, MAX_EVENT_BYTES};
use agentd::wyoming::codec::{Codec, Event, MAX_DATA_BYTES, MAX_LINE_BYTES};
use bytes::BytesMut;
use serde_json::Value;
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::driver::{Target, Verdict, pieces, texts};

/// The events of a stream up to its first error, and the error.
fn events(pieces: &[&[u8]]) -> (Vec<Event>, Option<String>) {
    let (mut codec, mut buffer, mut found) = (Codec::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(event)) => found.push(event),
                Ok(None) => break,
                Err(error) => return (found, Some(error.to_string())),
            }
        }
        let most = 2 * (MAX_LINE_BYTES + MAX_DATA_BYTES + piece.len());
        assert!(buffer.len() <= most, "{} bytes are held", buffer.len());
    }
    (found, None)
}

#[test]
fn wyoming_events_are_the_same_however_the_stream_is_cut_and_read_back_as_written() {
    let target = Target {
        name: "wyoming",
        corpus: texts(&[
            "{\"type\":\"describe\"}\n",
            "{\"type\":\"transcript\",\"data\":{\"text\":\"turn on the pump\"}}\n",
            "{\"type\":\"transcript\",\"data_length\":16}\n{\"text\":\"hello\"}{\"type\":\"ping\"}\n",
            "{\"type\":\"audio-chunk\",\"payload_length\":4}\nabcd{\"type\":\"ping\",\"data\":null}\n",
        ]),
        words: &[
            "\"data_length\":",
            "\"payload_length\":",
            "\"type\":",
            "\n",
            "{}",
            "65536",
            "1048577",
        ],
        one_in: 1,
    };
    target.run(|bytes| {
        let whole = events(&[bytes]);
        assert_eq!(events(&pieces(bytes)), whole);
        for event in &whole.0 {
            let data = Value::Object(event.data.clone()).to_string().len();
            if data.max(6 * event.kind.len()) < MAX_DATA_BYTES {
                let mut written = BytesMut::new();
                Codec::default().encode(event, &mut written).expect("written");
                assert_eq!(events(&[&written]), (vec![event.clone()], None));
            }
        }
        if whole.1.is_none() { Verdict::Accepted } else { Verdict::Refused }
    });
}

fn server_sent(pieces: &[&[u8]]) -> (Vec<sse::Event>, bool) {
    let (mut parser, mut found) = (sse::Parser::default(), Vec::new());
    for piece in pieces {
        parser.push(piece);
        loop {
            match parser.take() {
                Ok(Some(event)) => found.push(event),
                Ok(None) => break,
                Err(sse::TooLarge) => return (found, true),
            }
        }
    }
    (found, false)
}

#[test]
fn server_sent_events_are_the_same_however_the_stream_is_cut() {
    let long = format!("data: {}\n", "x".repeat(1000));
    let target = Target {
        name: "server-sent",
        corpus: texts(&[
            "event: finished\ndata: {\"a\":1}\n\n: still here\n\ndata: x\r\ndata: y\r\n\r\n",
            "data: x\n\n",
            "id: 7\nretry: 10\nevent: a\n\ndata\n\n",
            &long.repeat(40),
        ]),
        words: &["\n", "\r\n", "data: ", "event: ", ":", "data:x\n\n", "\n\n"],
        one_in: 1,
    };
    target.run(|bytes| {
        // More than one event may have: many inputs behind one another.
        let times = if bytes.len() > MAX_EVENT_BYTES / 10 { 8 } else { 1 };
        let bytes = bytes.repeat(times);
        let whole = server_sent(&[&bytes]);
        assert_eq!(server_sent(&pieces(&bytes)), whole);
        for event in &whole.0 {
            assert!(event.name.len() + event.data.len() <= 3 * MAX_EVENT_BYTES);
        }
        if whole.1 { Verdict::Refused } else { Verdict::Accepted }
    });
}
