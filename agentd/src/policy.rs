//! What may be done, by whom. Policy does no I/O: plain values in, plain values out, time an argument.
//!
//! [`ApprovedCall`] is made here and nowhere else, so that nothing runs that was not checked against the
//! tool's declaration and the asker's role. Bounds: the rate limit keeps one counter for each user, at
//! most [`MAX_USERS`]; the victim is the counter that has been idle longest.

use std::collections::HashMap;

use agentd_tools::{Args, EffectKind, Recovery, Toolbox};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Deserialize;

use crate::command::{Call, Command, Denial};

/// Users whose rate is counted at one time.
const MAX_USERS: usize = 1024;

/// The `[policy]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// The most commands that wait; the next is told `busy`. Set it lower where old commands are worthless.
    pub commands_waiting: u32,
    /// How long a command may run once begun, where it does not say so itself.
    pub timeout_ms: u64,
    /// The most calls that one command may make.
    pub steps: usize,
    /// The most commands a minute from one user. Set it where a front-end is open to many people.
    pub rate_per_minute: u32,
    /// The role of a sender that gives no user, or one that is not listed.
    pub default_role: Role,
    /// Roles by user.
    pub users: IndexMap<String, Role>,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            commands_waiting: 256,
            timeout_ms: 60_000,
            steps: 4,
            rate_per_minute: 600,
            default_role: Role::Operator,
            users: IndexMap::new(),
        }
    }
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May call tools that only read.
    Viewer,
    /// May call all tools.
    Operator,
}

/// A call that policy lets run.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovedCall {
    tool: String,
    args: Args,
    effect: EffectKind,
    reaches_out: bool,
    recovery: Recovery,
}

impl ApprovedCall {
    /// The tool's name.
    pub fn tool(&self) -> &str {
        &self.tool
    }
    /// The checked arguments, in the declared order, with defaults filled in.
    pub fn args(&self) -> &Args {
        &self.args
    }
    /// Whether it changes something.
    pub fn acts(&self) -> bool {
        self.effect == EffectKind::Acts
    }
    /// Whether it changes the world outside the daemon, and so needs an intent row first.
    pub fn needs_intent(&self) -> bool {
        self.acts() && self.reaches_out
    }
    /// What may be made of it where it was cut off.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }
    /// The call as it is recorded.
    pub fn to_call(&self) -> Call {
        Call { tool: self.tool.clone(), args: self.args.clone() }
    }
}

/// What policy says of a proposed call.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may run.
    Approved(ApprovedCall),
    /// A person must approve it first.
    NeedsPerson,
    /// It may not run.
    Denied(Denial),
}

/// The rules, and the counters of the rate limit.
#[derive(Debug)]
pub struct Policy {
    config: PolicyConfig,
    /// The agents that can be asked, the default one first.
    agents: Vec<String>,
    /// For each user: the minute's begin and the commands since.
    counters: HashMap<String, (Timestamp, u32)>,
}

impl Policy {
    /// The rules of a config.
    pub fn new(config: PolicyConfig) -> Self {
        Self { config, agents: Vec::new(), counters: HashMap::new() }
    }

    /// The same where these agents can be asked.
    pub fn with_agents(self, agents: impl IntoIterator<Item = String>) -> Self {
        Self { agents: agents.into_iter().collect(), ..self }
    }

    /// The `[policy]` section it was made from.
    pub fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// Whether a command may begin now, and in which role.
    pub fn admit(&mut self, command: &Command, now: Timestamp) -> Result<Role, Denial> {
        if let Some(expires_at) = command.expires_at.filter(|at| *at <= now) {
            return Err(Denial::new("expired", format!("it expired at {expires_at}")));
        }
        if let Some(agent) = command.agent.as_ref().filter(|agent| !self.agents.contains(agent)) {
            let names = self.agents.join(", ");
            let message = format!("there is no agent `{agent}`; there are: {names}");
            return Err(Denial::new("no_such_agent", message));
        }
        let user = command.user.as_deref().unwrap_or("");
        if !self.within_rate(user, now) {
            return Err(Denial::new(
                "rate",
                format!("more than {} commands in a minute", self.config.rate_per_minute),
            ));
        }
        Ok(*self.config.users.get(user).unwrap_or(&self.config.default_role))
    }

    fn within_rate(&mut self, user: &str, now: Timestamp) -> bool {
        if self.counters.len() >= MAX_USERS && !self.counters.contains_key(user) {
            let idle = self.counters.iter().min_by_key(|(_, (since, _))| *since);
            if let Some(idle) = idle.map(|(user, _)| user.clone()) {
                self.counters.remove(&idle);
            }
        }
        let (since, count) = self.counters.entry(user.to_owned()).or_insert((now, 0));
        // A clock that was set back begins a new minute as well, or the user would wait for hours.
        if now.as_second() - since.as_second() >= 60 || now < *since {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= self.config.rate_per_minute
    }
}

/// On whose behalf a call is proposed.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// What the sender may do.
    pub role: Role,
    /// The tools of the agent that was asked; none: all.
    pub tools: Option<&'a [String]>,
    /// The person who approved it.
    pub approved_by: Option<&'a str>,
}

