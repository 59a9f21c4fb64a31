//! Where a reply may go.
//!
//! Bounds: [`MAX_REPLY_TOPIC_BYTES`], [`MAX_REPLY_LEVELS`].

/// The longest topic that an outcome is sent to at its sender's wish, in bytes.
pub const MAX_REPLY_TOPIC_BYTES: usize = 1024;
/// The most levels of such a topic. mosquitto breaks the connection over more than 200.
pub const MAX_REPLY_LEVELS: usize = 64;

/// Whether a character may stand in a topic. MQTT asks for neither control characters nor Unicode's
/// noncharacters; mosquitto breaks the connection over them, and over the same row at each new one.
pub(super) fn stands_in_topic(c: char) -> bool {
    let code = u32::from(c);
    !c.is_control() && !matches!(code, 0xfdd0..=0xfdef) && code & 0xfffe != 0xfffe
}

/// Refuses, in words, a topic that a reply cannot go to: one that cannot be published to, or one of a
/// device, this or another, that is not for outcomes. There it would come in as a command, or pass for
/// what the device says of itself, with the rights of this device and not those of the sender.
pub fn check_reply_topic(topic: &str) -> Result<(), String> {
    let bytes = topic.len();
    if !(1..=MAX_REPLY_TOPIC_BYTES).contains(&bytes) {
        return Err(format!(
            "the reply topic has {bytes} bytes; it must have 1 to {MAX_REPLY_TOPIC_BYTES}"
        ));
    }
    let levels = topic.split('/').count();
    if levels > MAX_REPLY_LEVELS {
        return Err(format!(
            "the reply topic has {levels} levels; at most {MAX_REPLY_LEVELS} are taken"
        ));
    }
    if topic.starts_with('$') || topic.contains(|c| !stands_in_topic(c) || "+#".contains(c)) {
        return Err(
            "the reply topic cannot be published to: it begins with `$` or has `+`, `#`, a \
                    control character or a noncharacter"
                .into(),
        );
    }
    let mut levels = topic.splitn(4, '/');
    let is_device = levels.next() == Some("agentd") && levels.next().is_some();
    let is_result = levels.next() == Some("result") && levels.next().is_some();
    if is_device && !is_result {
        return Err(
            "the reply topic is one of a device, which takes commands there or tells how it \
                    is; choose another"
                .into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_goes_to_no_topic_of_a_device_but_its_results() {
        for bad in
            ["agentd/a/command", "agentd/b/status", "agentd/a/approve/", "agentd/a", "agentd/"]
        {
            assert!(check_reply_topic(bad).is_err_and(|why| why.contains("of a device")), "{bad}");
        }
        for good in ["agentd/a/result/7", "agentd", "agents/a/command", "/agentd/a/command"] {
            assert_eq!(check_reply_topic(good), Ok(()));
        }
    }

    #[test]
    fn the_bounds_of_a_reply_topic_hold_at_and_one_over() {
        let (bytes, levels) = ("x".repeat(MAX_REPLY_TOPIC_BYTES), "/".repeat(MAX_REPLY_LEVELS - 1));
        assert_eq!((check_reply_topic(&bytes), check_reply_topic(&levels)), (Ok(()), Ok(())));
        assert!(check_reply_topic(&format!("{bytes}x")).is_err_and(|why| why.contains("bytes")));
        assert!(check_reply_topic(&format!("{levels}/")).is_err_and(|why| why.contains("levels")));
    }
}
