//! What comes in over MQTT: topics, commands, approvals, and the topic that a sender wants its reply on.

use agentd::command::{Command, valid_id};
use agentd::link::wire::{Approval, Incoming, Topics};

use super::driver::{Target, Verdict, bounded, plain, texts};

/// A refusal goes to its sender, into the outbox and into the log.
const MAX_MESSAGE_CHARS: usize = 1000;

fn topics() -> Topics {
    Topics::new("bench-1")
}

/// Whether a broker takes a message on this topic. mosquitto, which goes by the letter of the standard,
/// breaks the connection over a control character, a noncharacter of Unicode or 200 levels.
fn publishable(topic: &str) -> bool {
    let bad = |c: char| {
        let code = c as u32;
        c.is_control() || matches!(code, 0xfdd0..=0xfdef) || code & 0xfffe == 0xfffe
    };
    (1..=65_535).contains(&topic.len())
        && !topic.contains(|c| bad(c) || matches!(c, '+' | '#'))
        && topic.split('/').count() <= 200
}

#[test]
fn a_command_is_read_as_it_was_written_or_refused_with_an_id_to_answer_to() {
    let target = Target {
        name: "command",
        corpus: texts(&[
            "turn on the pump",
            r#"{"text":"turn on the pump"}"#,
            r#"{"id":"a1","text":"x","user":"ada","session":"s","agent":"a","priority":"high"}"#,
            r#"{"id":"a2","call":{"tool":"set_output","args":{"device":"pump","state":"on","n":1.5}}}"#,
            r#"{"text":"x","expires_at":"2026-11-25T12:00:00.5Z","timeout_ms":500,"allow_remote":true}"#,
            r#"{"text":"x","reply_to":"agentd/bench-1/result/a2","correlation_id":"7"}"#,
        ]),
        words: &[
            "\"id\":",
            "\"id\":\"a/b\",",
            "\"call\":",
            "\"args\":",
            "\"text\":null",
            "\"reply_to\":\"",
            "agentd/bench-1/command",
            "$SYS/",
            "-009999-01-02T01:59:59Z",
            "+25:59",
            "\"colour\":1",
        ],
        one_in: 1,
    };
    target.run(|payload| {
        let parsed = Command::parse(payload);
        match &parsed {
            Ok(command) => {
                assert!(valid_id(&command.id), "{:?}", command.id);
                assert!(command.text.is_some() != command.call.is_some());
                let cancel = topics().own(&format!("cancel/{}", command.id));
                assert_eq!(topics().parse(&cancel), Some(Incoming::Cancel(command.id.clone())));
                assert!(publishable(&topics().result(&command.id)), "{:?}", command.id);
                if let Some(topic) = &command.reply_to {
                    assert_eq!(Topics::check_reply(topic), Ok(()), "{topic}");
                }
                // What the store keeps and gives back after a restart.
                let written = serde_json::to_string(command).expect("JSON");
                let read: Command = serde_json::from_str(&written).expect("reads back");
                assert_eq!(&read, command);
            }
            Err(refused) => {
                assert!(valid_id(&refused.id), "{:?}", refused.id);
                assert!(publishable(&topics().result(&refused.id)), "{:?}", refused.id);
                assert!(!refused.denial.code.is_empty());
                bounded(&refused.denial.message, MAX_MESSAGE_CHARS);
                plain(&refused.denial.message);
            }
        }
        Verdict::of(&parsed)
    });
}

#[test]
fn a_topic_is_one_of_ours_or_none_and_a_reply_never_comes_back_to_a_device() {
    let target = Target {
        name: "topic",
        corpus: texts(&[
            "agentd/bench-1/command",
            "agentd/bench-1/approve/a1",
            "agentd/bench-1/cancel/0198-é",
            "app/replies/7",
            "agentd/bench-1/result/a1",
        ]),
        words: &[
            "agentd/", "bench-1/", "command", "approve/", "cancel/", "status", "result/", "//",
        ],
        one_in: 1,
    };
    target.run(|topic| {
        let topic = String::from_utf8_lossy(topic);
        let incoming = topics().parse(&topic);
        match &incoming {
            Some(Incoming::Command) => assert_eq!(topic, topics().command()),
            Some(Incoming::Approve(id)) => {
                assert!(valid_id(id) && topic == topics().own(&format!("approve/{id}")));
            }
            Some(Incoming::Cancel(id)) => {
                assert!(valid_id(id) && topic == topics().own(&format!("cancel/{id}")));
            }
            None => {}
        }
        let reply = Topics::check_reply(&topic);
        match &reply {
            Ok(()) => {
                assert!(publishable(&topic), "{topic:?}");
                assert_eq!(incoming, None, "it would come back");
                let own = topic.strip_prefix("agentd/bench-1/");
                assert!(own.is_none_or(|own| own.starts_with("result/")), "{topic}");
            }
            Err(denial) => {
                bounded(&denial.message, MAX_MESSAGE_CHARS);
                plain(&denial.message);
            }
        }
        if reply.is_ok() || incoming.is_some() { Verdict::Accepted } else { Verdict::Refused }
    });
}

#[test]
fn an_approval_is_read_as_it_was_written() {
    let target = Target {
        name: "approval",
        corpus: texts(&[
            r#"{"approve": true, "by": "ada"}"#,
            r#"{"by":"José 🙂","approve":false}"#,
        ]),
        words: &["\"approve\":", "\"by\":", "true", "\"why\":1", "\\u0001"],
        one_in: 1,
    };
    target.run(|payload| {
        let parsed = Approval::parse(payload);
        match &parsed {
            Ok(approval) => {
                assert!(!approval.by.trim().is_empty());
                bounded(&approval.by, 128);
                plain(&approval.by);
                let written = serde_json::to_vec(approval).expect("JSON");
                assert_eq!(Approval::parse(&written).as_ref(), Ok(approval));
            }
            Err(denial) => {
                bounded(&denial.message, MAX_MESSAGE_CHARS);
                plain(&denial.message);
            }
        }
        Verdict::of(&parsed)
    });
}
