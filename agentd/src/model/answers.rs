//! The last answers of a model on the disk, beside the [kept states](super::prefix) of its prompts, so that they are guessed
//! after a restart too.
//!
//! ```text
//!  <folder>/<model>.answers    as JSON
//! ```
//!
//! Bound: those of as many models as [`prefix`](super::prefix) says, the ones that ended last, of [`MAX_BYTES`] each. They are
//! guesses only: damaged ones are none.

use std::io;

use super::prefix::Prefixes;
use super::recall::Kept;

/// Longer files are not read: 32 answers of 256 tokens have half of it.
const MAX_BYTES: u64 = 128 * 1024;
const EXTENSION: &str = "answers";

impl Prefixes {
    /// What the model answered last, if it is known and can be read.
    pub(super) fn answers(&self) -> Option<Kept> {
        serde_json::from_slice(&self.of_model(EXTENSION, MAX_BYTES)?).ok()
    }

    /// Keeps what the model answered last.
    pub(super) fn keep_answers(&self, answers: &Kept) -> io::Result<()> {
        self.keep_of_model(EXTENSION, &serde_json::to_vec(answers)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::super::prefix::MODELS;
    use super::*;

    #[test]
    fn answers_are_kept_for_each_model_of_the_last_few_and_not_read_where_they_are_too_long() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |model: usize| Prefixes::new(folder.path().join("prefixes"), &model.to_string());
        let answers = |text: &str| serde_json::from_str::<Kept>(text).expect("answers");
        let told = |model| of(model).answers().map(|kept| serde_json::to_string(&kept).unwrap());
        assert_eq!(told(0), None);
        let first = r#"{"answers":[[18446744073709551615,[1,2]],[3,[4]]]}"#;
        of(0).keep_answers(&answers(first)).expect("kept");
        assert_eq!(told(0).as_deref(), Some(first));
        assert_eq!(told(1), None);
        let none = r#"{"answers":[]}"#;
        for model in 1..MODELS {
            of(model).keep_answers(&answers(none)).expect("kept");
        }
        assert!(told(0).is_some());
        let file =
            File::options().write(true).open(of(0).path_of_model(EXTENSION)).expect("the file");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("its time is set");
        of(MODELS).keep_answers(&answers(none)).expect("kept");
        assert_eq!(told(0), None, "it ended longest ago");
        assert!((1..=MODELS).all(|model| told(model).is_some()));
        for (bytes, is_read) in [(MAX_BYTES, true), (MAX_BYTES + 1, false)] {
            let blank = " ".repeat(bytes as usize - none.len());
            std::fs::write(of(1).path_of_model(EXTENSION), format!("{none}{blank}"))
                .expect("written");
            assert_eq!(told(1).is_some(), is_read, "{bytes}");
        }
        std::fs::write(of(1).path_of_model(EXTENSION), "{").expect("written");
        assert_eq!(told(1), None, "what is damaged is nothing to guess by");
    }
}
