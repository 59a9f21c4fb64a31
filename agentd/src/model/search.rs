//! How far it is looked for other answers than the one that begins best.

use super::constraint::{Constraint, MAX_TEXTS};

/// The most ways that are gone.
pub(super) const PATHS: usize = 4;
/// The most ways that are gone where each of some texts is scored, which may be spelt in several ways.
const WHOLE_PATHS: usize = 2 * MAX_TEXTS;
/// A way is kept where it is at least so probable, as a whole.
const WORTH: f32 = 0.1;
/// The same where texts are scored.
const WHOLE_WORTH: f32 = 1e-4;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// The likeliest token is taken at each choice.
    None,
    /// Where another answer may be likelier.
    Likeliest,
    /// All that are not improbable.
    Whole,
}

impl Search {
    /// What a constraint asks for.
    pub(super) fn of(constraint: &Constraint) -> Self {
        match constraint {
            Constraint::Own(_) => Self::Likeliest,
            Constraint::OneOf(_) => Self::Whole,
            _ => Self::None,
        }
    }

    /// The most ways that are gone.
    pub(super) fn paths(self) -> usize {
        match self {
            Self::None => 1,
            Self::Likeliest => PATHS,
            Self::Whole => WHOLE_PATHS,
        }
    }

    /// How probable a way has to be to be kept, as a logarithm.
    pub(super) fn worth(self) -> Option<f32> {
        match self {
            Self::None => None,
            Self::Likeliest => Some(WORTH.ln()),
            Self::Whole => Some(WHOLE_WORTH.ln()),
        }
    }

    /// The most ways that are kept at one choice.
    pub(super) fn others(self) -> usize {
        if self == Self::Whole { WHOLE_PATHS } else { PATHS - 1 }
    }
}
