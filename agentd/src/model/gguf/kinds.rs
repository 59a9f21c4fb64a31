//! Numbers of the format by their names, and what a file is that is none.

/// Elements and bytes of one block of a tensor type.
pub(super) fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        24 => (1, 1),
        27 | 28 => (1, 8),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 | 35 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        29 => (256, 56),
        34 => (256, 54),
        39 => (32, 17),
        40 => (64, 36),
        41 => (128, 18),
        42 => (64, 18),
        _ => return None,
    })
}

/// llama.cpp's file types by their usual names.
pub(super) fn file_type(n: u64) -> String {
    let name = match n {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        25 => "IQ4_NL",
        30 => "IQ4_XS",
        32 => "BF16",
        _ => return format!("type {n}"),
    };
    name.to_owned()
}

pub(super) fn looks_like(head: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(head).trim_start().to_lowercase();
    if head.is_empty() {
        "empty"
    } else if text.starts_with("<!doctype") || text.starts_with("<html") {
        "an HTML page, perhaps an error of the site it came from"
    } else if text.starts_with("version https://git-lfs") {
        "a git-lfs pointer, which names the file but does not hold it"
    } else if head.starts_with(b"PK\x03\x04") {
        "a zip archive or a wheel, which has to be unpacked"
    } else if head.starts_with(&[0x1f, 0x8b]) {
        "compressed with gzip"
    } else if head.starts_with(b"FUGG") {
        "a GGUF file for big-endian machines"
    } else if head.starts_with(b"ggml") || head.starts_with(b"lmgg") || head.starts_with(b"tjgg") {
        "a file of GGML, which came before GGUF"
    } else if head.iter().all(|byte| *byte == 0) {
        "all zeros, as a download leaves that was broken off"
    } else {
        "something else"
    }
}
