//! Damaged copies of good input, from a seed.

use super::driver::MAX_INPUT_BYTES;

/// How many changes one input gets, at most. Often it is one, so that what is damaged gets far.
const MAX_CHANGES: [usize; 3] = [1, 2, 6];
/// What is wrong for many parsers, or near a bound that programs have.
const WORDS: [&[u8]; 34] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"/",
    b"+",
    b"#",
    b"$",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbf\xbe",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\xc4\xb0",
    b"\xce\xa3",
    b"\xc2\x85",
    b"\x1b[2J",
    b"\\ud800",
    b"\\u0000",
    b"-0.0",
    b"1e999",
    b"2.2250738585072011e-308",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"null",
];
/// Lengths and counts that are written over the input, as little endian.
const LENGTHS: [u64; 10] =
    [0, 1, 0x7f, 0xffff, 0x10_0000, 0x10_0001, 0x7fff_ffff, 0xffff_ffff, 1 << 62, u64::MAX];

/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, with
/// the constants of Vigna's `splitmix64.c`. Seeds that follow one another give unrelated numbers.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `n` less one; 0 where `n` is 0. That low numbers come a little more often does no harm here.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A part of something so long, mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let most = *self.pick(&[4, 32, length]);
        let from = self.below(length + 1);
        from..(from + self.below(most + 1)).min(length)
    }
}

/// One input: a good one with some changes, or now and then nothing but noise.
pub(super) fn mutate(rng: &mut Rng, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = rng.pick(corpus).clone();
    if rng.below(50) == 0 {
        input = (0..rng.below(300)).map(|_| rng.next() as u8).collect();
    }
    let most = *rng.pick(&MAX_CHANGES);
    for _ in 0..=rng.below(most) {
        change(rng, &mut input, corpus, words);
        input.truncate(MAX_INPUT_BYTES);
    }
    input
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
    let at = rng.below(input.len() + 1);
    match rng.below(13) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = rng.next() as u8;
            }
        }
        2 => input.truncate(at),
        3 => drop(input.drain(rng.range(input.len()))),
        4 => {
            let range = rng.range(input.len());
            let times = *rng.pick(&[2, 3, 17, 300, 20_000]);
            let part = input[range.clone()].to_vec();
            let times = times.min(MAX_INPUT_BYTES / part.len().max(1));
            drop(input.splice(range, part.repeat(times)));
        }
        5 => {
            let other = rng.pick(corpus);
            let range = rng.range(other.len());
            drop(input.splice(at..at, other[range].iter().copied()));
        }
        6 => {
            let other = rng.pick(corpus);
            input.truncate(at);
            input.extend_from_slice(&other[rng.below(other.len() + 1)..]);
        }
        7 | 8 if !words.is_empty() => {
            let range = rng.range(input.len());
            let range = if rng.below(2) == 0 { at..at } else { range };
            drop(input.splice(range, rng.pick(words).bytes()));
        }
        7..=9 => {
            let word = *rng.pick(&WORDS);
            let over = if rng.below(2) == 0 { at } else { (at + word.len()).min(input.len()) };
            drop(input.splice(at..over, word.iter().copied()));
        }
        10 => {
            let bytes = rng.pick(&LENGTHS).to_le_bytes();
            let bytes = &bytes[..*rng.pick(&[2, 4, 8])];
            drop(input.splice(at..(at + bytes.len()).min(input.len()), bytes.iter().copied()));
        }
        11 => nest(rng, input),
        _ => number(rng, input, at),
    }
}

/// Wraps a part of the input in brackets, now and then more of them than a stack would bear.
fn nest(rng: &mut Rng, input: &mut Vec<u8>) {
    let range = rng.range(input.len());
    let (open, close): (&[u8], &[u8]) = *rng.pick(&[
        (b"[" as &[u8], b"]" as &[u8]),
        (b"{\"a\":", b"}"),
        (b"(", b")"),
        (b"{a=", b"}"),
    ]);
    let depth = *rng.pick(&[1, 2, 127, 128, 129, 40_000]);
    let inner = input[range.clone()].to_vec();
    drop(input.splice(range, [open.repeat(depth), inner, close.repeat(depth)].concat()));
}

/// Puts another number in the place of the first one behind `at`.
fn number(rng: &mut Rng, input: &mut Vec<u8>, at: usize) {
    let Some(from) = (at..input.len()).find(|i| input[*i].is_ascii_digit()) else { return };
    let digits = input[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = match rng.below(3) {
        0 => rng.pick(&LENGTHS).to_string(),
        1 => format!("{}.{}e{}", rng.below(100), rng.next(), rng.below(40)),
        _ => "9".repeat(*rng.pick(&[19, 20, 400])),
    };
    drop(input.splice(from..from + digits, text.bytes()));
}
