//! What a person or a program asks, and what became of it: the payloads of `command` and `result`.
//!
//! Bounds: a payload is at most [`MAX_PAYLOAD_BYTES`]; an id at most [`MAX_ID_CHARS`] characters that
//! can stand in a topic; a reply topic [`MAX_REPLY_TOPIC_BYTES`] and [`MAX_REPLY_LEVELS`]; the words of a
//! denial [`MAX_MESSAGE_CHARS`]. What is refused here is refused before anything is stored.

mod outcome;
mod topic;

pub use agentd_tools::Priority;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use outcome::{CallRecord, INTERRUPTED_WHY, Outcome, Route, Settled, Status, sentence};
use topic::stands_in_topic;
pub use topic::{MAX_REPLY_LEVELS, MAX_REPLY_TOPIC_BYTES, check_reply_topic};

/// The largest command payload, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;
/// The longest command id, in characters. It becomes a topic level.
pub const MAX_ID_CHARS: usize = 128;
/// The longest words of a denial, in characters. They may repeat what the sender wrote, and go to the
/// sender twice, into the log and into the outbox.
pub const MAX_MESSAGE_CHARS: usize = 500;

/// A command as its sender wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The sender's idempotency key; made here when the sender gave none.
    #[serde(default)]
    pub id: String,
    /// The person's words. Exactly one of `text` and `call` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A call spelled out by a program, which needs no routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// Who asks; `policy` maps it to a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Commands of one session run in the order in which they were accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The configured agent that is to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Which waiting command goes first.
    #[serde(default)]
    pub priority: Priority,
    /// The command is not begun after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How long it may run once begun; the default is `policy.timeout_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// A topic that gets the outcome too. The MQTT 5 Response Topic takes precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Returned with the outcome that goes to `reply_to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Whether a remote model may see the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_remote: Option<bool>,
}

/// A tool and its arguments, as proposed by anyone. Nothing is checked yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool's name.
    pub tool: String,
    /// Arguments by parameter name.
    #[serde(default)]
    pub args: Map<String, Value>,
}

/// Why a command was turned away, in the words that its sender sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Denial {
    /// A stable code: `not_utf8`, `not_json`, `unknown_field`, `too_large`, `retained`, `expired`,
    /// `busy`, `not_allowed`, `bad_arguments`, ...
    pub code: String,
    /// What was wrong and what to do.
    pub message: String,
}

impl Denial {
    /// A denial with its code and words. Words that are too long are cut, and a control character, which
    /// could draw over a terminal or begin a new line of a log, becomes a space.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.contains(char::is_control) {
            message = message.replace(char::is_control, " ");
        }
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
            let last = message[..end].char_indices().next_back().map_or(0, |(at, _)| at);
            message.truncate(last);
            message.push('…');
        }
        Self { code: code.to_owned(), message }
    }
}

/// A refused payload: the denial, and the id it carried where one could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The sender's id, or a fresh one, so that the refusal has a topic to go to.
    pub id: String,
    /// Why.
    pub denial: Denial,
}

