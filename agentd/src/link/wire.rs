//! The wire: every topic below `agentd/<device>/` and every payload that is the link's own, in both
//! directions. Commands and outcomes are in [`crate::command`].
//!
//! Bounds: an incoming id is a [`command::valid_id`]; a reply topic passes
//! [`command::check_reply_topic`]. Unknown fields of what comes in are refused by name.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::command::{self, Denial};
use crate::{health, store};

/// The longest name of who approves, in characters. It goes into the audit record.
pub const MAX_BY_CHARS: usize = 128;

/// The topics of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    root: String,
}

/// What came in, by its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// `command`.
    Command,
    /// `approve/<id>`.
    Approve(String),
    /// `cancel/<id>`.
    Cancel(String),
}

/// `status`, retained: whether the device is there, and how it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", deny_unknown_fields)]
pub enum Presence {
    /// It is connected.
    Online(Status),
    /// It has said goodbye, or the broker says so as its last will.
    Offline {},
}

/// How a connected device is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// When the daemon started.
    pub since: Timestamp,
    /// The model's name while it can be asked.
    pub model: Option<String>,
    /// The broker that is in use, as a URL without credentials.
    pub link: String,
    /// What waits for the network.
    pub outbox: Outbox,
    /// The end of the audit log's chain, so that it shows when records are cut off. None while the store
    /// does not answer.
    pub audit: Option<store::audit::Head>,
    /// What is lost, in the order in which it was lost.
    pub degraded: Vec<Degraded>,
}

/// What waits for the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbox {
    /// Rows.
    pub pending: u64,
    /// Age of the oldest in seconds.
    pub oldest_seconds: u64,
    /// Rows that fell to the bounds since the database was made.
    pub dropped: u64,
}

/// One lost component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Degraded {
    /// `model`, `port:<name>`, `store`, ...
    pub component: String,
    /// Why, and what to do.
    pub cause: String,
    /// Since when.
    pub since: Timestamp,
}

/// The payload of `approve/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Whether the command may go on.
    pub approve: bool,
    /// The person who says so, for the audit record.
    pub by: String,
}

impl Topics {
    /// The topics of a device.
    pub fn new(device_id: &str) -> Self {
        Self { root: format!("agentd/{device_id}/") }
    }

    /// A topic below the root: what the store calls [`store::Destination::Own`].
    pub fn own(&self, below: &str) -> String {
        format!("{}{below}", self.root)
    }

    /// Where commands come in.
    pub fn command(&self) -> String {
        self.own("command")
    }

    /// Where the outcome of a command goes.
    pub fn result(&self, id: &str) -> String {
        self.own(&format!("result/{id}"))
    }

    /// Where events of a kind go.
    pub fn event(&self, kind: &str) -> String {
        self.own(&format!("event/{kind}"))
    }

    /// The retained status, and the last will.
    pub fn status(&self) -> String {
        self.own("status")
    }

    /// The retained capabilities.
    pub fn capabilities(&self) -> String {
        self.own("capabilities")
    }

    /// Where figures go.
    pub fn telemetry(&self) -> String {
        self.own("telemetry")
    }

    /// What the link subscribes to.
    pub fn subscriptions(&self) -> [String; 3] {
        [self.command(), self.own("approve/+"), self.own("cancel/+")]
    }

    /// What a topic asks for; none where it is not one of ours, or its id is none.
    pub fn parse(&self, topic: &str) -> Option<Incoming> {
        let below = topic.strip_prefix(&self.root)?;
        let id = |id: &str| command::valid_id(id).then(|| id.to_owned());
        match below.split_once('/') {
            None => (below == "command").then_some(Incoming::Command),
            Some(("approve", rest)) => id(rest).map(Incoming::Approve),
            Some(("cancel", rest)) => id(rest).map(Incoming::Cancel),
            Some(_) => None,
        }
    }

    /// Refuses a reply topic that cannot be published to, or that would come back as a command.
    pub fn check_reply(topic: &str) -> Result<(), Denial> {
        command::check_reply_topic(topic).map_err(|why| Denial::new("bad_reply_to", why))
    }
}

