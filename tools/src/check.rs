//! Finds the mistakes in a declaration before anything runs, all of them at once.
//!
//! Pure: it opens neither ports nor the database. What only the database can tell of a `sql`
//! statement is checked when the toolbox opens.

mod param;

use regex::Regex;

use crate::args::check_args;
use crate::near::did_you_mean;
use crate::note;
use crate::param::Param;
use crate::spec::{Kind, SerialSpec, ToolSpec, Verify};
use crate::template::Template;

/// The longest name of a tool, a parameter or a port, in characters.
pub const MAX_NAME_CHARS: usize = 64;
/// The longest `timeout_ms` and `late_ms`: an hour. A longer one is a slip, and would block its port.
pub const MAX_TIMEOUT_MS: u64 = 3_600_000;
/// The longest line ending, in bytes.
pub const MAX_ENDING_BYTES: usize = 4;
/// How deep parameters may be nested: a list of objects with a list is three deep.
pub const MAX_DEPTH: usize = 3;
/// The largest `max_items`. A person does not say more in one sentence.
pub const MAX_ITEMS: usize = 64;
/// Kinds of events that only the daemon itself may make: they are the record of what it did.
const OWN_EVENTS: [&str; 3] = ["action", "audit", "gap"];

/// One mistake in a declaration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {message}")]
pub struct SpecError {
    /// The key within its section, as `send` or `params.device.enum`.
    pub key: String,
    /// What is wrong with it and what to do, to stand behind the key.
    pub message: String,
}

impl SpecError {
    /// A mistake at a key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

impl ToolSpec {
    /// All mistakes in the declaration, given the names of the ports. None means that the tool can
    /// be opened, save for what the database says of a `sql` statement.
    pub fn check(&self, ports: &[&str]) -> Vec<SpecError> {
        let spec = note::with_default_params(self.clone());
        let mut errors = Vec::new();
        check_name("name", &spec.name, &mut errors);
        if spec.name == "none" {
            let message = "is what a model answers where no tool fits: choose another one";
            errors.push(SpecError::new("name", message));
        }
        if spec.description.trim().is_empty() {
            errors.push(SpecError::new("description", "is empty: say in one line what it does"));
        }
        if spec.timeout_ms.is_some_and(|ms| ms == 0 || ms > MAX_TIMEOUT_MS) {
            let message = format!("must be 1 to {MAX_TIMEOUT_MS}");
            errors.push(SpecError::new("timeout_ms", message));
        }
        for (name, param) in &spec.params {
            check_name(&format!("params.{name}"), name, &mut errors);
            param::check_param(&format!("params.{name}"), param, 1, &mut errors);
        }
        check_keys(&spec, &mut errors);
        match spec.kind {
            Kind::Serial => check_serial(&spec, ports, &mut errors),
            Kind::Sql | Kind::Publish => {}
            Kind::Note => errors.extend(note::check_params(&spec)),
        }
        if let Some(event) = &spec.event {
            check_event(event, &mut errors);
        }
        check_replies(&spec, &mut errors);
        check_places(&spec, &mut errors);
        // An example can only be judged by parameters that are themselves right.
        if errors.is_empty() {
            for (i, example) in spec.examples.iter().enumerate() {
                if let Err(wrong) = check_args(&spec, &example.call) {
                    let message = format!("is not a call that would pass: {wrong}");
                    errors.push(SpecError::new(format!("examples.{i}.call"), message));
                }
            }
        }
        errors
    }
}

impl SerialSpec {
    /// All mistakes in the declaration of a port.
    pub fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        check_name("name", &self.name, &mut errors);
        if self.path.is_empty() {
            errors.push(SpecError::new("path", "is empty: write the device, as `/dev/ttyACM0`"));
        }
        if self.baud == 0 {
            errors.push(SpecError::new("baud", "must be at least 1; 115200 is usual"));
        }
        if !(1..=MAX_ENDING_BYTES).contains(&self.line_ending.len()) {
            let message =
                format!("must be 1 to {MAX_ENDING_BYTES} bytes, as \"\\n\" or \"\\r\\n\"");
            errors.push(SpecError::new("line_ending", message));
        }
        if self.late_ms.is_some_and(|ms| ms > MAX_TIMEOUT_MS) {
            let message = format!("must be 0 to {MAX_TIMEOUT_MS}");
            errors.push(SpecError::new("late_ms", message));
        }
        errors
    }
}

