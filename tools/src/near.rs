//! The nearest known name, for messages that ask "did you mean".
//!
//! Bound: a word of more than [`MAX_CHARS`] characters has no nearest name, because the distance is
//! quadratic and the word may come from anyone.

/// The longest word that is compared, in characters.
const MAX_CHARS: usize = 64;

/// The known name that is nearest to `given`, if one is near enough to be a slip of the pen: one
/// edit, and one more for each four characters, but not all of them.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let chars = given.chars().count();
    if chars > MAX_CHARS {
        return None;
    }
    let given = given.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&given, &name.to_lowercase());
    known
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, _)| *distance <= 1 + chars / 4 && *distance < chars)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `" (did you mean ...?)"`, or nothing, to be put behind a message.
pub(crate) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_name_and_another_word_does_not() {
        let known = ["board", "meter", "gps"];
        assert_eq!(nearest("bord", known), Some("board"));
        assert_eq!(nearest("METRE", known), Some("meter"));
        assert_eq!(nearest("printer", known), None);
        assert_eq!(nearest("b", ["x"]), None, "not one letter is the same");
    }

    #[test]
    fn a_word_at_the_bound_is_compared_and_one_over_is_not() {
        let name = "a".repeat(MAX_CHARS);
        assert_eq!(nearest(&name, [name.as_str()]), Some(name.as_str()));
        let longer = "a".repeat(MAX_CHARS + 1);
        assert_eq!(nearest(&longer, [longer.as_str()]), None);
        // As large as a file may be: compared, it would take more memory than there is.
        let huge = "a".repeat(500_000);
        assert_eq!(nearest(&huge, [huge.as_str()]), None);
    }
}