impl Presence {
    /// The retained payload.
    pub fn payload(&self) -> String {
        // A struct of strings, numbers and times always serializes.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Approval {
    /// Reads a payload.
    pub fn parse(payload: &[u8]) -> Result<Self, Denial> {
        let approval: Self = serde_json::from_slice(payload).map_err(|e| {
            let code = if e.is_data() { "bad_field" } else { "not_json" };
            Denial::new(code, format!(r#"an approval is {{"approve": true, "by": "..."}}: {e}"#))
        })?;
        let chars = approval.by.chars().count();
        // A control character would draw over the terminal of who reads the log.
        let bad = approval.by.trim().is_empty() || approval.by.contains(char::is_control);
        if bad || chars > MAX_BY_CHARS {
            let message = format!(
                "`by` names a person in 1 to {MAX_BY_CHARS} characters, none of them a control character"
            );
            return Err(Denial::new("bad_field", message));
        }
        Ok(approval)
    }
}

impl From<store::OutboxStats> for Outbox {
    fn from(stats: store::OutboxStats) -> Self {
        let store::OutboxStats { pending, oldest_seconds, dropped, dead: _ } = stats;
        Self { pending, oldest_seconds, dropped }
    }
}

impl From<health::Degraded> for Degraded {
    fn from(lost: health::Degraded) -> Self {
        let health::Degraded { component, cause, since } = lost;
        Self { component, cause, since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn topics() -> Topics {
        Topics::new("greenhouse-1")
    }

    #[test]
    fn every_incoming_topic_is_told_apart_and_others_are_none() {
        let topics = topics();
        let parse = |below: &str| topics.parse(&topics.own(below));
        assert_eq!(parse("command"), Some(Incoming::Command));
        assert_eq!(parse("approve/a1"), Some(Incoming::Approve("a1".into())));
        assert_eq!(parse("cancel/a1"), Some(Incoming::Cancel("a1".into())));
        for other in ["", "commands", "command/", "approve", "approve/", "cancel/a/b", "result/a1"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
        assert_eq!(topics.parse("agentd/greenhouse-2/command"), None);
        assert_eq!(topics.parse("command"), None);
    }

    #[test]
    fn an_id_in_a_topic_is_taken_at_its_bound_and_not_one_over() {
        let parse = |n: usize| topics().parse(&topics().own(&format!("cancel/{}", "x".repeat(n))));
        assert!(parse(command::MAX_ID_CHARS).is_some());
        assert!(parse(command::MAX_ID_CHARS + 1).is_none());
    }

    #[test]
    fn the_status_has_the_fields_of_the_contract_and_reads_back() {
        let status = Presence::Online(Status {
            version: "0.1.0".into(),
            since: Timestamp::UNIX_EPOCH,
            model: None,
            link: "mqtt://localhost:1883".into(),
            outbox: Outbox { pending: 2, oldest_seconds: 9, dropped: 1 },
            audit: Some(store::audit::Head { seq: 3, hash: "ab".into() }),
            degraded: vec![Degraded {
                component: "port:board".into(),
                cause: "it is not plugged in".into(),
                since: Timestamp::UNIX_EPOCH,
            }],
        });
        let value: Value = serde_json::from_str(&status.payload()).expect("json");
        assert_eq!(
            value,
            json!({
                "state": "online", "version": "0.1.0", "since": "1970-01-01T00:00:00Z",
                "model": null, "link": "mqtt://localhost:1883",
                "outbox": {"pending": 2, "oldest_seconds": 9, "dropped": 1},
                "audit": {"seq": 3, "hash": "ab"},
                "degraded": [{"component": "port:board", "cause": "it is not plugged in",
                              "since": "1970-01-01T00:00:00Z"}],
            })
        );
        assert_eq!(serde_json::from_str::<Presence>(&status.payload()).expect("reads"), status);
        let offline = Presence::Offline {};
        assert_eq!(offline.payload(), r#"{"state":"offline"}"#);
        assert_eq!(serde_json::from_str::<Presence>(&offline.payload()).expect("reads"), offline);
    }

    #[test]
    fn an_approval_reads_back_and_refuses_unknown_fields_by_name() {
        let approval = Approval { approve: true, by: "ada".into() };
        let payload = serde_json::to_vec(&approval).expect("json");
        assert_eq!(Approval::parse(&payload), Ok(approval));
        let unknown = Approval::parse(br#"{"approve":true,"by":"ada","why":1}"#).expect_err("why");
        assert!(unknown.message.contains("`why`"), "{}", unknown.message);
        assert_eq!(unknown.code, "bad_field");
        assert_eq!(Approval::parse(b"yes").expect_err("no JSON").code, "not_json");
        let drawn = Approval::parse(br#"{"approve":true,"by":"ada\u001b[2J"}"#);
        assert_eq!(drawn.expect_err("a control character").code, "bad_field");
        for (chars, ok) in [(0, false), (1, true), (MAX_BY_CHARS, true), (MAX_BY_CHARS + 1, false)]
        {
            let approval = Approval { approve: false, by: "x".repeat(chars) };
            let payload = serde_json::to_vec(&approval).expect("json");
            assert_eq!(Approval::parse(&payload).is_ok(), ok, "{chars}");
        }
    }

    #[test]
    fn a_reply_topic_that_would_come_back_as_a_command_is_refused() {
        let topics = topics();
        for bad in [&topics.command(), &topics.own("cancel/a1"), "", "a/+", "a/#", "$SYS/x", "a\0"]
        {
            assert_eq!(Topics::check_reply(bad).expect_err(bad).code, "bad_reply_to");
        }
        assert_eq!(Topics::check_reply(&topics.result("a1")), Ok(()));
    }
}
