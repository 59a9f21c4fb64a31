//! What the proxy does with a packet: plain values in, plain values out.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::{Fault, Moment};
use crate::mqtt::{Kind, Packet};

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the daemon to the broker.
    Up,
    /// From the broker to the daemon.
    Down,
}

/// What is written, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    Pass(Way, Packet),
    /// These bytes, and then the connection ends on both sides.
    Cut(Way, Vec<u8>),
}

/// What is remembered of one connection.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Nothing passes any more.
    silent: bool,
    /// A PUBLISH that waits for the one behind it, to let it go first.
    stash: Option<(Way, Packet)>,
    /// Packet ids of outbox rows that the broker has not acknowledged.
    rows: BTreeSet<u16>,
    /// Their acknowledgement is to carry this code.
    refused: BTreeMap<u16, u8>,
    /// Packet ids of deliveries that the daemon got twice, and whether one acknowledgement has passed: the
    /// broker sent one message and gets one.
    doubled: BTreeMap<u16, bool>,
}

impl Traffic {
    /// What to do with a packet while this fault lies in wait. The fault is taken when it happens.
    pub(crate) fn take(
        &mut self,
        armed: &mut Option<Fault>,
        way: Way,
        packet: Packet,
    ) -> Vec<Deed> {
        if self.silent {
            return Vec::new();
        }
        match (way, packet.kind()) {
            (Way::Up, Kind::Publish) if is_row(&packet) => self.row(armed, packet),
            (Way::Down, Kind::Publish) if is_command(&packet) => self.command(armed, packet),
            (Way::Up, Kind::PubAck) => self.accepted(armed, packet),
            (Way::Down, Kind::PubAck) => self.acknowledged(armed, packet),
            _ => vec![Deed::Pass(way, packet)],
        }
    }

    /// Whether a packet waits for another that may never come.
    pub(crate) fn holds(&self) -> bool {
        self.stash.is_some()
    }

    /// Lets the packet that waits go.
    pub(crate) fn release(&mut self) -> Vec<Deed> {
        let stash = self.stash.take().filter(|_| !self.silent);
        stash.map(|(way, packet)| Deed::Pass(way, packet)).into_iter().collect()
    }

    fn row(&mut self, armed: &mut Option<Fault>, packet: Packet) -> Vec<Deed> {
        let id = packet.publish().map_or(0, |publish| publish.id);
        self.rows.insert(id);
        match *armed {
            Some(Fault::CutUp { at }) => cut(armed, Way::Up, &packet, at),
            Some(Fault::ReorderUp) => self.swap(armed, Way::Up, packet),
            Some(Fault::RefusePublish { code, taken }) => {
                *armed = None;
                if taken {
                    self.refused.insert(id, code);
                    return vec![Deed::Pass(Way::Up, packet)];
                }
                vec![Deed::Pass(Way::Down, Packet::puback_of(id, code))]
            }
            Some(Fault::KillDaemon(Moment::Publishing { passed })) => {
                self.fall_silent(armed, passed.then_some((Way::Up, packet)))
            }
            Some(Fault::Silence) => self.fall_silent(armed, None),
            _ => vec![Deed::Pass(Way::Up, packet)],
        }
    }

    fn command(&mut self, armed: &mut Option<Fault>, packet: Packet) -> Vec<Deed> {
        match *armed {
            Some(Fault::CutDown { at }) => cut(armed, Way::Down, &packet, at),
            Some(Fault::ReorderDown) => self.swap(armed, Way::Down, packet),
            Some(Fault::Duplicate) => {
                *armed = None;
                let id = packet.publish().map_or(0, |publish| publish.id);
                self.doubled.insert(id, false);
                let again = packet.again();
                vec![Deed::Pass(Way::Down, packet), Deed::Pass(Way::Down, again)]
            }
            _ => vec![Deed::Pass(Way::Down, packet)],
        }
    }

    fn accepted(&mut self, armed: &mut Option<Fault>, packet: Packet) -> Vec<Deed> {
        let id = packet.puback().map_or(0, |(id, _)| id);
        if let Some(passed) = self.doubled.get_mut(&id)
            && std::mem::replace(passed, true)
        {
            self.doubled.remove(&id);
            return Vec::new();
        }
        match *armed {
            Some(Fault::KillDaemon(Moment::Accepting { passed })) => {
                self.fall_silent(armed, passed.then_some((Way::Up, packet)))
            }
            _ => vec![Deed::Pass(Way::Up, packet)],
        }
    }

    fn acknowledged(&mut self, armed: &mut Option<Fault>, packet: Packet) -> Vec<Deed> {
        let id = packet.puback().map_or(0, |(id, _)| id);
        let is_row = self.rows.remove(&id);
        if is_row && *armed == Some(Fault::KillDaemon(Moment::Acknowledged)) {
            return self.fall_silent(armed, None);
        }
        let packet = match self.refused.remove(&id) {
            Some(code) => Packet::puback_of(id, code),
            None => packet,
        };
        vec![Deed::Pass(Way::Down, packet)]
    }

    fn swap(&mut self, armed: &mut Option<Fault>, way: Way, packet: Packet) -> Vec<Deed> {
        match self.stash.take() {
            Some((_, first)) => {
                *armed = None;
                vec![Deed::Pass(way, packet), Deed::Pass(way, first)]
            }
            None => {
                self.stash = Some((way, packet));
                Vec::new()
            }
        }
    }

    fn fall_silent(&mut self, armed: &mut Option<Fault>, last: Option<(Way, Packet)>) -> Vec<Deed> {
        *armed = None;
        self.silent = true;
        last.map(|(way, packet)| Deed::Pass(way, packet)).into_iter().collect()
    }
}

