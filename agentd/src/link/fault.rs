//! Whose fault it is that the broker refuses a message, by the reason code of its PUBACK.
//!
//! | code | MQTT 5 | fault | why |
//! |---|---|---|---|
//! | 0x80 | Unspecified error | `Broker` | it says nothing of the message |
//! | 0x83 | Implementation specific error | `Row` | "valid, but the receiver is not willing to accept it": a rule or a plugin looked at it |
//! | 0x87 | Not authorized | `Row` | this topic is not ours; others are |
//! | 0x90 | Topic Name invalid | `Row` | this topic is not taken; others are |
//! | 0x91 | Packet identifier in use | `Broker` | the two sides disagree about the session |
//! | 0x97 | Quota exceeded | `Broker` | the next message would be refused as well |
//! | 0x99 | Payload format invalid | `Row` | this payload is not taken; others are |
//!
//! 0x00 and 0x10 (No matching subscribers) are no refusals. A message that is larger than the broker's
//! Maximum Packet Size gets no PUBACK, because the broker would break the connection: it is not sent, and
//! its fault is `Never`. MQTT 3.1.1 has no reason codes: what is acknowledged is taken.

use rumqttc_v5::mqttbytes::v5::PubAckReason;

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// This message's, by what the broker's rules say today: it counts against it.
    Row,
    /// This message's, for as long as it is as it is and the broker is this one.
    Never,
    /// The broker's: the next message would fare no better, so that sending as a whole waits.
    Broker,
}

impl Fault {
    /// Whose fault a reason code names. Those that mean success name nobody's, and are not asked for.
    pub(super) fn of(reason: PubAckReason) -> Self {
        match reason {
            PubAckReason::NotAuthorized
            | PubAckReason::TopicNameInvalid
            | PubAckReason::PayloadFormatInvalid
            | PubAckReason::ImplementationSpecificError => Self::Row,
            PubAckReason::Success
            | PubAckReason::NoMatchingSubscribers
            | PubAckReason::UnspecifiedError
            | PubAckReason::PacketIdentifierInUse
            | PubAckReason::QuotaExceeded => Self::Broker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_code_that_refuses_names_whose_fault_it_is() {
        for (reason, fault) in [
            (PubAckReason::UnspecifiedError, Fault::Broker),
            (PubAckReason::ImplementationSpecificError, Fault::Row),
            (PubAckReason::NotAuthorized, Fault::Row),
            (PubAckReason::TopicNameInvalid, Fault::Row),
            (PubAckReason::PacketIdentifierInUse, Fault::Broker),
            (PubAckReason::QuotaExceeded, Fault::Broker),
            (PubAckReason::PayloadFormatInvalid, Fault::Row),
        ] {
            assert_eq!(Fault::of(reason), fault, "{reason:?}");
        }
    }
}
