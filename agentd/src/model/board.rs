//! How hot the board is, read from the kernel's files.
//!
//! Sources: the kernel's `sysfs-api.rst` of its thermal drivers and `cpufreq.rst`.

use std::path::Path;

/// How much cooler than hot a board must be to count as cool again, in degrees: it shall not change its mind each second.
const COOLER: f32 = 5.0;

/// What the board says of its temperature.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Heat {
    /// The hottest place, in degrees Celsius; none where the board does not tell.
    pub celsius: Option<f32>,
    /// A processor may not run as fast as it could.
    pub is_throttled: bool,
}

impl Heat {
    /// Of the board whose `/sys` this is.
    pub fn read(sys: &Path) -> Self {
        let zones = folders(&sys.join("class/thermal"), "thermal_zone");
        let celsius = zones.iter().filter_map(|zone| number(&zone.join("temp")));
        let throttled = |policy: &std::path::PathBuf| {
            let frequency = |file: &str| number(&policy.join(file));
            let (may, can) = (frequency("scaling_max_freq"), frequency("cpuinfo_max_freq"));
            may.zip(can).is_some_and(|(may, can)| may < can)
        };
        let policies = folders(&sys.join("devices/system/cpu/cpufreq"), "policy");
        Self {
            // A sensor that is broken tells of hundreds of degrees, or of absolute zero.
            celsius: celsius
                .map(|milli| milli / 1000.0)
                .filter(|celsius| (-60.0..200.0).contains(celsius))
                .reduce(f32::max),
            is_throttled: policies.iter().any(throttled),
        }
    }

    /// Whether the board is hot, having been so or not before.
    pub fn is_hot(&self, was_hot: bool, from_celsius: f32) -> bool {
        let bound = if was_hot { from_celsius - COOLER } else { from_celsius };
        self.celsius.is_some_and(|celsius| celsius >= bound)
            || self.is_throttled && self.celsius.is_none_or(|celsius| celsius >= bound - COOLER)
    }
}

impl std::fmt::Display for Heat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.celsius {
            Some(celsius) => write!(f, "{celsius:.0} °C")?,
            None => f.write_str("of unknown temperature")?,
        }
        f.write_str(if self.is_throttled { ", throttled" } else { "" })
    }
}

fn folders(of: &Path, named: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(named));
    named.map(|entry| entry.path()).collect()
}

fn number(file: &Path) -> Option<f32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sys(files: &[(&str, &str)]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = sys.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        sys
    }

    #[test]
    fn the_hottest_zone_counts_and_sensors_that_are_broken_do_not() {
        let board = sys(&[
            ("class/thermal/thermal_zone0/temp", "61234\n"),
            ("class/thermal/thermal_zone1/temp", "71000\n"),
            ("class/thermal/thermal_zone2/temp", "-273150\n"),
            ("class/thermal/thermal_zone3/temp", "999000\n"),
            ("class/thermal/cooling_device0/temp", "90000\n"),
            ("devices/system/cpu/cpufreq/policy0/scaling_max_freq", "1800000\n"),
            ("devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq", "1800000\n"),
        ]);
        let heat = Heat::read(board.path());
        assert_eq!(heat, Heat { celsius: Some(71.0), is_throttled: false });
        assert_eq!(heat.to_string(), "71 °C");
        let slow = board.path().join("devices/system/cpu/cpufreq/policy0/scaling_max_freq");
        std::fs::write(slow, "1000000").expect("written");
        assert!(Heat::read(board.path()).is_throttled);
        let nothing = sys(&[]);
        assert_eq!(Heat::read(nothing.path()), Heat::default());
    }

    #[test]
    fn a_board_is_hot_from_its_bound_on_and_cool_again_well_below_it() {
        let heat = |celsius, is_throttled| Heat { celsius: Some(celsius), is_throttled };
        assert!(heat(80.0, false).is_hot(false, 80.0));
        assert!(!heat(79.9, false).is_hot(false, 80.0));
        assert!(heat(75.0, false).is_hot(true, 80.0));
        assert!(!heat(74.9, false).is_hot(true, 80.0));
        // An owner may have set a lower speed for good: that alone is no heat.
        assert!(heat(76.0, true).is_hot(false, 80.0) && !heat(40.0, true).is_hot(false, 80.0));
        assert!(Heat { celsius: None, is_throttled: true }.is_hot(false, 80.0));
        assert!(!Heat::default().is_hot(true, 80.0));
    }
}
