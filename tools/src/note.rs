//! The `note` tool: a line in the device's log book, in the words of the person.

use std::time::Instant;

use async_trait::async_trait;
use serde_json::Value;

use crate::spec::{Kind, Param, ParamKind};
use crate::{Args, Effect, Failure, Output, SpecError, Tool, ToolError, ToolSpec};

/// The longest note where the tool declares no parameter, in characters.
pub const MAX_CHARS: usize = 500;

/// A declared note. It touches nothing: the store writes the line.
#[derive(Debug)]
pub struct Note {
    spec: ToolSpec,
}

impl Note {
    /// A note from a declaration that was checked.
    pub fn new(spec: ToolSpec) -> Self {
        Self { spec: with_default_params(spec) }
    }
}

#[async_trait]
impl Tool for Note {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, args: &Args, _deadline: Instant) -> Result<Output, Failure> {
        let text = self.spec.params.keys().next().and_then(|name| args.get(name));
        let Some(Value::String(text)) = text.filter(|text| text.as_str() != Some("")) else {
            return Err(ToolError::BadRequest { why: "the note is empty".into() }.into());
        };
        let effects = vec![Effect::Note { text: text.clone() }];
        Ok(Output { effects, ..Output::default() })
    }
}

/// The declaration with the parameter `text` where a note declares none.
pub(crate) fn with_default_params(mut spec: ToolSpec) -> ToolSpec {
    if spec.kind == Kind::Note && spec.params.is_empty() {
        let text = Param {
            max_length: Some(MAX_CHARS),
            verbatim: true,
            description: Some("what to note".into()),
            ..Param::default()
        };
        spec.params.insert("text".into(), text);
    }
    spec
}

/// A note has one parameter, and it is text.
pub(crate) fn check_params(spec: &ToolSpec) -> Option<SpecError> {
    let one_text =
        spec.params.len() == 1 && spec.params.values().all(|p| p.kind == ParamKind::String);
    (!one_text).then(|| SpecError::new("params", "must be one string for kind `note`, or nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::check_args;
    use serde_json::json;

    fn note() -> Note {
        let spec = json!({"name": "note", "description": "d", "kind": "note"});
        Note::new(ToolSpec::from_json(spec))
    }

    fn args(text: &str) -> Args {
        json!({ "text": text }).as_object().unwrap().clone()
    }

    #[tokio::test]
    async fn a_note_is_left_to_the_store_in_the_words_of_the_person() {
        let output = note().run(&args("Valve 3 drips."), Instant::now()).await.unwrap();
        assert_eq!(output.effects, [Effect::Note { text: "Valve 3 drips.".into() }]);
    }

    #[tokio::test]
    async fn an_empty_note_is_refused() {
        let failure = note().run(&args(""), Instant::now()).await.unwrap_err();
        assert_eq!(failure.error.code(), "bad_request");
    }

    #[test]
    fn a_note_at_the_bound_passes_and_one_over_does_not() {
        let note = note();
        assert!(check_args(note.spec(), &args(&"a".repeat(MAX_CHARS))).is_ok());
        assert!(check_args(note.spec(), &args(&"a".repeat(MAX_CHARS + 1))).is_err());
    }
}
