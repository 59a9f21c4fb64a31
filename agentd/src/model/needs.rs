//! How much memory a model needs, and whether the board has it: asked before llama.cpp maps the file, because a model
//! that does not fit does not fail. It makes the board crawl, and then the kernel kills somebody.
//!
//! What is free is what the kernel calls available, and no more than what is left of the control group that the
//! service runs in (`MemoryMax=`). Sources: `proc_meminfo(5)`; the kernel's `cgroup-v2.rst`.

use std::path::Path;

use super::gguf::Header;

/// What a worker has beside weights and context, in bytes: the program, the vocabulary, what a batch is computed in.
/// Measured with the default model, whose vocabulary has 49 000 tokens: 58 MiB.
const REST: u64 = 64 * MIB;
const MIB: u64 = 1024 * 1024;
/// A number of the context's state: two bytes (f16).
const STATE_BYTES: u64 = 2;

/// What a model needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Its file.
    pub weights: u64,
    /// The context: keys and values of each token in each layer. 0 where the file does not tell its sizes.
    pub context: u64,
}

/// What a board has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In all.
    pub total: u64,
    /// That nobody uses, or that can be had at once.
    pub free: u64,
}

/// Why a model is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The board is too small.
    #[error(
        "it needs {needs}, and this board has {} MiB in all: take a smaller model or quantisation, or lower model.context",
        total / MIB
    )]
    Board {
        /// What is needed.
        needs: Needs,
        /// What there is, in bytes.
        total: u64,
    },
    /// Others have the memory now.
    #[error(
        "it needs {needs}, and {} MiB of {} are free now: end what takes them, or lower model.context",
        free / MIB,
        total / MIB
    )]
    Now {
        /// What is needed.
        needs: Needs,
        /// What is free, in bytes.
        free: u64,
        /// What there is, in bytes.
        total: u64,
    },
    /// It may not have so much.
    #[error("it needs {needs}, and model.memory_mib allows {} MiB", budget / MIB)]
    Budget {
        /// What is needed.
        needs: Needs,
        /// What is allowed, in bytes.
        budget: u64,
    },
}

impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [all, weights, context] =
            [self.bytes(), self.weights, self.context].map(|bytes| bytes.div_ceil(MIB));
        write!(f, "{all} MiB ({weights} of weights, {context} of context, {} beside)", REST / MIB)
    }
}

impl Needs {
    /// What a model needs with a context of so many tokens.
    pub fn of(model: &Header, tokens: u32) -> Self {
        let shape = model.shape;
        let head = |told: u64| if told > 0 { told } else { shape.width / shape.heads.max(1) };
        let kv_heads = if shape.kv_heads > 0 { shape.kv_heads } else { shape.heads };
        let numbers = kv_heads.saturating_mul(head(shape.key).saturating_add(head(shape.value)));
        let layers = u64::from(tokens).saturating_mul(shape.layers);
        let context = layers.saturating_mul(numbers).saturating_mul(STATE_BYTES);
        Self { weights: model.needs_bytes, context }
    }

    /// With another model in the same worker.
    pub fn and(self, other: Self) -> Self {
        Self {
            weights: self.weights.saturating_add(other.weights),
            context: self.context.saturating_add(other.context),
        }
    }

    /// All of it, in bytes.
    pub fn bytes(&self) -> u64 {
        self.weights.saturating_add(self.context).saturating_add(REST)
    }

    /// Whether it can be loaded; `budget` is the most that it may have, in bytes, where there is one.
    pub fn fit(self, memory: Option<Memory>, budget: Option<u64>) -> Result<(), Misfit> {
        let bytes = self.bytes();
        if let Some(budget) = budget.filter(|budget| bytes > *budget) {
            return Err(Misfit::Budget { needs: self, budget });
        }
        match memory {
            Some(Memory { total, .. }) if bytes > total => {
                Err(Misfit::Board { needs: self, total })
            }
            Some(Memory { total, free }) if bytes > free => {
                Err(Misfit::Now { needs: self, free, total })
            }
            // Where the kernel does not say what there is, one has to try.
            Some(_) | None => Ok(()),
        }
    }
}

/// MiB of the config in bytes; 0 stands for no bound.
pub fn budget(mib: u32) -> Option<u64> {
    (mib > 0).then_some(u64::from(mib) * MIB)
}

