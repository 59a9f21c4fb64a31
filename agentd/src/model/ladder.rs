//! Which of a machine's models is asked, and which one has to leave where memory is short. This decides and does no I/O.
//!
//! The models stand from the best to the cheapest, as the config names them (`model.fallback`). The best one that can
//! be asked is asked; one that is loading is passed over for one that is there. While the board is hot the cheapest one is
//! asked, which heats it least.

use super::State;

/// How a model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is loaded.
    Ready,
    /// It is not, and will be for whoever asks it.
    Asleep,
    /// It is being loaded.
    Loading,
    /// It cannot be asked.
    Down,
}

impl Standing {
    /// How a model stands that is in this state.
    pub fn of(state: &State) -> Self {
        match state {
            State::Ready { .. } => Self::Ready,
            State::Asleep { .. } => Self::Asleep,
            State::Loading { .. } => Self::Loading,
            State::Off | State::Down { .. } => Self::Down,
        }
    }
}

/// Which model is asked; after one that failed, one of those behind it. Where none can be asked it is the first one,
/// which says why; none where there is none behind.
pub fn choose(standings: &[Standing], after: Option<usize>, is_hot: bool) -> Option<usize> {
    let from = after.map_or(0, |at| at + 1);
    let can_be_asked = |at: &usize| standings[*at] != Standing::Down;
    let mut able = (from..standings.len()).filter(can_be_asked);
    let chosen = if is_hot { able.next_back() } else { able.next() };
    let Some(chosen) = chosen else {
        return (after.is_none() && !standings.is_empty()).then_some(0);
    };
    let is_there = |at: &usize| standings[*at] == Standing::Ready;
    match standings[chosen] {
        Standing::Loading => (chosen..standings.len()).find(is_there).or(Some(chosen)),
        _ => Some(chosen),
    }
}

/// A model that has memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Its place on the ladder.
    pub at: usize,
    /// The proportional memory of its process, in bytes.
    pub bytes: u64,
    /// When it was asked last, by a number that rises.
    pub used: u64,
    /// It stays whatever others need.
    pub is_pinned: bool,
}

/// Who has to leave so that all together have no more than `budget` bytes: those who were asked longest ago. An error says
/// how many bytes are too many where nobody else can leave.
pub fn leavers(loaded: &[Loaded], budget: u64) -> Result<Vec<usize>, u64> {
    let mut bytes: u64 = loaded.iter().map(|one| one.bytes).sum();
    let mut free: Vec<Loaded> = loaded.iter().copied().filter(|one| !one.is_pinned).collect();
    free.sort_by_key(|one| one.used);
    // Whoever was asked last is about to answer, or has just answered and is asked next.
    let last = loaded.iter().map(|one| one.used).max();
    free.retain(|one| Some(one.used) != last);
    let mut leaving = Vec::new();
    for one in free {
        if bytes <= budget {
            break;
        }
        bytes -= one.bytes;
        leaving.push(one.at);
    }
    if bytes > budget && leaving.is_empty() { Err(bytes - budget) } else { Ok(leaving) }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Asleep, Down, Loading, Ready};
    use super::*;

    #[test]
    fn the_best_model_that_can_be_asked_is_asked() {
        for (standings, is_hot, chosen) in [
            (&[Ready, Ready][..], false, Some(0)),
            (&[Asleep, Ready], false, Some(0)),
            (&[Down, Asleep], false, Some(1)),
            (&[Loading, Asleep], false, Some(0)),
            (&[Loading, Ready], false, Some(1)),
            (&[Down, Loading, Ready], false, Some(2)),
            (&[Down, Down], false, Some(0)),
            (&[], false, None),
            (&[Ready, Asleep], true, Some(1)),
            (&[Ready, Down], true, Some(0)),
            (&[Ready], true, Some(0)),
        ] {
            assert_eq!(choose(standings, None, is_hot), chosen, "{standings:?} {is_hot}");
        }
    }

    #[test]
    fn after_one_that_failed_only_those_behind_it_are_asked() {
        assert_eq!(choose(&[Ready, Ready, Ready], Some(0), false), Some(1));
        assert_eq!(choose(&[Ready, Down, Asleep], Some(0), false), Some(2));
        assert_eq!(choose(&[Ready, Down], Some(0), false), None);
        assert_eq!(choose(&[Ready, Ready], Some(1), true), None);
    }

    fn loaded(at: usize, bytes: u64, used: u64, is_pinned: bool) -> Loaded {
        Loaded { at, bytes, used, is_pinned }
    }

    #[test]
    fn those_who_were_asked_longest_ago_leave_until_the_rest_fits() {
        let all = [loaded(0, 50, 1, true), loaded(1, 30, 3, false), loaded(2, 20, 2, false)];
        let newest = [loaded(3, 10, 9, false)];
        let all = [&all[..], &newest].concat();
        assert_eq!(leavers(&all, 110), Ok(vec![]), "at the bound");
        assert_eq!(leavers(&all, 109), Ok(vec![2]));
        assert_eq!(leavers(&all, 90), Ok(vec![2]));
        assert_eq!(leavers(&all, 89), Ok(vec![2, 1]));
        assert_eq!(leavers(&all, 1), Ok(vec![2, 1]), "as many as can");
        assert_eq!(leavers(&[all[0], newest[0]], 60), Ok(vec![]));
        assert_eq!(leavers(&[all[0], newest[0]], 59), Err(1), "one is pinned, one is in use");
        assert_eq!(leavers(&[], 0), Ok(vec![]));
    }
}
