//! Which broker is next, and when a better one is looked for.
//!
//! ```text
//!            lost after it had held: from the front again
//!       ┌──────────────────────────────────────────────┐
//!       v                                              │
//!  preferred ──lost at once──> second ──lost at once──> last ──lost at once──> preferred, after a longer wait
//!       ^                         │ └──────────┐
//!       └── a look finds it well ─┴────────────┘
//! ```
//!
//! A broker that accepts and hangs up is not one that works: only a connection that held for
//! [`backoff::STEADY`] begins from the front again, or a preferred broker that is ill would keep its
//! devices from the one that is well.
//!
//! A plain value: it does no I/O, and time and chance are arguments. Bounds: [`MOST_SERVERS`]; between
//! two brokers up to [`backoff::FIRST`], between two rounds up to [`backoff::LAST`].

use std::time::Duration;

use super::backoff::{self, Backoff};
use super::server::Server;

/// The most brokers. Each that does not answer costs its time to connect in every round.
pub(super) const MOST_SERVERS: usize = 8;

/// The brokers, the preferred one first.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    list: Vec<Server>,
    turn: usize,
    /// Why each could not be used when it was last tried.
    causes: Vec<Option<String>>,
    backoff: Backoff,
    failback: Option<Duration>,
}

impl Servers {
    /// The brokers in the order of preference, and how often a better one is looked for.
    pub(super) fn new(list: Vec<Server>, failback: Option<Duration>) -> Self {
        let causes = vec![None; list.len()];
        Self { list, turn: 0, causes, backoff: Backoff::default(), failback }
    }

    /// The one whose turn it is.
    pub(super) fn current(&self) -> &Server {
        &self.list[self.turn]
    }

    /// Its connection ended, or was not made, after `held`. Returns how long to wait before the next one
    /// is tried; `random` is from 0 to 1.
    pub(super) fn lost(&mut self, cause: String, held: Duration, random: f64) -> Duration {
        self.causes[self.turn] = Some(cause);
        let steady = held >= backoff::STEADY;
        let next = self.turn + 1;
        if steady || next == self.list.len() {
            self.turn = 0;
            return self.backoff.failed(held, random);
        }
        self.turn = next;
        backoff::jitter(backoff::FIRST, random)
    }

    /// The one whose turn it is works.
    pub(super) fn works(&mut self) {
        // Why a better one does not is still of interest.
        self.causes[self.turn..].fill(None);
    }

    /// Why there is no connection: one cause for each broker that failed.
    pub(super) fn why(&self) -> String {
        let causes = self.list.iter().zip(&self.causes);
        let told =
            causes.filter_map(|(server, cause)| Some(format!("{server}: {}", cause.as_ref()?)));
        told.collect::<Vec<_>>().join("; ")
    }

    /// Why another broker than the preferred one is in use; none while the preferred one is.
    pub(super) fn why_not_preferred(&self) -> Option<String> {
        (self.turn > 0).then(|| format!("{}; {} is used instead", self.why(), self.current()))
    }

    /// Those that are better than the one in use, the preferred one first.
    pub(super) fn better(&self) -> &[Server] {
        &self.list[..self.turn]
    }

    /// How long until a better one is looked for; none where none is. `random` is from 0 to 1.
    pub(super) fn look(&self, random: f64) -> Option<Duration> {
        let every = self.failback.filter(|_| self.turn > 0)?;
        // Never sooner than configured, and spread over half of that: a fleet does not come back at once.
        Some(every.mul_f64(1.0 + random.clamp(0.0, 1.0) / 2.0))
    }

    /// A better one has accepted a connection: it is its turn.
    pub(super) fn moved(&mut self, to: usize) {
        self.turn = to.min(self.turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    fn servers(count: u16) -> Servers {
        let list = (1..=count).map(|port| Server::tcp("broker", port)).collect();
        Servers::new(list, Some(Duration::from_secs(300)))
    }

    fn port(servers: &Servers) -> u16 {
        servers.current().port
    }

    fn fail(servers: &mut Servers) -> Duration {
        servers.lost("nothing listens there".into(), AT_ONCE, 1.0)
    }

    #[test]
    fn each_is_tried_in_turn_and_the_wait_grows_with_each_round() {
        let mut servers = servers(3);
        let mut waits = Vec::new();
        for expected in [1, 2, 3, 1, 2, 3, 1] {
            assert_eq!(port(&servers), expected);
            waits.push(fail(&mut servers));
        }
        let soon = backoff::FIRST;
        assert_eq!(waits[..6], [soon, soon, soon, soon, soon, soon * 2]);
        for _ in 0..60 {
            fail(&mut servers);
        }
        assert!((0..3).any(|_| fail(&mut servers) == backoff::LAST), "the cap is reached and kept");
    }

    #[test]
    fn after_a_connection_that_held_the_preferred_one_is_tried_first() {
        let mut servers = servers(3);
        fail(&mut servers);
        fail(&mut servers);
        assert_eq!(port(&servers), 3);
        assert_eq!(servers.lost("gone".into(), backoff::STEADY, 1.0), backoff::FIRST);
        assert_eq!(port(&servers), 1);
    }

    #[test]
    fn one_that_accepts_and_hangs_up_does_not_keep_the_link_from_the_next() {
        let mut servers = servers(2);
        servers.works();
        servers.lost("hung up".into(), backoff::STEADY - Duration::from_millis(1), 0.0);
        assert_eq!(port(&servers), 2);
    }

    #[test]
    fn a_single_broker_is_its_own_next_and_its_wait_grows() {
        let mut servers = servers(1);
        assert_eq!([fail(&mut servers), fail(&mut servers)], [backoff::FIRST, backoff::FIRST * 2]);
        assert_eq!((port(&servers), servers.look(0.0)), (1, None));
    }

    #[test]
    fn a_better_one_is_looked_for_only_from_a_lesser_one_and_never_sooner_than_configured() {
        let mut servers = servers(2);
        assert_eq!((servers.look(1.0), servers.better().len()), (None, 0));
        fail(&mut servers);
        servers.works();
        assert_eq!(servers.look(0.0), Some(Duration::from_secs(300)));
        assert_eq!(servers.look(1.0), Some(Duration::from_secs(450)));
        assert_eq!(servers.better().len(), 1);
        servers.moved(0);
        assert_eq!((port(&servers), servers.look(0.0)), (1, None));
        let mut never = Servers { failback: None, ..servers };
        fail(&mut never);
        assert_eq!(never.look(0.0), None);
    }

    #[test]
    fn what_is_lost_names_each_broker_once_and_what_works_is_forgotten() {
        let mut servers = servers(2);
        fail(&mut servers);
        assert_eq!(
            servers.why_not_preferred().as_deref(),
            Some("mqtt://broker:1: nothing listens there; mqtt://broker:2 is used instead")
        );
        servers.lost("it does not answer".into(), AT_ONCE, 0.0);
        let all = "mqtt://broker:1: nothing listens there; mqtt://broker:2: it does not answer";
        assert_eq!(servers.why(), all);
        fail(&mut servers);
        assert_eq!(servers.why(), all, "a second round says nothing new");
        servers.moved(0);
        servers.works();
        assert_eq!((servers.why(), servers.why_not_preferred()), (String::new(), None));
    }
}
