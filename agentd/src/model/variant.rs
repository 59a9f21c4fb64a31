//! Which of a model's quantisations is for this board.
//!
//! Entries of the catalogue with the same `variant_of` are one model, stored in more or fewer bits a weight. More bits are
//! more right, and every token reads all of them. So a board gets the largest file
//!
//! - that takes half of its memory at most, or fits on its GPU: the rest is for context, tools and the owner's own work;
//! - and where it has fewer than [`CORES`] cores, or none that multiply bytes (dotprod or i8mm on arm64, AVX2 on x86-64),
//!   and no GPU, has [`SLOW_BITS`] bits a weight at most: there a token of more would take too long.
//!
//! Where none is small enough it is the smallest one. This decides; only [`Board::here`] looks at the machine.

use std::sync::OnceLock;

use super::catalog::Entry;
use super::devices;
use super::needs::Memory;

/// With fewer cores a board counts as slow.
const CORES: usize = 4;
/// The most bits a weight on a slow board: Q4_K_M and the like.
const SLOW_BITS: u32 = 4;

/// What a board has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// Memory in all, in bytes; none where the kernel does not tell.
    pub memory: Option<u64>,
    /// Cores.
    pub cores: usize,
    /// Whether they have instructions that multiply bytes.
    pub multiplies_bytes: bool,
    /// The memory of its GPU, in bytes, where this build can use one.
    pub gpu: Option<u64>,
}

impl Board {
    /// The board that this runs on: what it is, and not what is free, so that it is the same at each look.
    pub fn here() -> Self {
        static HERE: OnceLock<Board> = OnceLock::new();
        *HERE.get_or_init(|| {
            let gpu = devices::all().into_iter().filter(|device| device.is_gpu);
            Self {
                memory: Memory::now().map(|memory| memory.total),
                cores: std::thread::available_parallelism().map_or(1, usize::from),
                multiplies_bytes: multiplies_bytes(),
                gpu: gpu.map(|device| device.total).max(),
            }
        })
    }

    fn is_slow(&self) -> bool {
        self.gpu.is_none() && (self.cores < CORES || !self.multiplies_bytes)
    }

    /// Whether it has room for weights of so many bytes.
    fn holds(&self, bytes: u64) -> bool {
        let half = self.memory.is_none_or(|memory| bytes <= memory / 2);
        half || self.gpu.is_some_and(|gpu| bytes <= gpu)
    }
}

impl std::fmt::Display for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.memory {
            Some(bytes) => write!(f, "{} MiB of memory", bytes / (1024 * 1024))?,
            None => f.write_str("memory of unknown size")?,
        }
        let s = if self.cores == 1 { "" } else { "s" };
        let can = if self.multiplies_bytes { "can" } else { "cannot" };
        write!(f, ", {} core{s} that {can} multiply bytes", self.cores)?;
        match self.gpu {
            Some(bytes) => write!(f, ", a GPU with {} MiB", bytes / (1024 * 1024)),
            None => Ok(()),
        }
    }
}

/// The one of a model's quantisations that a board should have; none of none.
pub fn choose<'e>(variants: &[&'e Entry], board: &Board) -> Option<&'e Entry> {
    let small = |entry: &&&Entry| !board.is_slow() || bits(&entry.quantisation) <= SLOW_BITS;
    let fits = variants.iter().filter(small).filter(|entry| board.holds(entry.bytes));
    let best = fits.max_by_key(|entry| entry.bytes);
    best.or_else(|| variants.iter().min_by_key(|entry| entry.bytes)).copied()
}

/// The bits a weight that a name of a quantisation tells: `Q4_K_M`, `IQ3_XS`, `F16`. Of a name that tells none, a byte's.
fn bits(quantisation: &str) -> u32 {
    let digits = quantisation.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(8)
}

#[cfg(target_arch = "aarch64")]
fn multiplies_bytes() -> bool {
    use std::arch::is_aarch64_feature_detected as has;
    has!("dotprod") || has!("i8mm")
}

#[cfg(target_arch = "x86_64")]
fn multiplies_bytes() -> bool {
    is_x86_feature_detected!("avx2")
}

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
fn multiplies_bytes() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn entry(quantisation: &str, mib: u64) -> Entry {
        Entry {
            name: quantisation.to_lowercase(),
            title: "A model".into(),
            file: format!("{quantisation}.gguf"),
            quantisation: quantisation.into(),
            bytes: mib * MIB,
            sha256: "0".repeat(64),
            licence: "MIT".into(),
            variant_of: Some("a-model".into()),
            default: false,
            sources: Vec::new(),
        }
    }

    fn board(mib: u64, cores: usize, multiplies_bytes: bool, gpu: Option<u64>) -> Board {
        Board { memory: Some(mib * MIB), cores, multiplies_bytes, gpu: gpu.map(|mib| mib * MIB) }
    }

    #[track_caller]
    fn check(board: Board, chosen: &str) {
        let all =
            [entry("Q4_K_M", 400), entry("Q2_K", 250), entry("Q8_0", 800), entry("F16", 1500)];
        let variants: Vec<_> = all.iter().collect();
        let found = choose(&variants, &board).map(|entry| entry.quantisation.as_str());
        assert_eq!(found, Some(chosen), "{board}");
    }

    #[test]
    fn a_board_gets_the_largest_that_takes_half_of_its_memory() {
        check(board(8192, 4, true, None), "F16");
        check(board(3000, 4, true, None), "F16");
        check(board(2999, 4, true, None), "Q8_0");
        check(board(1600, 4, true, None), "Q8_0");
        check(board(1599, 4, true, None), "Q4_K_M");
        check(board(500, 4, true, None), "Q2_K");
        check(board(64, 4, true, None), "Q2_K");
        check(Board { memory: None, ..board(0, 4, true, None) }, "F16");
        assert_eq!(choose(&[], &board(64, 4, true, None)), None);
    }

    #[test]
    fn a_slow_board_gets_few_bits_unless_a_gpu_computes() {
        check(board(8192, 3, true, None), "Q4_K_M");
        check(board(8192, 8, false, None), "Q4_K_M");
        check(board(600, 2, false, None), "Q2_K");
        check(board(8192, 2, false, Some(0)), "F16");
        check(board(1000, 2, false, Some(800)), "Q8_0");
        check(board(1000, 2, false, Some(799)), "Q4_K_M");
    }

    #[test]
    fn bits_are_read_off_the_name() {
        let names = [("Q4_K_M", 4), ("IQ3_XS", 3), ("F16", 16), ("BF16", 16), ("mystery", 8)];
        for (name, expected) in names {
            assert_eq!(bits(name), expected, "{name}");
        }
    }

    #[test]
    fn this_machine_is_told_in_words() {
        let here = Board::here();
        assert!(here.cores > 0 && here.memory.is_some(), "{here}");
        let small = board(512, 1, false, Some(64)).to_string();
        assert_eq!(
            small,
            "512 MiB of memory, 1 core that cannot multiply bytes, a GPU with 64 MiB"
        );
    }
}
