//! The `serial` tool: a request line from a template, and result fields from the answer's captures.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use regex::{Captures, Regex};
use serde_json::{Map, Number, Value};

use crate::port::{Exchange, Patterns, PortHandle};
use crate::template::{Template, plain};
use crate::{Args, Failure, Output, ReadBack, SpecError, Tool, ToolError, ToolSpec, Verify};

/// A declared exchange on a port.
#[derive(Debug)]
pub struct Serial {
    spec: ToolSpec,
    port: PortHandle,
    send: Template,
    patterns: Arc<Patterns>,
    verify: Option<Question>,
}

/// [`Verify`], read.
#[derive(Debug)]
struct Question {
    send: Template,
    expect: Template,
    otherwise: Option<Template>,
}

impl Serial {
    /// An exchange from a declaration that was checked.
    pub fn new(spec: ToolSpec, port: PortHandle) -> Result<Self, SpecError> {
        let wrong = |key: &'static str| {
            move |e: &dyn std::fmt::Display| SpecError::new(key, format!("is not usable: {e}"))
        };
        let send = Template::parse(spec.send.as_deref().unwrap_or_default())
            .map_err(|e| wrong("send")(&e))?;
        let expect = Regex::new(spec.expect.as_deref().unwrap_or_default())
            .map_err(|e| wrong("expect")(&e))?;
        let fail = spec.fail.as_deref().map(Regex::new).transpose();
        let fail = fail.map_err(|e| wrong("fail")(&e))?;
        let verify = spec.verify.as_ref().map(Question::new).transpose();
        let verify = verify.map_err(|e| wrong("verify")(&e))?;
        Ok(Self { spec, port, send, patterns: Arc::new(Patterns { expect, fail }), verify })
    }
}

impl Question {
    fn new(verify: &Verify) -> Result<Self, crate::template::TemplateError> {
        Ok(Self {
            send: Template::parse(&verify.send)?,
            expect: Template::parse(&verify.expect)?,
            otherwise: verify.otherwise.as_deref().map(Template::parse).transpose()?,
        })
    }

    /// The patterns for a call's arguments, which stand in them letter by letter.
    fn patterns(&self, args: &Args) -> Result<Patterns, String> {
        let literal = |(name, value): (&String, &Value)| {
            (name.clone(), Value::from(regex::escape(&plain(value))))
        };
        let args: Args = args.iter().map(literal).collect();
        let pattern = |template: &Template| {
            let text = template.render(&args).map_err(|e| e.to_string())?;
            Regex::new(&text).map_err(|e| e.to_string())
        };
        let expect = pattern(&self.expect)?;
        let otherwise = self.otherwise.as_ref().map(pattern).transpose()?;
        // What shows the effect takes the place that is tried first, since `otherwise` may match any line.
        Ok(Patterns { expect: otherwise.unwrap_or_else(|| expect.clone()), fail: Some(expect) })
    }
}

#[async_trait]
impl Tool for Serial {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, args: &Args, deadline: Instant) -> Result<Output, Failure> {
        let line =
            self.send.render(args).map_err(|e| ToolError::BadRequest { why: e.to_string() })?;
        let (patterns, timeout) = (self.patterns.clone(), self.spec.timeout());
        let exchange = Exchange { line, patterns, timeout, deadline };
        let answer = self.port.exchange(exchange).await?;
        if answer.refused {
            let captures = self.patterns.fail.as_ref().and_then(|fail| fail.captures(&answer.line));
            let reason = captures.as_ref().and_then(|captures| captures.name("reason"));
            let reason = reason.map(|reason| reason.as_str().trim()).filter(|r| !r.is_empty());
            let reason = reason.unwrap_or(&answer.line).to_owned();
            let error = ToolError::Refused { what: self.port.spec().name.clone(), reason };
            return Err(Failure { error, wire: answer.wire });
        }
        let fields = match self.patterns.expect.captures(&answer.line) {
            Some(captures) => fields(&self.patterns.expect, &captures),
            None => Map::new(),
        };
        Ok(Output { fields, wire: answer.wire, effects: Vec::new() })
    }

    async fn read_back(&self, args: &Args, deadline: Instant) -> Result<ReadBack, Failure> {
        let unusable = |why: String| ToolError::BadRequest { why };
        let Some(question) = &self.verify else {
            return Err(unusable(format!("`{}` has no `verify`", self.spec.name)).into());
        };
        let line = question.send.render(args).map_err(|e| unusable(e.to_string()))?;
        let patterns = Arc::new(question.patterns(args).map_err(unusable)?);
        let timeout = self.spec.timeout();
        let answer = self.port.exchange(Exchange { line, patterns, timeout, deadline }).await?;
        Ok(ReadBack { took_effect: answer.refused, answer: answer.line, wire: answer.wire })
    }
}

/// The named captures that took part in the match.
fn fields(pattern: &Regex, captures: &Captures<'_>) -> Map<String, Value> {
    let named = pattern.capture_names().flatten();
    named.filter_map(|name| Some((name.to_owned(), value(captures.name(name)?.as_str())))).collect()
}

/// A capture as JSON: a number where it is one, else the text. Words such as `nan` and `inf`, which
/// Rust reads as floats, and whole numbers that do not fit, stay text.
fn value(text: &str) -> Value {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return text.into();
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<i64>().map_or_else(|_| text.into(), Value::from);
    }
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map_or_else(|| text.into(), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn captures_that_are_numbers_become_numbers() {
        for (text, expected) in [
            ("21", json!(21)),
            ("-3", json!(-3)),
            ("+3", json!(3)),
            ("021", json!(21)),
            ("21.50", json!(21.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("on", json!("on")),
            ("nan", json!("nan")),
            ("-inf", json!("-inf")),
            ("1e999", json!("1e999")),
            ("99999999999999999999", json!("99999999999999999999")),
            ("1.2.3", json!("1.2.3")),
            ("", json!("")),
            (" 1", json!(" 1")),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_capture_that_took_no_part_is_no_field() {
        let pattern = Regex::new("^T (?P<t>\\S+)(?: H (?P<h>\\S+))?$").unwrap();
        let captures = pattern.captures("T 21.5").unwrap();
        assert_eq!(Value::Object(fields(&pattern, &captures)), json!({"t": 21.5}));
    }
}