impl Memory {
    /// What there is now; nothing where the kernel does not tell.
    pub fn now() -> Option<Self> {
        let mut memory = Self::of_board(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let group = groups.lines().find_map(|line| line.strip_prefix("0::"));
        let root = Path::new("/sys/fs/cgroup");
        // A limit of a group holds for all groups within it.
        for group in Path::new(group.unwrap_or_default().trim_start_matches('/')).ancestors() {
            let read = |file: &str| {
                std::fs::read_to_string(root.join(group).join(file)).unwrap_or_default()
            };
            if let Ok(limit) = read("memory.max").trim().parse() {
                let taken = taken(&read("memory.current"), &read("memory.stat"));
                memory = memory.within(limit, taken);
            }
        }
        Some(memory)
    }

    fn of_board(meminfo: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(Self { total: field("MemTotal:")?, free: field("MemAvailable:")? })
    }

    /// What is left of it to a group that may have `limit` bytes and has `taken`.
    fn within(self, limit: u64, taken: u64) -> Self {
        Self { total: self.total.min(limit), free: self.free.min(limit.saturating_sub(taken)) }
    }
}

/// What a group has and does not get back at once, in bytes: files that were read count as its own until somebody
/// needs the room.
fn taken(current: &str, stat: &str) -> u64 {
    let file = |name: &str| {
        let mut lines = stat.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    let current: u64 = current.trim().parse().unwrap_or(0);
    current.saturating_sub(file("active_file")).saturating_sub(file("inactive_file"))
}

#[cfg(test)]
mod tests {
    use super::super::gguf::Shape;
    use super::*;

    fn header(weights: u64) -> Header {
        // The default model's.
        let shape = Shape { layers: 30, width: 576, heads: 9, kv_heads: 3, ..Shape::default() };
        Header { needs_bytes: weights, shape, ..Header::default() }
    }

    #[test]
    fn the_context_has_a_key_and_a_value_for_each_token_layer_and_head() {
        let needs = Needs::of(&header(100 * MIB), 2048);
        assert_eq!(needs.context, 2048 * 30 * 3 * (64 + 64) * 2);
        assert_eq!(needs.bytes(), 100 * MIB + needs.context + REST);
        let told = Shape { key: 32, value: 16, kv_heads: 0, ..header(0).shape };
        let needs = Needs::of(&Header { shape: told, ..header(0) }, 1);
        assert_eq!(needs.context, 30 * 9 * (32 + 16) * 2, "as many heads as there are queries");
        assert_eq!(Needs::of(&Header::default(), 2048).context, 0, "nothing is known");
        let huge = Shape { layers: u64::MAX, heads: u64::MAX, ..Shape::default() };
        let huge = Header { shape: huge, needs_bytes: u64::MAX, ..Header::default() };
        assert_eq!(Needs::of(&huge, u32::MAX).bytes(), u64::MAX);
    }

    #[test]
    fn each_bound_holds_at_and_one_over_and_is_told_with_the_figures() {
        let needs = Needs { weights: 100 * MIB, context: 36 * MIB };
        let bytes = 200 * MIB;
        assert_eq!(needs.bytes(), bytes);
        let memory = |total, free| Some(Memory { total, free });
        assert_eq!(needs.fit(memory(bytes, bytes), Some(bytes)), Ok(()));
        assert_eq!(needs.fit(None, None), Ok(()));
        for (memory, budget, figures) in [
            (memory(bytes - 1, bytes - 1), None, "199 MiB in all"),
            (memory(bytes, bytes - 1), None, "199 MiB of 200 are free"),
            (memory(bytes, bytes), Some(bytes - 1), "model.memory_mib allows 199 MiB"),
        ] {
            let why = needs.fit(memory, budget).expect_err(figures).to_string();
            assert!(why.contains(figures), "{why}");
            assert!(why.contains("200 MiB (100 of weights, 36 of context, 64 beside)"), "{why}");
        }
        assert_eq!((budget(0), budget(2)), (None, Some(2 * MIB)));
    }

    #[test]
    fn a_group_leaves_what_its_limit_leaves_and_what_was_read_can_be_had_back() {
        let board = "MemTotal:        4000 kB\nMemFree:    1 kB\nMemAvailable:  3000 kB\n";
        let memory = Memory::of_board(board).expect("both are there");
        assert_eq!(memory, Memory { total: 4_096_000, free: 3_072_000 });
        assert_eq!(Memory::of_board("MemTotal: 4000 kB\n"), None);
        let taken = taken("1000\n", "anon 300\ninactive_file 200\nactive_file 400\n");
        assert_eq!(taken, 400);
        assert_eq!(memory.within(5000, taken), Memory { total: 5000, free: 4600 });
        assert_eq!(memory.within(300, taken), Memory { total: 300, free: 0 });
        assert_eq!(memory.within(u64::MAX, taken), memory);
    }

    #[test]
    fn this_machine_tells_what_it_has() {
        let memory = Memory::now().expect("Linux tells it");
        assert!(memory.free > 0 && memory.free <= memory.total, "{memory:?}");
    }
}
