//! What is wrong with arguments, in words that say what would be right.

/// How many faults a message lists. A call of 64 KiB can have ten thousand.
pub const SHOWN_FAULTS: usize = 8;

/// What is wrong with a call's arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", listed(.0))]
pub struct ArgErrors(pub Vec<ArgError>);

fn listed(errors: &[ArgError]) -> String {
    let shown = errors.iter().take(SHOWN_FAULTS).map(ToString::to_string);
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if errors.len() > SHOWN_FAULTS {
        text.push_str(&format!("; and {} more", errors.len() - SHOWN_FAULTS));
    }
    text
}

/// One fault of a call's arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    /// There is no such tool.
    #[error("there is no tool `{tool}`{}", did_you_mean(.nearest.as_deref()))]
    UnknownTool {
        /// As it was given.
        tool: String,
        /// The tool that was perhaps meant.
        nearest: Option<String>,
    },
    /// The tool has no such parameter.
    #[error("`{tool}` takes no `{name}`{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The tool.
        tool: String,
        /// As it was given.
        name: String,
        /// The parameter that was perhaps meant.
        nearest: Option<String>,
    },
    /// A parameter without a default was not given.
    #[error("{name} is missing: it must be {allowed}")]
    Missing {
        /// The parameter.
        name: String,
        /// What it may be, in words.
        allowed: String,
    },
    /// The value is not one of those allowed.
    #[error("{name} must be {allowed}, not {given}")]
    NotAllowed {
        /// The parameter.
        name: String,
        /// What it may be, in words.
        allowed: String,
        /// The value, shortened.
        given: String,
    },
    /// The string has too many characters.
    #[error("{name} has {chars} characters; at most {max} are taken")]
    TooLong {
        /// The parameter.
        name: String,
        /// Its length.
        chars: usize,
        /// The bound.
        max: usize,
    },
    /// The list is empty or has too many items.
    #[error("{name} has {items} items; 1 to {max} are taken")]
    Items {
        /// The parameter.
        name: String,
        /// How many it has.
        items: usize,
        /// The bound.
        max: usize,
    },
    /// The string has a line break or another control character, which could end a request early.
    #[error("{name} has a line break or another control character")]
    ControlCharacter {
        /// The parameter.
        name: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}