fn check_name(key: &str, name: &str, errors: &mut Vec<SpecError>) {
    let identifier = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !identifier || name.len() > MAX_NAME_CHARS {
        let message = format!(
            "must be a lower-case name of letters, digits and `_`, at most {MAX_NAME_CHARS} long, \
             as `set_output`"
        );
        errors.push(SpecError::new(key, message));
    }
}

/// Each key belongs to kinds, which either need it or may have it.
fn check_keys(spec: &ToolSpec, errors: &mut Vec<SpecError>) {
    let kinds: [(&str, bool, Kind, bool); 9] = [
        ("port", spec.port.is_some(), Kind::Serial, true),
        ("send", spec.send.is_some(), Kind::Serial, true),
        ("expect", spec.expect.is_some(), Kind::Serial, true),
        ("fail", spec.fail.is_some(), Kind::Serial, false),
        ("sql", spec.sql.is_some(), Kind::Sql, true),
        ("event", spec.event.is_some(), Kind::Publish, true),
        ("verify", spec.verify.is_some(), Kind::Serial, false),
        ("priority", spec.priority.is_some(), Kind::Publish, false),
        ("ttl_seconds", spec.ttl_seconds.is_some(), Kind::Publish, false),
    ];
    for (key, given, kind, needed) in kinds {
        if given && spec.kind != kind {
            let message = format!("is for kind `{kind}`, and this tool is `{}`", spec.kind);
            errors.push(SpecError::new(key, message));
        }
        if !given && needed && spec.kind == kind {
            errors.push(SpecError::new(key, format!("is missing: kind `{kind}` needs it")));
        }
    }
    if spec.reply_none.is_some() && !matches!(spec.kind, Kind::Sql | Kind::Serial) {
        let message = format!("says nothing for kind `{}`, which always has its fields", spec.kind);
        errors.push(SpecError::new("reply_none", message));
    }
}

fn check_serial(spec: &ToolSpec, ports: &[&str], errors: &mut Vec<SpecError>) {
    if let Some(port) = spec.port.as_deref()
        && !ports.contains(&port)
    {
        let near = did_you_mean(port, ports.iter().copied());
        let message = format!("names `{port}`, and no [[serial]] section has that name{near}");
        errors.push(SpecError::new("port", message));
    }
    if let Some(send) = &spec.send {
        if send.chars().any(char::is_control) {
            let message = "has a line break or another control character: one request is one \
                           line, and its ending is added";
            errors.push(SpecError::new("send", message));
        }
        let params: Vec<&str> = spec.params.keys().map(String::as_str).collect();
        check_template("send", send, Some(&params), errors);
    }
    if let Some(verify) = &spec.verify {
        check_verify(spec, verify, errors);
    }
    for (key, pattern) in [("expect", &spec.expect), ("fail", &spec.fail)] {
        if let Some(Err(e)) = pattern.as_deref().map(Regex::new) {
            errors.push(SpecError::new(key, format!("is not a regular expression: {e}")));
        }
    }
}

fn check_verify(spec: &ToolSpec, verify: &Verify, errors: &mut Vec<SpecError>) {
    if spec.idempotent {
        let message = "says nothing beside `idempotent`: a call that was cut off is made again";
        errors.push(SpecError::new("verify", message));
    }
    let params: Vec<&str> = spec.params.keys().map(String::as_str).collect();
    check_template("verify.send", &verify.send, Some(&params), errors);
    let otherwise = verify.otherwise.as_ref().map(|text| ("verify.otherwise", text));
    for (key, text) in [("verify.expect", &verify.expect)].into_iter().chain(otherwise) {
        let before = errors.len();
        check_template(key, text, Some(&params), errors);
        // Any word does in the place of an argument to see whether the rest is a regular expression.
        let words = params.iter().map(|name| ((*name).to_owned(), "x".into())).collect();
        let rendered = Template::parse(text).ok().and_then(|template| template.render(&words).ok());
        if let Some(Err(e)) = rendered.filter(|_| errors.len() == before).map(|r| Regex::new(&r)) {
            errors.push(SpecError::new(key, format!("is not a regular expression: {e}")));
        }
    }
}

