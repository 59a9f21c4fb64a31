//! Two series that were taken by turns, and what is told of them.

use serde_json::{Value, json};

/// What a ratio of ours to the peer's is to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

/// Ours and the peer's, one entry a round.
#[derive(Debug, Default, Clone)]
pub(super) struct Sides {
    pub(super) ours: Vec<f64>,
    pub(super) peer: Vec<f64>,
}

impl Sides {
    pub(super) fn add(&mut self, ours: f64, peer: f64) {
        self.ours.push(ours);
        self.peer.push(peer);
    }

    /// The row: both medians, and the median of the rounds' ratios, which is what counts. A disturbance that lasts
    /// longer than a round is in both parts of its ratio.
    pub(super) fn told(&self, aim: Option<Aim>) -> Value {
        let rounds = self.ours.iter().zip(&self.peer);
        let ratio = median(&rounds.map(|(ours, peer)| ours / peer).collect::<Vec<_>>());
        let mut row = json!({
            "ours": short(median(&self.ours)), "peer": short(median(&self.peer)), "ratio": short(ratio),
        });
        let (text, is_met) = match aim {
            None => return row,
            Some(Aim::AtMost(most)) => (format!("<={most}"), ratio <= most),
            Some(Aim::AtLeast(least)) => (format!(">={least}"), ratio >= least),
        };
        row["aim"] = text.into();
        row["met"] = is_met.into();
        row
    }
}

/// The median; of an even number the mean of the middle two. There must be one.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return sorted[middle];
    }
    (sorted[middle - 1] + sorted[middle]) / 2.0
}

/// Three significant digits.
pub(super) fn short(value: f64) -> f64 {
    let digits = 2 - value.abs().max(1e-9).log10().floor() as i32;
    // Beyond the point only: of a large number no whole part is rounded away.
    let scale = 10_f64.powi(digits.clamp(0, 6));
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_ratios_is_told_and_not_the_ratio_of_the_medians() {
        let sides = Sides { ours: vec![1.0, 9.0, 2.0], peer: vec![2.0, 10.0, 8.0] };
        let row = sides.told(Some(Aim::AtMost(0.5)));
        assert_eq!(
            row,
            json!({"ours": 2.0, "peer": 8.0, "ratio": 0.5, "aim": "<=0.5", "met": true})
        );
        assert_eq!(sides.told(Some(Aim::AtLeast(0.51)))["met"], false);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn three_digits_are_kept_and_no_whole_part_is_rounded() {
        assert_eq!([0.123_456, 1.5, 117.26, 15_234.4].map(short), [0.123, 1.5, 117.0, 15_234.0]);
    }
}
