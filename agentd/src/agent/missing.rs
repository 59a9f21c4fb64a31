//! What a person is asked where the tool is clear and a value is not. This decides and does no I/O.

use agentd_tools::ToolSpec;
use agentd_tools::args::allowed;
use agentd_tools::spec::Param;

use super::reflex::{normalise, spoken};
use crate::command::Call;
use crate::ground::Grounds;
use crate::model::grammar;

/// What is to be asked for the first open call of a plan; none where no call is open. `request` is what was said.
pub(super) fn question(calls: &[Call], tools: &[ToolSpec], request: &str) -> Option<String> {
    let is_open = |call: &&Call| grammar::is_open(call, tools);
    let open = calls.iter().find(is_open)?;
    let tool = tools.iter().find(|tool| tool.name == open.tool)?;
    let named: Vec<String> = unsaid(tool, request)
        .into_iter()
        .map(|(name, param)| format!("{name} ({})", allowed(param)))
        .collect();
    Some(format!("a value is missing for {}: {}", tool.name, named.join(" and ")))
}

/// The values that a tool needs and a request does not say; all that it needs where that cannot be told.
fn unsaid<'a>(tool: &'a ToolSpec, request: &str) -> Vec<(&'a String, &'a Param)> {
    let grounds = Grounds::of(request);
    let request = format!(" {} ", normalise(request));
    let is_named = |choice: &String| request.contains(&format!(" {} ", spoken(choice)));
    let is_unsaid = |param: &Param| match &param.choices {
        Some(choices) => !choices.iter().any(is_named),
        None => !grammar::has_value(param, Some(&grounds)),
    };
    let needed = tool.params.iter().filter(|(_, param)| param.is_required());
    let unsaid: Vec<_> = needed.clone().filter(|(_, param)| is_unsaid(param)).collect();
    if unsaid.is_empty() { needed.collect() } else { unsaid }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(say: &str, calls: &[&str]) -> Option<String> {
        let tools: Vec<ToolSpec> = serde_json::from_value(json!([
            {"name": "heat", "description": "d", "kind": "note", "params": {
                "room": {"enum": ["bath", "living_room"]},
                "celsius": {"type": "integer", "min": 5, "max": 30, "unit": "celsius"}}},
            {"name": "dim", "description": "d", "kind": "note",
                "params": {"percent": {"type": "integer", "min": 0, "max": 100, "default": 50}}},
        ]))
        .expect("tools");
        let calls: Vec<Call> = calls
            .iter()
            .map(|text| grammar::parse_calls(text).expect("a call").swap_remove(0))
            .collect();
        question(&calls, &tools, say)
    }

    #[test]
    fn what_was_said_is_not_asked_for_again() {
        let room = "room (one of bath, living_room)";
        let celsius = "celsius (an integer from 5 to 30)";
        let of = |what: &str| Some(format!("a value is missing for heat: {what}"));
        assert_eq!(asked("Heat the living room!", &["heat()"]), of(celsius));
        assert_eq!(asked("Heat it to 20 degrees", &["heat()"]), of(room));
        assert_eq!(asked("Heat the bath to 90", &["heat()"]), of(celsius), "out of its range");
        assert_eq!(
            asked("make it warmer", &["dim()", "heat()"]),
            of(&format!("{room} and {celsius}"))
        );
        let both = format!("{room} and {celsius}");
        assert_eq!(asked("the bath or the living room to 20", &["heat()"]), of(&both));
    }

    #[test]
    fn a_call_that_needs_no_value_or_has_them_is_not_open() {
        assert_eq!(asked("dim it", &["dim()"]), None);
        assert_eq!(asked("heat the bath to 20", &["heat(room=bath, celsius=20)"]), None);
        assert_eq!(asked("heat", &[]), None);
    }
}
