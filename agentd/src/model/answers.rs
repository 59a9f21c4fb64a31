//! The last answers of a model on the disk, beside the [kept states](super::prefix) of its prompts, so that they are guessed
//! after a restart too.
//!
//! ```text
//!  <folder>/<model>.answers    as JSON
//! ```
//!
//! Bound: those of [`MODELS`] models, the ones that ended last, of [`MAX_BYTES`] each. They are guesses only: damaged ones are
//! none, and what a power cut takes of them costs time alone.

use std::io;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::digest;
use super::prefix::{KEY_CHARS, Prefixes, newest_first};
use super::recall::Kept;

/// Models whose last answers are kept.
const MODELS: usize = 4;
/// Longer files are not read: 32 answers of 256 tokens have half of it.
const MAX_BYTES: u64 = 128 * 1024;
const EXTENSION: &str = "answers";

impl Prefixes {
    /// What the model answered last, if it is known and can be read.
    pub(super) fn answers(&self) -> Option<Kept> {
        let path = self.answers_path();
        path.metadata().ok().filter(|meta| meta.len() <= MAX_BYTES)?;
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Keeps what the model answered last.
    pub(super) fn keep_answers(&self, answers: &Kept) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut new = self.unfinished()?;
        serde_json::to_writer(&mut new, answers)?;
        let path = self.answers_path();
        new.persist(&path)?;
        for oldest in newest_first(&self.folder, EXTENSION, &path).iter().skip(MODELS) {
            let _ = std::fs::remove_file(oldest);
        }
        Ok(())
    }

    fn answers_path(&self) -> PathBuf {
        let mut name = digest::hex(&Sha256::digest(&self.model));
        name.truncate(KEY_CHARS);
        self.folder.join(name).with_extension(EXTENSION)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

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
        let file = File::options().write(true).open(of(0).answers_path()).expect("the file");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("its time is set");
        of(MODELS).keep_answers(&answers(none)).expect("kept");
        assert_eq!(told(0), None, "it ended longest ago");
        assert!((1..=MODELS).all(|model| told(model).is_some()));
        for (bytes, is_read) in [(MAX_BYTES, true), (MAX_BYTES + 1, false)] {
            let blank = " ".repeat(bytes as usize - none.len());
            std::fs::write(of(1).answers_path(), format!("{none}{blank}")).expect("written");
            assert_eq!(told(1).is_some(), is_read, "{bytes}");
        }
        std::fs::write(of(1).answers_path(), "{").expect("written");
        assert_eq!(told(1), None, "what is damaged is nothing to guess by");
    }
}
