//! Rows that were read from the outbox before there is room for them, so that a long outbox is read in few
//! large steps: asking the store row by row would take longer than the broker.
//!
//! The order is the store's at the time of reading. When the outbox changes, something more urgent may have
//! come, so what was read ahead is dropped, and reading starts small again: under a steady flow of new rows
//! a deep read would be for nothing each time.
//!
//! A plain value. Bounds: one and a half times [`MOST`] rows, and twice the bytes that the store gives at once.

use std::collections::VecDeque;

use crate::store::OutboxRow;

/// The most rows that are read ahead.
pub(super) const MOST: usize = 512;

/// What was read ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    rows: VecDeque<OutboxRow>,
    /// How many rows the last read asked for; 0 after a change.
    depth: usize,
}

impl Ahead {
    /// The outbox has changed.
    pub(super) fn changed(&mut self) {
        self.rows.clear();
        self.depth = 0;
    }

    /// How many rows are to be read, where there is room for so many.
    pub(super) fn depth(&mut self, room: usize) -> usize {
        self.depth = (self.depth * 2).clamp(room, MOST.max(room));
        self.depth
    }

    /// Rows have been read.
    pub(super) fn read(&mut self, rows: Vec<OutboxRow>) {
        self.rows.extend(rows);
    }

    /// Whether it is time to read on.
    pub(super) fn is_low(&self) -> bool {
        self.rows.len() <= self.depth / 2
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = i64> {
        self.rows.iter().map(|row| row.id)
    }

    pub(super) fn next(&mut self) -> Option<OutboxRow> {
        self.rows.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_twice_as_many_each_time_up_to_its_bound_and_starts_small_after_a_change() {
        let mut ahead = Ahead::default();
        let depths: Vec<usize> = (0..8).map(|_| ahead.depth(10)).collect();
        assert_eq!(depths, [10, 20, 40, 80, 160, 320, MOST, MOST]);
        ahead.changed();
        assert_eq!(ahead.depth(64), 64);
        assert_eq!(ahead.depth(1), 128);
    }
}
