//! How the story looks on a terminal: plain words, a little colour, nothing that a log file minds.

use std::io::{IsTerminal as _, Write as _};

use super::greenhouse::Line;
use crate::command::{Call, Outcome, Status};

/// The widest line that is written; longer text is wrapped.
const WIDTH: usize = 92;
const LABEL: usize = 9;

/// Writes to standard output, in colour where it is a terminal and `NO_COLOR` is not set.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    colour: bool,
}

impl Default for Console {
    fn default() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && std::io::stdout().is_terminal() }
    }
}

impl Console {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Writes a line. A reader who has gone away ends the demo elsewhere.
    pub fn line(self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// The heading of a step.
    pub fn step(self, letter: char, title: &str) {
        self.line("");
        let rule = "─".repeat(WIDTH.saturating_sub(title.chars().count() + 6));
        let head =
            format!("{} {}", self.paint("1;36", &format!("({letter})")), self.paint("1", title));
        self.line(&format!("{head} {}", self.paint("2", &rule)));
    }

    /// One labelled line, wrapped under itself.
    pub fn field(self, label: &str, value: &str) {
        let mut rows: Vec<String> = vec![String::new()];
        for word in value.split(' ') {
            let row = rows.last_mut().map_or(0, |row| width(row));
            if row > 0 && row + width(word) + 1 > WIDTH - LABEL - 4 {
                rows.push(word.to_owned());
            } else if let Some(last) = rows.last_mut() {
                if row > 0 {
                    last.push(' ');
                }
                last.push_str(word);
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.line(&format!("    {} {row}", self.paint("2", &format!("{label:<LABEL$}"))));
        }
    }

    /// A fact that was checked by the demo itself.
    pub fn check(self, ok: bool, text: &str) {
        let mark = if ok { self.paint("32", "✓") } else { self.paint("1;31", "✗") };
        self.field("", &format!("{mark} {text}"));
    }

    /// Everything about one command: who answered, the call, the bytes, the reply, the time.
    pub fn outcome(self, outcome: &Outcome, wire: &[Line], ms: f64) {
        let route = match &outcome.model {
            Some(model) => format!("{}{}, {model}", outcome.route.as_str(), outcome.certainty()),
            None => outcome.route.as_str().to_owned(),
        };
        self.field("route", &self.paint("35", &route));
        for record in &outcome.calls {
            let call = Call { tool: record.tool.clone(), args: record.args.clone() };
            let mark = if record.ok { "" } else { "  failed" };
            self.field("call", &format!("{call}{}", self.paint("31", mark)));
        }
        if wire.is_empty() {
            self.field("wire", &self.paint("2", "nothing was sent"));
        }
        for line in wire {
            let answer = line.answer.as_deref().unwrap_or("(silence)");
            self.field("wire", &format!("→ {}   ← {answer}", line.request));
        }
        let colour = if outcome.status == Status::Done { "1;32" } else { "1;33" };
        self.field("status", &self.paint(colour, outcome.status.as_str()));
        self.field("reply", &self.paint("1", &outcome.text));
        self.field("time", &time(ms));
    }

    /// What the person says.
    pub fn asked(self, via: &str, text: &str) {
        self.field("asked", &format!("“{text}”  {}", self.paint("2", via)));
    }

    /// A heading over everything.
    pub fn title(self, title: &str, text: &str) {
        self.line("");
        self.line(&format!("{}  {text}", self.paint("1;36", title)));
    }

    /// Something quiet.
    pub fn aside(self, text: &str) {
        self.line(&self.paint("2", &format!("    {text}")));
    }
}

/// How wide a text is on the terminal: colours take no room.
fn width(text: &str) -> usize {
    let (mut width, mut in_colour) = (0, false);
    for c in text.chars() {
        match c {
            '\x1b' => in_colour = true,
            'm' if in_colour => in_colour = false,
            _ => width += usize::from(!in_colour),
        }
    }
    width
}

/// Milliseconds below a second, else seconds.
pub fn time(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_take_no_room_and_times_are_told_in_their_unit() {
        assert_eq!(width("\x1b[1;32mdone\x1b[0m"), 4);
        assert_eq!((time(2.04), time(2040.0)), ("2.0 ms".into(), "2.04 s".into()));
    }
}
