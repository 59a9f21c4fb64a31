//! Which of the processor's abilities llama.cpp uses, and how many of its cores.
//!
//! One program for all arm64 boards may use only what all of them have, and is several times slower than it could be on
//! one that can multiply bytes (dotprod: Raspberry Pi 5, Jetson Orin; i8mm: newer ones). In a build with the feature
//! `cpu-variants` what computes is in libraries beside the program, one for each generation of processors, and when
//! a worker starts llama.cpp loads the best one that the board's processor can run. Without the feature there
//! is one, in the program.

/// Where the libraries are, seen from the folder of the program: `/usr/bin` and `/usr/lib/agentd`, say.
#[cfg(feature = "cpu-variants")]
const FOLDER: &str = "../lib/agentd";

/// Loads the libraries that fit the processor. It must be called before anything is computed; a second call does nothing.
pub fn load() {
    #[cfg(feature = "cpu-variants")]
    {
        static LOADED: std::sync::Once = std::sync::Once::new();
        LOADED.call_once(|| {
            let program = std::env::current_exe().unwrap_or_default();
            let folder = program.parent().unwrap_or(std::path::Path::new("/")).join(FOLDER);
            llama_cpp_2::llama_backend::load_backends_from_path(&folder);
        });
    }
}

/// The generation whose library this process has loaded, as llama.cpp names it: `armv8.2_2`. None where it is built in,
/// or none was found.
pub fn generation() -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    of_maps(&maps).map(str::to_owned)
}

/// The same, of what a process has mapped.
fn of_maps(maps: &str) -> Option<&str> {
    maps.lines().find_map(|line| line.rsplit_once("/libggml-cpu-")?.1.strip_suffix(".so"))
}

/// How many threads decode where nobody says it.
pub(super) fn threads() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    threads_of(u32::try_from(cores).unwrap_or(u32::MAX))
}

/// On four cores and more one stays free, so that the board answers while the model thinks.
fn threads_of(cores: u32) -> u32 {
    if cores >= 4 { cores - 1 } else { cores.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_stays_free_on_four_and_none_on_fewer() {
        let threads: Vec<u32> = [0, 1, 2, 3, 4, 8].into_iter().map(threads_of).collect();
        assert_eq!(threads, [1, 1, 2, 3, 3, 7]);
    }

    #[test]
    fn the_generation_is_read_off_the_library_that_is_mapped() {
        let maps = "7f00-7f01 r-xp 00000000 08:01 1    /usr/lib/libc.so.6\n\
                    7f02-7f03 r--p 00000000 08:01 2    /usr/lib/agentd/libggml-base.so\n\
                    7f04-7f05 r-xp 00000000 08:01 3    /usr/lib/agentd/libggml-cpu-armv8.2_2.so\n";
        assert_eq!(of_maps(maps), Some("armv8.2_2"));
        let without: String = maps.lines().take(2).collect();
        assert_eq!(of_maps(&without), None);
    }

    /// With the feature it is seen by `scripts/arm64-test --variants`: a test has no libraries beside it.
    #[cfg(not(feature = "cpu-variants"))]
    #[test]
    fn a_build_that_has_one_names_none() {
        load();
        assert_eq!(generation(), None);
    }
}
