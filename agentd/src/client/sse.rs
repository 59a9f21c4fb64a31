//! Reading server-sent events from bytes in any chunks, in time linear in the bytes.
//!
//! Bound: one event has [`MAX_EVENT_BYTES`], its name included, however it is cut into chunks.

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
    /// Where the line that is read next begins.
    read: usize,
    /// Before this there is no end of that line.
    searched: usize,
    name: String,
    data: String,
}

impl Parser {
    /// Takes in what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        // What was read goes once a chunk: once an event, it would move all that is behind it each time.
        self.bytes.drain(..self.read);
        self.searched -= self.read;
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next event that is complete. After an error there is none.
    pub fn take(&mut self) -> Result<Option<Event>, TooLarge> {
        loop {
            let end = self.bytes[self.searched..].iter().position(|b| *b == b'\n');
            self.searched = end.map_or(self.bytes.len(), |end| self.searched + end);
            let held = self.searched - self.read + self.data.len() + self.name.len();
            if held > MAX_EVENT_BYTES {
                return Err(TooLarge);
            }
            if end.is_none() {
                return Ok(None);
            }
            let line = String::from_utf8_lossy(&self.bytes[self.read..self.searched]).into_owned();
            self.searched += 1;
            self.read = self.searched;
            if let Some(event) = self.line(line.strip_suffix('\r').unwrap_or(&line)) {
                return Ok(Some(event));
            }
        }
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

    #[test]
    fn an_event_over_the_bound_is_refused_also_where_it_comes_at_once() {
        let event = |bytes: usize| [b"data: ".as_slice(), &vec![b'x'; bytes], b"\n\n"].concat();
        let mut parser = Parser::default();
        parser.push(&event(MAX_EVENT_BYTES - 6));
        assert_eq!(parser.take().map(|event| event.is_some()), Ok(true));
        parser.push(&event(MAX_EVENT_BYTES - 5));
        assert_eq!(parser.take(), Err(TooLarge));
        assert_eq!(parser.take(), Err(TooLarge), "and stays so");
    }

    #[test]
    fn a_name_counts_as_part_of_its_event() {
        let mut parser = Parser::default();
        parser.push(&[b"event: ".as_slice(), &vec![b'x'; MAX_EVENT_BYTES - 7], b"\n"].concat());
        assert_eq!(parser.take(), Ok(None));
        parser.push(b"data: 12");
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
