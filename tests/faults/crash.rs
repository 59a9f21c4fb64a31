//! The disk as a power cut would leave it: what was synced is there, and of what was written after that
//! any part may be. A file that was made is there; one that was removed is gone for good only once its
//! folder was synced.

use crate::random::Random;
use crate::trace::{Deed, Part};

/// What a disk writes whole.
const SECTOR: usize = 512;

/// A file: what is surely on the disk, and what was done to it since.
#[derive(Debug, Clone, Default)]
struct File {
    /// None where it does not exist.
    durable: Option<Vec<u8>>,
    since: Vec<Deed>,
}

/// The files of the database, by [`Part`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Files([File; Part::FILES.len()]);

/// What is on the disk after a power cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// How it came about, for a person.
    pub(crate) how: &'static str,
    files: Vec<Option<Vec<u8>>>,
}

impl Image {
    /// The content of a file; none where it does not exist.
    pub(crate) fn file(&self, part: Part) -> Option<&[u8]> {
        self.files[part as usize].as_deref()
    }
}

impl Files {
    /// A call was made.
    pub(crate) fn take(&mut self, part: Part, deed: &Deed) {
        if part == Part::Folder {
            // POSIX promises of a name only this much; f2fs, which many a memory card has, no more.
            for file in self.0.iter_mut().filter(|file| file.since.last() == Some(&Deed::Unlink)) {
                *file = File::default();
            }
            return;
        }
        let file = &mut self.0[part as usize];
        if *deed != Deed::Sync {
            file.since.push(deed.clone());
            return;
        }
        for deed in std::mem::take(&mut file.since) {
            apply(&mut file.durable, &deed, None);
        }
    }

    /// What a power cut now could leave: nothing of what is not synced, all of it, and so many times some
    /// of it, with one write torn.
    pub(crate) fn images(&self, random: &mut Random, some: usize) -> Vec<Image> {
        let image = |how, files| Image { how, files };
        let nothing = self.0.iter().map(|file| file.durable.clone());
        let mut images = vec![
            image("nothing that was not synced", nothing.collect()),
            image("all that was written", self.0.iter().map(File::whole).collect()),
        ];
        for _ in 0..some {
            let torn = self.0.iter().map(|file| file.torn(random));
            images.push(image("some of what was written", torn.collect()));
        }
        // Where nothing is pending, they are all the same.
        images.dedup_by(|a, b| a.files == b.files);
        images
    }
}

impl File {
    fn whole(&self) -> Option<Vec<u8>> {
        let mut content = self.durable.clone();
        for deed in &self.since {
            apply(&mut content, deed, None);
        }
        content
    }

    fn torn(&self, random: &mut Random) -> Option<Vec<u8>> {
        let mut content = self.durable.clone();
        let torn = random.between(0, self.since.len().max(1) as u64 - 1) as usize;
        for (at, deed) in self.since.iter().enumerate() {
            if at == torn {
                apply(&mut content, deed, Some(random));
            } else if random.one_in(2) {
                apply(&mut content, deed, None);
            }
        }
        content
    }
}

/// Does to a file what was done; with `torn`, only some of a write's sectors.
fn apply(content: &mut Option<Vec<u8>>, deed: &Deed, torn: Option<&mut Random>) {
    match deed {
        Deed::Write { offset, bytes } => {
            let content = content.get_or_insert_default();
            let mut torn = torn;
            let mut at = *offset;
            while at < offset + bytes.len() {
                // Sectors lie on the disk where the file's offsets say, not where a write begins.
                let end = ((at / SECTOR + 1) * SECTOR).min(offset + bytes.len());
                if torn.as_mut().is_none_or(|random| random.one_in(2)) {
                    if content.len() < end {
                        content.resize(end, 0);
                    }
                    content[at..end].copy_from_slice(&bytes[at - offset..end - offset]);
                }
                at = end;
            }
        }
        Deed::Truncate { length } => content.get_or_insert_default().resize(*length, 0),
        Deed::Unlink => *content = None,
        Deed::Sync => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: usize, byte: u8, length: usize) -> Deed {
        Deed::Write { offset, bytes: vec![byte; length] }
    }

    #[test]
    fn what_was_synced_is_in_every_image_and_the_rest_in_one_of_them() {
        let mut files = Files::default();
        files.take(Part::Log, &write(0, 1, 1024));
        files.take(Part::Log, &Deed::Sync);
        files.take(Part::Log, &write(1024, 2, 1024));
        files.take(Part::Database, &write(0, 3, 10));
        let images = files.images(&mut Random::new(1, 1), 20);
        let log = |image: &Image| image.file(Part::Log).expect("a log").to_vec();
        assert!(images.iter().all(|image| log(image)[..1024] == [1; 1024]));
        assert_eq!(log(&images[0]).len(), 1024);
        assert_eq!(images[0].file(Part::Database), None);
        assert_eq!(log(&images[1])[1024..], [2; 1024]);
        assert_eq!(images[1].file(Part::Database), Some(&[3; 10][..]));
        let half = |image: &Image| log(image).len() == 1536;
        assert!(images.iter().any(half), "a write is torn between its sectors");
    }

    #[test]
    fn a_sync_of_one_file_says_nothing_of_the_other() {
        let mut files = Files::default();
        let images = |files: &Files| files.images(&mut Random::new(1, 1), 0);
        files.take(Part::Database, &write(0, 3, 10));
        files.take(Part::Log, &Deed::Sync);
        assert_eq!(images(&files)[0].file(Part::Database), None);
        files.take(Part::Database, &Deed::Sync);
        files.take(Part::Database, &Deed::Truncate { length: 4 });
        assert_eq!(images(&files)[0].file(Part::Database), Some(&[3; 10][..]));
        assert_eq!(images(&files)[1].file(Part::Database), Some(&[3; 4][..]));
    }

    #[test]
    fn a_name_is_gone_for_good_with_the_next_sync_of_its_folder() {
        let mut files = Files::default();
        files.take(Part::Journal, &write(0, 3, 10));
        files.take(Part::Journal, &Deed::Sync);
        files.take(Part::Journal, &Deed::Unlink);
        let images = |files: &Files| files.images(&mut Random::new(1, 1), 0);
        assert!(images(&files)[0].file(Part::Journal).is_some());
        assert_eq!(images(&files)[1].file(Part::Journal), None);
        files.take(Part::Log, &Deed::Sync);
        assert!(images(&files)[0].file(Part::Journal).is_some());
        files.take(Part::Folder, &Deed::Sync);
        assert_eq!(images(&files)[0].file(Part::Journal), None);
    }

    #[test]
    fn sectors_lie_where_the_file_says_also_for_a_write_that_begins_between_them() {
        let mut content = Some(vec![0; 1024]);
        let mut random = Random::new(3, 3);
        for _ in 0..50 {
            apply(&mut content, &write(500, 9, 100), Some(&mut random));
            let bytes = content.as_ref().expect("a file");
            for sector in [&bytes[500..512], &bytes[512..600]] {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
            }
            content = Some(vec![0; 1024]);
        }
    }
}