/// Checks a proposed call. The only maker of [`ApprovedCall`].
pub fn approve(call: &Call, asker: &Asker<'_>, toolbox: &Toolbox) -> Verdict {
    let denied = |code: &str, message: String| Verdict::Denied(Denial::new(code, message));
    let Some(spec) = toolbox.get(&call.tool) else {
        let hint = toolbox.nearest(&call.tool).map(|n| format!("; did you mean `{n}`?"));
        let message = format!("there is no tool `{}`{}", call.tool, hint.unwrap_or_default());
        return denied("no_such_tool", message);
    };
    if asker.tools.is_some_and(|tools| !tools.contains(&spec.name)) {
        return denied("not_allowed", format!("this agent may not use `{}`", spec.name));
    }
    if asker.role == Role::Viewer && spec.effect() == EffectKind::Acts {
        return denied("not_allowed", format!("a viewer may not use `{}`", spec.name));
    }
    let args = match toolbox.check_args(&call.tool, &call.args) {
        Ok(args) => args,
        Err(errors) => return denied("bad_arguments", errors.to_string()),
    };
    if spec.confirm && asker.approved_by.is_none() {
        return Verdict::NeedsPerson;
    }
    Verdict::Approved(ApprovedCall {
        tool: spec.name.clone(),
        args,
        effect: spec.effect(),
        reaches_out: spec.reaches_out(),
        recovery: spec.recovery(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_command_expires_at_its_time_and_not_before() {
        let mut policy = Policy::new(PolicyConfig::default());
        let mut command = Command::from_text("x");
        command.expires_at = Some(at(100));
        assert_eq!(policy.admit(&command, at(99)), Ok(Role::Operator));
        assert_eq!(policy.admit(&command, at(100)).map_err(|d| d.code), Err("expired".into()));
    }

    #[test]
    fn the_rate_bound_holds_at_and_one_over_and_for_each_user() {
        let config = PolicyConfig { rate_per_minute: 2, ..PolicyConfig::default() };
        let mut policy = Policy::new(config);
        let mut anna = Command::from_text("x");
        anna.user = Some("anna".into());
        assert!(policy.admit(&anna, at(0)).is_ok());
        assert!(policy.admit(&anna, at(59)).is_ok());
        assert_eq!(policy.admit(&anna, at(59)).map_err(|d| d.code), Err("rate".into()));
        assert!(policy.admit(&Command::from_text("x"), at(59)).is_ok(), "another user");
        assert!(policy.admit(&anna, at(60)).is_ok(), "the next minute");
        policy.admit(&anna, at(60)).expect("second of the minute");
        assert!(policy.admit(&anna, at(10)).is_ok(), "a clock set back begins a new minute");
    }

    #[test]
    fn the_counters_are_bounded_and_the_idlest_goes() {
        let mut policy = Policy::new(PolicyConfig::default());
        for n in 0..=MAX_USERS as i64 {
            let mut command = Command::from_text("x");
            command.user = Some(format!("user {n}"));
            policy.admit(&command, at(n)).expect("admitted");
        }
        assert_eq!(policy.counters.len(), MAX_USERS);
        assert!(!policy.counters.contains_key("user 0"));
    }

    #[test]
    fn an_agent_may_use_its_own_tools_and_one_that_is_not_there_cannot_be_asked() {
        let specs = serde_json::json!([
            {"name": "look", "description": "d", "kind": "publish", "event": "looked"},
            {"name": "write", "description": "d", "kind": "note", "params": {"text": {}}},
        ]);
        let specs = serde_json::from_value(specs).expect("tools");
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.db");
        let (toolbox, _) = Toolbox::open(specs, Vec::new(), &database).expect("it opens");
        let judge = |tool: &str, tools: Option<&[String]>| {
            let asker = Asker { role: Role::Operator, tools, approved_by: None };
            let call = Call { tool: tool.into(), args: Args::new() };
            match approve(&call, &asker, &toolbox) {
                Verdict::Denied(denial) => denial.code,
                _ => "approved".into(),
            }
        };
        let own = ["look".to_owned()];
        assert_eq!(judge("look", Some(&own)), "approved");
        assert_eq!(judge("write", Some(&own)), "not_allowed");
        assert_eq!(judge("write", None), "bad_arguments", "no text");
        let names = ["default".to_owned(), "night".to_owned()];
        let mut policy = Policy::new(PolicyConfig::default()).with_agents(names);
        let mut command = Command::from_text("x");
        for (agent, admitted) in [("night", true), ("default", true), ("day", false)] {
            command.agent = Some(agent.into());
            assert_eq!(policy.admit(&command, at(0)).is_ok(), admitted, "{agent}");
        }
    }

    #[test]
    fn a_listed_user_gets_the_listed_role() {
        let users = [("kiosk".to_owned(), Role::Viewer)].into_iter().collect();
        let mut policy = Policy::new(PolicyConfig { users, ..PolicyConfig::default() });
        let mut command = Command::from_text("x");
        command.user = Some("kiosk".into());
        assert_eq!(policy.admit(&command, at(0)), Ok(Role::Viewer));
    }
}
