use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A small file with all that the reader looks at: 64 elements of Q4_1 in 40 bytes, and a list of texts.
fn small() -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.extend(5_u64.to_le_bytes());
    for (key, value) in [("general.architecture", "llama"), ("general.name", "Tiny")] {
        text(&mut out, key);
        out.extend(8_u32.to_le_bytes());
        text(&mut out, value);
    }
    for (key, value) in [("general.file_type", 3_u32), ("llama.context_length", 8192)] {
        text(&mut out, key);
        out.extend(4_u32.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    text(&mut out, "tokenizer.ggml.tokens");
    out.extend(9_u32.to_le_bytes());
    out.extend(8_u32.to_le_bytes());
    out.extend(2_u64.to_le_bytes());
    text(&mut out, "a");
    text(&mut out, "bc");
    text(&mut out, "token_embd.weight");
    out.extend(2_u32.to_le_bytes());
    out.extend(32_u64.to_le_bytes());
    out.extend(2_u64.to_le_bytes());
    out.extend(3_u32.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.resize(out.len().next_multiple_of(32) + 40, 0);
    out
}

fn parse(bytes: &[u8]) -> Result<Header, GgufError> {
    Header::parse(Cursor::new(bytes), bytes.len() as u64)
}

#[test]
fn a_whole_file_tells_what_it_is() {
    let bytes = small();
    let header = parse(&bytes).unwrap();
    assert_eq!(header.architecture.as_deref(), Some("llama"));
    assert_eq!(header.name.as_deref(), Some("Tiny"));
    assert_eq!(header.quantisation.as_deref(), Some("Q4_1"));
    assert_eq!((header.version, header.tensors, header.context_length), (3, 1, Some(8192)));
    assert_eq!(header.needs_bytes, bytes.len() as u64);
}

#[test]
fn a_file_that_lacks_one_byte_is_truncated_and_says_how_long_it_must_be() {
    let bytes = small();
    let error = parse(&bytes[..bytes.len() - 1]).unwrap_err();
    let (has, needs) = (bytes.len() as u64 - 1, bytes.len() as u64);
    assert!(
        matches!(error, GgufError::Truncated { has: h, needs: n } if h == has && n == needs),
        "{error}"
    );
    let said = format!("the file has {has} bytes and its tensors need {needs}");
    assert!(error.to_string().contains(&said), "{error}");
}

#[test]
fn what_is_not_a_gguf_file_is_called_what_it_looks_like() {
    for (bytes, name) in [
        (&b""[..], "empty"),
        (b"\n<!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (b"PK\x03\x04rest of it", "zip"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b"ggml", "GGML"),
        (&[0; 4096], "zeros"),
        (b"GG", "something else"),
    ] {
        let error = parse(bytes).unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn versions_2_and_3_are_read_and_those_beside_them_are_not() {
    for version in 1_u8..=4 {
        let mut bytes = small();
        bytes[4] = version;
        match parse(&bytes) {
            Ok(header) => assert!((2..=3).contains(&header.version)),
            Err(e) => {
                assert!(matches!(e, GgufError::Version { version: v } if v == u32::from(version)));
                assert!(!(2..=3).contains(&version));
            }
        }
    }
}

#[test]
fn counts_are_believed_at_their_bound_and_not_one_over() {
    for (at, most) in [(8, MAX_TENSORS), (16, MAX_PAIRS)] {
        let with = |count: u64| {
            let mut bytes = small();
            bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
            parse(&bytes).unwrap_err()
        };
        assert!(!with(most).to_string().contains("claims"), "{}", with(most));
        assert!(with(most + 1).to_string().contains("claims"), "{}", with(most + 1));
    }
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let error = Header::read(Path::new("/nowhere/model.gguf")).unwrap_err();
    assert!(matches!(error, GgufError::Unreadable(_)), "{error}");
    assert!(matches!(Header::read(Path::new("/")).unwrap_err(), GgufError::NotGguf { .. }));
}

proptest! {
    #[test]
    fn damage_anywhere_is_an_error_or_goes_unseen_and_never_panics(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(), is_cut in any::<bool>()
    ) {
        let mut bytes = small();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(header) = parse(&bytes) {
            prop_assert!(header.needs_bytes <= bytes.len() as u64);
        }
    }

    #[test]
    fn garbage_behind_the_magic_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = [&b"GGUF\x03\0\0\0"[..], &bytes].concat();
        if let Ok(header) = parse(&file) {
            prop_assert!(header.needs_bytes <= file.len() as u64);
        }
    }
}