fn cut(armed: &mut Option<Fault>, way: Way, packet: &Packet, at: usize) -> Vec<Deed> {
    *armed = None;
    let bytes = packet.bytes();
    vec![Deed::Cut(way, bytes[..at.min(bytes.len())].to_vec())]
}

/// Whether a PUBLISH of the daemon's comes from its outbox.
fn is_row(packet: &Packet) -> bool {
    let publish = packet.publish();
    publish.is_some_and(|it| it.topic.contains("/event/") || it.topic.contains("/result/"))
}

fn is_command(packet: &Packet) -> bool {
    packet.publish().is_some_and(|publish| publish.topic.ends_with("/command"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u16) -> Packet {
        Packet::publish_of(id, "agentd/a/event/action", b"{}")
    }

    fn command(id: u16) -> Packet {
        Packet::publish_of(id, "agentd/a/command", b"mark 1")
    }

    fn up(packet: Packet) -> Deed {
        Deed::Pass(Way::Up, packet)
    }

    fn down(packet: Packet) -> Deed {
        Deed::Pass(Way::Down, packet)
    }

    #[test]
    fn without_a_fault_everything_passes_as_it_came() {
        let mut traffic = Traffic::default();
        for (way, packet) in [
            (Way::Up, row(1)),
            (Way::Down, Packet::puback_of(1, 0)),
            (Way::Down, command(1)),
            (Way::Up, Packet::puback_of(1, 0)),
        ] {
            let deeds = traffic.take(&mut None, way, packet.clone());
            assert_eq!(deeds, [Deed::Pass(way, packet)]);
        }
    }

    #[test]
    fn a_refused_publish_gets_the_code_whether_the_broker_took_it_or_not() {
        for taken in [true, false] {
            let mut traffic = Traffic::default();
            let mut armed = Some(Fault::RefusePublish { code: 0x97, taken });
            let status = Packet::publish_of(1, "agentd/a/status", b"{}");
            assert_eq!(traffic.take(&mut armed, Way::Up, status.clone()), [up(status)]);
            let deeds = traffic.take(&mut armed, Way::Up, row(2));
            let refusal = down(Packet::puback_of(2, 0x97));
            assert_eq!(armed, None);
            if taken {
                assert_eq!(deeds, [up(row(2))]);
                let deeds = traffic.take(&mut armed, Way::Down, Packet::puback_of(2, 0));
                assert_eq!(deeds, [refusal]);
            } else {
                assert_eq!(deeds, [refusal]);
            }
        }
    }

    #[test]
    fn a_delivery_that_is_doubled_is_acknowledged_to_the_broker_once() {
        let mut traffic = Traffic::default();
        let mut armed = Some(Fault::Duplicate);
        let deeds = traffic.take(&mut armed, Way::Down, command(5));
        assert_eq!(deeds, [down(command(5)), down(command(5).again())]);
        let ack = Packet::puback_of(5, 0);
        assert_eq!(traffic.take(&mut armed, Way::Up, ack.clone()), [up(ack.clone())]);
        assert_eq!(traffic.take(&mut armed, Way::Up, ack.clone()), []);
        // The broker has given the id to another message.
        assert_eq!(traffic.take(&mut armed, Way::Up, ack.clone()), [up(ack)]);
    }

    #[test]
    fn two_change_places_and_one_alone_is_let_go() {
        let mut traffic = Traffic::default();
        let mut armed = Some(Fault::ReorderUp);
        assert_eq!(traffic.take(&mut armed, Way::Up, row(1)), []);
        assert!(traffic.holds());
        assert_eq!(traffic.take(&mut armed, Way::Up, row(2)), [up(row(2)), up(row(1))]);
        assert_eq!(armed, None);
        armed = Some(Fault::ReorderDown);
        assert_eq!(traffic.take(&mut armed, Way::Down, command(3)), []);
        assert_eq!(traffic.release(), [down(command(3))]);
        assert_eq!(armed, Some(Fault::ReorderDown), "nothing has changed places");
    }

    #[test]
    fn a_cut_leaves_the_first_bytes_and_no_more_than_there_are() {
        for (at, expected) in [(1, 1), (3, 3), (9999, row(1).bytes().len())] {
            let mut armed = Some(Fault::CutUp { at });
            let deeds = Traffic::default().take(&mut armed, Way::Up, row(1));
            assert_eq!(deeds, [Deed::Cut(Way::Up, row(1).bytes()[..expected].to_vec())]);
        }
    }

    #[test]
    fn a_moment_to_kill_at_ends_all_traffic_and_what_belongs_to_it_passes_or_not() {
        let ack = Packet::puback_of(1, 0);
        for (moment, way, packet, passes) in [
            (Moment::Publishing { passed: true }, Way::Up, row(1), true),
            (Moment::Publishing { passed: false }, Way::Up, row(1), false),
            (Moment::Accepting { passed: true }, Way::Up, ack.clone(), true),
            (Moment::Accepting { passed: false }, Way::Up, ack.clone(), false),
        ] {
            let mut traffic = Traffic::default();
            let mut armed = Some(Fault::KillDaemon(moment));
            let deeds = traffic.take(&mut armed, way, packet);
            assert_eq!((deeds.len(), armed), (usize::from(passes), None), "{moment:?}");
            assert_eq!(traffic.take(&mut None, Way::Down, command(9)), []);
        }
        let mut traffic = Traffic::default();
        let mut armed = Some(Fault::KillDaemon(Moment::Acknowledged));
        let other = Packet::puback_of(4, 0);
        assert_eq!(traffic.take(&mut armed, Way::Down, other.clone()), [down(other)], "no row");
        traffic.take(&mut armed, Way::Up, row(1));
        assert_eq!(traffic.take(&mut armed, Way::Down, ack), []);
        assert_eq!(armed, None);
    }
}