impl Command {
    /// A command of plain words, with a fresh id.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self {
            id: fresh_id(),
            text: Some(text.into()),
            call: None,
            user: None,
            session: None,
            agent: None,
            priority: Priority::Normal,
            expires_at: None,
            timeout_ms: None,
            reply_to: None,
            correlation_id: None,
            allow_remote: None,
        }
    }

    /// Reads a payload: a JSON object where it begins with `{`, else plain words.
    pub fn parse(payload: &[u8]) -> Result<Self, Refused> {
        let refuse = |id: Option<String>, code: &str, message: String| Refused {
            id: id.filter(|id| valid_id(id)).unwrap_or_else(fresh_id),
            denial: Denial::new(code, message),
        };
        if payload.len() > MAX_PAYLOAD_BYTES {
            let message = format!(
                "the command has {} bytes; at most {MAX_PAYLOAD_BYTES} are taken",
                payload.len()
            );
            return Err(refuse(None, "too_large", message));
        }
        let Ok(text) = std::str::from_utf8(payload) else {
            return Err(refuse(None, "not_utf8", "the command is not UTF-8 text".into()));
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(refuse(None, "empty", "the command is empty".into()));
        }
        if !text.starts_with('{') {
            return Ok(Self::from_text(text));
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|e| refuse(None, "not_json", format!("the command is not valid JSON: {e}")))?;
        let id = value.get("id").and_then(Value::as_str).map(str::to_owned);
        let mut command: Self = serde_json::from_value(value).map_err(|e| {
            let message = e.to_string();
            let code =
                if message.starts_with("unknown field") { "unknown_field" } else { "bad_field" };
            refuse(id.clone(), code, message)
        })?;
        if command.id.is_empty() {
            command.id = fresh_id();
        }
        command.check().map_err(|denial| Refused {
            id: id.filter(|id| valid_id(id)).unwrap_or_else(fresh_id),
            denial,
        })?;
        Ok(command)
    }

    fn check(&self) -> Result<(), Denial> {
        if !valid_id(&self.id) {
            return Err(Denial::new(
                "bad_field",
                format!(
                    "`id` must be 1 to {MAX_ID_CHARS} characters without `/`, `+`, `#` or control \
                     characters: it becomes a topic level"
                ),
            ));
        }
        match (&self.text, &self.call) {
            (Some(text), None) if text.trim().is_empty() => {
                Err(Denial::new("empty", "`text` is empty"))
            }
            (Some(_), None) | (None, Some(_)) => self.check_reply_to(),
            _ => Err(Denial::new("bad_field", "give exactly one of `text` and `call`")),
        }
    }

    fn check_reply_to(&self) -> Result<(), Denial> {
        let Some(topic) = self.reply_to.as_deref() else { return Ok(()) };
        let refused = |why: String| Denial::new("bad_field", format!("`reply_to`: {why}"));
        check_reply_topic(topic).map_err(refused)
    }

    /// What was asked, in one line, for records and the console.
    pub fn summary(&self) -> String {
        match (&self.text, &self.call) {
            (Some(text), _) => text.clone(),
            (None, Some(call)) => call.to_string(),
            (None, None) => String::new(),
        }
    }
}

impl Call {
    /// What a person is told where the daemon stopped in the middle of it. What was made of that follows.
    pub fn interrupted(&self) -> String {
        format!(
            "{self} was interrupted: the daemon stopped while it was under way. Whether it took effect is \
             not known."
        )
    }
}

impl std::fmt::Display for Call {
    /// The compact call syntax, `name(key=value, ...)`, which the models are tuned to write too.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}(", self.tool)?;
        for (i, (key, value)) in self.args.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match value {
                Value::String(s) if is_bare_word(s) => write!(f, "{comma}{key}={s}")?,
                other => write!(f, "{comma}{key}={}", Spaced(other))?,
            }
        }
        f.write_str(")")
    }
}

/// A value as JSON with a space behind each comma and colon, as people and models write lists.
struct Spaced<'a>(&'a Value);

impl std::fmt::Display for Spaced<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let comma = |i: usize| if i == 0 { "" } else { ", " };
        match self.0 {
            Value::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{}", comma(i), Spaced(item))?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                f.write_str("{")?;
                for (i, (key, member)) in members.iter().enumerate() {
                    let key = Value::from(key.as_str());
                    write!(f, "{}{key}: {}", comma(i), Spaced(member))?;
                }
                f.write_str("}")
            }
            plain => write!(f, "{plain}"),
        }
    }
}

/// Whether a string stands without quotes in the compact call syntax.
pub fn is_bare_word(s: &str) -> bool {
    let mut chars = s.chars();
    chars.next().is_some_and(char::is_alphabetic)
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !matches!(s, "true" | "false" | "null")
}

/// Whether an id can be a topic level.
pub fn valid_id(id: &str) -> bool {
    let chars = id.chars().count();
    (1..=MAX_ID_CHARS).contains(&chars)
        && id.chars().all(|c| stands_in_topic(c) && !matches!(c, '/' | '+' | '#'))
}

/// A fresh id: a UUID of version 7, so that ids sort by time.
pub fn fresh_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Milliseconds from `from` to `to`; 0 where the clock went backwards.
pub fn elapsed_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond().saturating_sub(from.as_millisecond())).unwrap_or(0)
}

