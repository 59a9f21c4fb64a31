//! Reading server-sent events from bytes in any chunks. Bound: one event has [`MAX_EVENT_BYTES`].

/// The largest event; an outcome with the results of a whole command is far below it.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name; `message` where none was given.
    pub name: String,
    /// Its data, lines joined by a line feed.
    pub data: String,
}

/// An event that has no end within the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {MAX_EVENT_BYTES} bytes")]
pub struct TooLarge;

/// What has arrived and is not an event yet.
#[derive(Debug, Default)]
pub struct Parser {
    bytes: Vec<u8>,
    name: String,
    data: String,
}

impl Parser {
    /// Takes in what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next event that is complete.
    pub fn take(&mut self) -> Result<Option<Event>, TooLarge> {
        let mut read = 0;
        let mut event = None;
        while let Some(length) = self.bytes[read..].iter().position(|b| *b == b'\n') {
            let line = String::from_utf8_lossy(&self.bytes[read..read + length]).into_owned();
            read += length + 1;
            event = self.line(line.strip_suffix('\r').unwrap_or(&line));
            if event.is_some() {
                break;
            }
        }
        self.bytes.drain(..read);
        if event.is_none() && self.bytes.len() + self.data.len() > MAX_EVENT_BYTES {
            return Err(TooLarge);
        }
        Ok(event)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            let name = if name.is_empty() { "message".to_owned() } else { name };
            // Nothing but comments, or a name without data, is no event.
            return data.strip_suffix('\n').map(|data| Event { name, data: data.to_owned() });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(parser: &mut Parser) -> Vec<(String, String)> {
        std::iter::from_fn(|| parser.take().expect("within the bound"))
            .map(|event| (event.name, event.data))
            .collect()
    }

    #[test]
    fn events_comments_and_lines_of_data_are_told_apart() {
        let mut parser = Parser::default();
        parser
            .push(b": still here\n\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\ndata: x\n\nevent: b\n\n");
        let expected = [("a".to_owned(), "1\n2".to_owned()), ("message".into(), "x".into())];
        assert_eq!(all(&mut parser), expected);
    }

    #[test]
    fn the_bound_on_an_event_holds_at_and_one_over() {
        let line = |bytes: usize| [b"data: ".as_slice(), &vec![b'x'; bytes]].concat();
        let mut parser = Parser::default();
        parser.push(&line(MAX_EVENT_BYTES - 6));
        assert_eq!(parser.take(), Ok(None));
        parser.push(b"y");
        assert_eq!(parser.take(), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..300),
            at in 1usize..20,
            words in "(event: [a-z]{0,3}\n|data: [a-zé]{0,5}\n|\n|: c\n){0,30}",
        ) {
            let input = [words.as_bytes(), &bytes].concat();
            let mut whole = Parser::default();
            whole.push(&input);
            let mut parts = Parser::default();
            let mut found = Vec::new();
            for chunk in input.chunks(at) {
                parts.push(chunk);
                found.extend(all(&mut parts));
            }
            prop_assert_eq!(found, all(&mut whole));
        }
    }
}