fn check_event(event: &str, errors: &mut Vec<SpecError>) {
    // A broker breaks the connection over a noncharacter of Unicode as over a control character.
    let bad = |c: char| {
        let code = u32::from(c);
        c.is_control() || matches!(code, 0xfdd0..=0xfdef) || code & 0xfffe == 0xfffe
    };
    let level = (1..=MAX_NAME_CHARS).contains(&event.chars().count())
        && !event.contains(|c| bad(c) || matches!(c, '/' | '+' | '#'));
    if !level {
        let message = format!(
            "must be one topic level: 1 to {MAX_NAME_CHARS} characters without `/`, `+` and `#`"
        );
        errors.push(SpecError::new("event", message));
    } else if OWN_EVENTS.contains(&event) {
        let message =
            format!("is `{event}`, which only the daemon itself may send: choose another");
        errors.push(SpecError::new("event", message));
    }
}

/// A reply may use parameters and result fields; those of `sql` are known only to the database.
fn check_replies(spec: &ToolSpec, errors: &mut Vec<SpecError>) {
    let params = spec.params.keys().cloned();
    let fields = match (spec.kind, &spec.expect) {
        (Kind::Sql, _) => None,
        (_, Some(expect)) => Regex::new(expect)
            .ok()
            .map(|expect| expect.capture_names().flatten().map(str::to_owned).collect::<Vec<_>>()),
        (_, None) => Some(Vec::new()),
    };
    let known: Option<Vec<String>> = fields.map(|fields| params.chain(fields).collect());
    let known: Option<Vec<&str>> = known.as_ref().map(|k| k.iter().map(String::as_str).collect());
    if let Some(reply) = &spec.reply {
        check_template("reply", reply, known.as_deref(), errors);
    }
    // Where nothing came back there are no fields to show.
    if let Some(reply) = &spec.reply_none {
        let params: Vec<&str> = spec.params.keys().map(String::as_str).collect();
        let known = if spec.kind == Kind::Sql { Some(params.as_slice()) } else { known.as_deref() };
        check_template("reply_none", reply, known, errors);
    }
}

/// A place must have one plain value whatever the call is: a request with a hole is not sent.
fn check_places(spec: &ToolSpec, errors: &mut Vec<SpecError>) {
    let verify = spec.verify.as_ref();
    let templates = [
        ("send", spec.send.as_ref()),
        ("verify.send", verify.map(|verify| &verify.send)),
        ("verify.expect", verify.map(|verify| &verify.expect)),
        ("verify.otherwise", verify.and_then(|verify| verify.otherwise.as_ref())),
        ("reply", spec.reply.as_ref()),
        ("reply_none", spec.reply_none.as_ref()),
    ];
    for (key, text) in templates {
        let Some(template) = text.and_then(|text| Template::parse(text).ok()) else { continue };
        for place in template.places() {
            if let Some(why) = spec.params.get(place).and_then(Param::no_place) {
                errors
                    .push(SpecError::new(key, format!("has the place `{{{place}}}`, which {why}")));
            }
        }
    }
}

/// Whether a text is a template whose places are all known. `None` checks the syntax only.
pub(crate) fn check_template(
    key: &str,
    text: &str,
    known: Option<&[&str]>,
    errors: &mut Vec<SpecError>,
) {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(e) => return errors.push(SpecError::new(key, format!("is not a template: {e}"))),
    };
    let Some(known) = known else { return };
    for place in template.places().filter(|place| !known.contains(place)) {
        let near = did_you_mean(place, known.iter().copied());
        let message = if known.is_empty() {
            format!("has the place `{{{place}}}`, and there are no values to put there")
        } else {
            format!("has the unknown place `{{{place}}}`{near}; known are {}", known.join(", "))
        };
        errors.push(SpecError::new(key, message));
    }
}

#[cfg(test)]
mod tests;
