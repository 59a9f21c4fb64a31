//! Rows of numbers in the block formats of ggml that our models and adapters use.
//!
//! ```text
//!  Q8_0, 32 numbers: scale f16 | 32 x i8                      x = scale * q
//!  Q4_1, 32 numbers: scale f16 | least f16 | 16 x two nibbles   x = scale * q + least
//! ```
//!
//! In a byte of Q4_1 the low nibble is of the first half of the block, the high one of the second. Source: ggml's
//! `ggml-common.h`.

use half::f16;

/// Numbers of a block.
const BLOCK: usize = 32;
/// How often the scale of a block is fitted to its rounded numbers.
const FITS: usize = 4;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// A byte a number.
    Q8_0,
    /// Half a byte a number.
    Q4_1,
}

impl Format {
    /// The format with this number in GGUF, if it is one of these.
    pub fn of(kind: u32) -> Option<Self> {
        match kind {
            0 => Some(Self::F32),
            1 => Some(Self::F16),
            3 => Some(Self::Q4_1),
            8 => Some(Self::Q8_0),
            _ => None,
        }
    }

    /// How many bytes a row has; none where it is no whole number of blocks.
    pub fn row_bytes(self, numbers: usize) -> Option<usize> {
        let blocks = numbers.is_multiple_of(BLOCK).then_some(numbers / BLOCK);
        match self {
            Self::F32 => Some(numbers * 4),
            Self::F16 => Some(numbers * 2),
            Self::Q8_0 => blocks.map(|blocks| blocks * 34),
            Self::Q4_1 => blocks.map(|blocks| blocks * 20),
        }
    }

    /// The numbers of a row, appended to `row`.
    pub fn read(self, bytes: &[u8], row: &mut Vec<f32>) {
        let half = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        match self {
            Self::F32 => {
                let (numbers, _) = bytes.as_chunks::<4>();
                row.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            Self::F16 => row.extend(bytes.chunks_exact(2).map(half)),
            Self::Q8_0 => {
                for block in bytes.chunks_exact(34) {
                    let scale = half(block);
                    row.extend(block[2..].iter().map(|q| scale * f32::from(q.cast_signed())));
                }
            }
            Self::Q4_1 => {
                for block in bytes.chunks_exact(20) {
                    let (scale, least) = (half(block), half(&block[2..]));
                    let number = |q: u8| scale * f32::from(q) + least;
                    row.extend(block[4..].iter().map(|byte| number(byte & 15)));
                    row.extend(block[4..].iter().map(|byte| number(byte >> 4)));
                }
            }
        }
    }

    /// A row's bytes, appended to `bytes`.
    pub fn write(self, row: &[f32], bytes: &mut Vec<u8>) {
        match self {
            Self::F32 => row.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            Self::F16 => row.iter().for_each(|x| bytes.extend(f16::from_f32(*x).to_le_bytes())),
            Self::Q8_0 => row.chunks(BLOCK).for_each(|block| write_q8_0(block, bytes)),
            Self::Q4_1 => row.chunks(BLOCK).for_each(|block| write_q4_1(block, bytes)),
        }
    }
}

fn write_q8_0(block: &[f32], bytes: &mut Vec<u8>) {
    let most = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let scale = f16::from_f32(most / 127.0);
    bytes.extend(scale.to_le_bytes());
    let inverse = if scale.to_f32() > 0.0 { 1.0 / scale.to_f32() } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
    bytes.extend(block.iter().map(|x| ((x * inverse).round() as i8).cast_unsigned()));
}

fn write_q4_1(block: &[f32], bytes: &mut Vec<u8>) {
    let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
    for x in block {
        (least, most) = (least.min(*x), most.max(*x));
    }
    let mut scale = (most - least) / 15.0;
    let mut best: Option<(f32, [u8; 4], [u8; BLOCK])> = None;
    for _ in 0..FITS {
        // As they will be read again.
        let (d, m) = (f16::from_f32(scale), f16::from_f32(least));
        let (own_scale, own_least) = (d.to_f32(), m.to_f32());
        let inverse = if own_scale > 0.0 { 1.0 / own_scale } else { 0.0 };
        let mut quants = [0; BLOCK];
        let (mut error, mut sum_q, mut sum_qq, mut sum_qx, mut sum_x) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (q, x) in quants.iter_mut().zip(block) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is clamped"
            )]
            let rounded = ((x - own_least) * inverse).round().clamp(0.0, 15.0) as u8;
            *q = rounded;
            let quant = f32::from(rounded);
            error += (own_scale * quant + own_least - x).powi(2);
            (sum_q, sum_qq) = (sum_q + quant, sum_qq + quant * quant);
            (sum_qx, sum_x) = (sum_qx + quant * x, sum_x + x);
        }
        if best.as_ref().is_none_or(|(least_error, ..)| error < *least_error) {
            let [a, b] = d.to_le_bytes();
            let [c, e] = m.to_le_bytes();
            best = Some((error, [a, b, c, e], quants));
        }
        // The scale and the least number that fit these quants best.
        #[expect(clippy::cast_precision_loss, reason = "it is 32")]
        let n = block.len() as f32;
        let spread = n * sum_qq - sum_q * sum_q;
        if spread <= 0.0 {
            break;
        }
        scale = (n * sum_qx - sum_q * sum_x) / spread;
        least = (sum_x - scale * sum_q) / n;
    }
    if let Some((_, head, quants)) = best {
        bytes.extend(head);
        let (low, high) = quants.split_at(BLOCK / 2);
        bytes.extend(low.iter().zip(high).map(|(low, high)| low | high << 4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern, from -1 to 1.
    fn numbers(count: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn again(format: Format, row: &[f32]) -> Vec<f32> {
        let (mut bytes, mut read) = (Vec::new(), Vec::new());
        format.write(row, &mut bytes);
        assert_eq!(Some(bytes.len()), format.row_bytes(row.len()));
        format.read(&bytes, &mut read);
        read
    }

    #[test]
    fn what_is_written_is_read_again_as_near_as_the_format_allows() {
        let row = numbers(256);
        for (format, most) in [
            (Format::F32, 0.0),
            (Format::F16, 0.0005),
            (Format::Q8_0, 0.005),
            // Half a step of fifteen between -1 and 1, and a little for the fit.
            (Format::Q4_1, 0.09),
        ] {
            let read = again(format, &row);
            let worst = row.iter().zip(&read).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= most, "{format:?}: {worst}");
        }
    }

    #[test]
    fn what_was_read_is_written_as_the_same_numbers() {
        for format in [Format::F16, Format::Q8_0, Format::Q4_1] {
            let once = again(format, &numbers(64));
            let twice = again(format, &once);
            let worst = once.iter().zip(&twice).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 0.002, "{format:?}: {worst}");
        }
    }

    #[test]
    fn a_block_without_a_spread_keeps_its_number() {
        for format in [Format::Q8_0, Format::Q4_1] {
            for x in [0.0, 0.5, -0.25] {
                // The scale itself is half a float.
                let near = |read: &f32| (read - x).abs() < 0.0005;
                assert!(again(format, &[x; 32]).iter().all(near), "{format:?} {x}");
            }
        }
    }

    #[test]
    fn a_row_that_is_no_whole_number_of_blocks_has_no_size() {
        assert_eq!(Format::Q4_1.row_bytes(33), None);
        assert_eq!(Format::F16.row_bytes(33), Some(66));
        assert_eq!(Format::of(12), None);
    }
}