/// The time now, to the millisecond: what goes on the wire and into the store.
#[allow(clippy::disallowed_methods, reason = "the one place where wall-clock time is read")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_and_json_objects_are_both_commands() {
        let words = Command::parse(b" turn on the pump \n").expect("plain words");
        assert_eq!(words.text.as_deref(), Some("turn on the pump"));
        let object = Command::parse(br#"{"id":"a1","text":"hi","priority":"high"}"#).expect("json");
        assert_eq!((object.id.as_str(), object.priority), ("a1", Priority::High));
    }

    #[track_caller]
    fn refused(payload: &[u8], code: &str) -> Refused {
        let refused = Command::parse(payload).expect_err("must be refused");
        assert_eq!(refused.denial.code, code, "{}", refused.denial.message);
        refused
    }

    #[test]
    fn a_malformed_payload_is_refused_with_its_reason_and_its_id() {
        refused(&[0xff, 0xfe], "not_utf8");
        refused(b"  ", "empty");
        refused(br#"{"text": "x""#, "not_json");
        refused(br#"{"id":"a"}"#, "bad_field");
        refused(br#"{"id":"a","text":"x","call":{"tool":"t"}}"#, "bad_field");
        refused(br#"{"id":"a/b","text":"x"}"#, "bad_field");
        refused(br##"{"text":"x","reply_to":"a/#"}"##, "bad_field");
        let unknown = refused(br#"{"id":"a7","text":"x","colour":1}"#, "unknown_field");
        assert_eq!(unknown.id, "a7");
        assert!(unknown.denial.message.contains("colour"));
    }

    #[test]
    fn a_number_of_a_call_is_the_same_when_it_was_stored_and_read_again() {
        for number in ["1844674405.13999370894675305445e9", "0.1", "-0.0", "18446744073709551615"] {
            let payload = format!(r#"{{"id":"a","call":{{"tool":"t","args":{{"n":{number}}}}}}}"#);
            let command = Command::parse(payload.as_bytes()).expect("a command");
            let stored = serde_json::to_string(&command).expect("JSON");
            let read: Command = serde_json::from_str(&stored).expect("read");
            assert_eq!(read, command, "{number}");
        }
    }

    #[test]
    fn the_payload_bound_holds_at_and_one_over() {
        assert!(Command::parse(&vec![b'a'; MAX_PAYLOAD_BYTES]).is_ok());
        refused(&vec![b'a'; MAX_PAYLOAD_BYTES + 1], "too_large");
    }

    #[test]
    fn the_id_bound_holds_at_and_one_over() {
        assert!(valid_id(&"é".repeat(MAX_ID_CHARS)));
        assert!(!valid_id(&"é".repeat(MAX_ID_CHARS + 1)));
        assert!(!valid_id(""));
    }

    #[test]
    fn an_id_that_a_broker_would_hang_up_on_is_none() {
        for bad in ["a\u{fffe}", "\u{1ffff}", "\u{fdd0}", "\u{fdef}", "a/b", "+", "#", "\u{85}"] {
            assert!(!valid_id(bad), "{bad:?}");
        }
        for good in ["\u{fffd}", "\u{fdcf}", "\u{fdf0}", "$x", "a b"] {
            assert!(valid_id(good), "{good:?}");
        }
    }

    #[test]
    fn the_words_of_a_denial_are_bounded_and_stay_on_one_line() {
        let words = |n: usize| Denial::new("c", "é".repeat(n)).message;
        assert_eq!(words(MAX_MESSAGE_CHARS), "é".repeat(MAX_MESSAGE_CHARS));
        assert_eq!(words(MAX_MESSAGE_CHARS + 1), format!("{}…", "é".repeat(MAX_MESSAGE_CHARS - 1)));
        assert_eq!(Denial::new("c", "a\nb\u{1b}[2J").message, "a b [2J");
        // The largest payload whose field is not known.
        let payload = format!("{{\"text\":\"x\",\"{}\":1}}", "y".repeat(60_000));
        let refused = refused(payload.as_bytes(), "unknown_field");
        assert_eq!(refused.denial.message.chars().count(), MAX_MESSAGE_CHARS);
    }

    #[test]
    fn a_call_prints_in_the_compact_syntax() {
        let call: Call = serde_json::from_value(serde_json::json!({
            "tool": "f", "args": {"a": "on", "n": 3, "t": "two words", "b": true, "s": "true"}
        }))
        .expect("call");
        assert_eq!(call.to_string(), r#"f(a=on, n=3, t="two words", b=true, s="true")"#);
        let call: Call = serde_json::from_value(serde_json::json!({
            "tool": "f", "args": {"l": ["a", "b, c"], "o": {"k\"": [1, 2.5], "e": {}}, "n": []}
        }))
        .expect("call");
        assert_eq!(call.to_string(), r#"f(l=["a", "b, c"], o={"k\"": [1, 2.5], "e": {}}, n=[])"#);
    }
}
