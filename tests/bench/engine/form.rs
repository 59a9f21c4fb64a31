//! What the server's answers may look like: a JSON schema, as its users write one; the same JSON without the spaces
//! that the server admits between its parts, of which a model that was not trained on JSON writes dozens; and our own
//! compact calls. The last two are GBNF.

use std::fmt::Write as _;

use agentd::model::grammar::NONE;
use agentd_tools::ToolSpec;
use agentd_tools::spec::{Param, ParamKind};
use serde_json::{Map, Value, json};

/// The bench chooses its tools itself.
const FLAT: &str = "the tools that are measured have no lists and no objects";

/// The longest string where a parameter declares none: the same as in our own grammar.
const MAX_TEXT_CHARS: usize = agentd::model::grammar::MAX_TEXT_CHARS;
/// Whole numbers of a range that are spelled out in GBNF, which knows no ranges; of a larger one the digits are.
const SPELLED_OUT: i64 = 200;

/// A character of a string, as JSON writes it.
const CHAR: &str = "char ::= [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" [\"\\\\/bfnrt]\n";

/// The form of an answer.
#[derive(Debug, Clone)]
pub(super) enum Form {
    Schema(Value),
    Gbnf(String),
}

impl Form {
    /// The parameter of `/completion` that asks for it.
    pub(super) fn parameter(&self) -> (&'static str, Value) {
        match self {
            Self::Schema(schema) => ("json_schema", schema.clone()),
            Self::Gbnf(grammar) => ("grammar", grammar.as_str().into()),
        }
    }

    /// One call as `{"tool": ..., "args": {...}}`, or the tool `none`.
    pub(super) fn schema(tools: &[ToolSpec]) -> Self {
        let call = |name: &str, args: Map<String, Value>| {
            let names: Vec<&String> = args.keys().collect();
            json!({
                "type": "object",
                "properties": {
                    "tool": { "const": name },
                    "args": {
                        "type": "object", "properties": args, "required": names,
                        "additionalProperties": false,
                    },
                },
                "required": ["tool", "args"],
                "additionalProperties": false,
            })
        };
        let calls = tools.iter().map(|tool| {
            let args = tool.params.iter().map(|(name, param)| (name.clone(), value_schema(param)));
            call(&tool.name, args.collect())
        });
        Self::Schema(
            json!({ "anyOf": calls.chain([call("none", Map::new())]).collect::<Vec<_>>() }),
        )
    }

    /// The three, with their names in the figures.
    pub(super) fn all(tools: &[ToolSpec], max_calls: usize) -> [(&'static str, Self); 3] {
        [
            ("json", Self::schema(tools)),
            ("tight_json", Self::tight_json(tools)),
            ("gbnf", Self::gbnf(tools, max_calls)),
        ]
    }

    /// What the schema admits, without spaces.
    pub(super) fn tight_json(tools: &[ToolSpec]) -> Self {
        let names: Vec<String> = (0..tools.len()).map(|t| format!("t{t}")).collect();
        let none = literal(r#"{"tool":"none","args":{}}"#);
        let mut gbnf = format!("root ::= {none} | {}\n", names.join(" | "));
        for (t, tool) in tools.iter().enumerate() {
            let mut parts = vec![literal(&format!(r#"{{"tool":"{}","args":{{"#, tool.name))];
            for (p, name) in tool.params.keys().enumerate() {
                let comma = if p == 0 { "" } else { "," };
                parts.push(format!("{} t{t}-p{p}", literal(&format!(r#"{comma}"{name}":"#))));
            }
            // Writing to a String does not fail, here and below.
            let _ = writeln!(gbnf, "t{t} ::= {} {}", parts.join(" "), literal("}}"));
            for (p, param) in tool.params.values().enumerate() {
                let quoted = param.choices.iter().flatten().map(|word| Value::from(word.as_str()));
                let quoted: Vec<String> = quoted.map(|word| word.to_string()).collect();
                let rule =
                    if quoted.is_empty() { value_rule(param) } else { alternatives(&quoted) };
                let _ = writeln!(gbnf, "t{t}-p{p} ::= {rule}");
            }
        }
        gbnf.push_str(CHAR);
        Self::Gbnf(gbnf)
    }

    /// Our call syntax: `none()`, or up to `max_calls` calls, one a line. All parameters are required; what a
    /// request says plays no part, as it does in our own, which is made for each request.
    pub(super) fn gbnf(tools: &[ToolSpec], max_calls: usize) -> Self {
        let names: Vec<String> = (0..tools.len()).map(|t| format!("t{t}")).collect();
        let more = max_calls.saturating_sub(1);
        let mut gbnf = format!(
            "root ::= {} | call (\"\\n\" call){{0,{more}}}\ncall ::= {}\n",
            literal(NONE),
            names.join(" | "),
        );
        for (t, tool) in tools.iter().enumerate() {
            let mut parts = vec![literal(&format!("{}(", tool.name))];
            for (p, name) in tool.params.keys().enumerate() {
                let comma = if p == 0 { "" } else { ", " };
                parts.push(format!("{} t{t}-p{p}", literal(&format!("{comma}{name}="))));
            }
            let _ = writeln!(gbnf, "t{t} ::= {} \")\"", parts.join(" "));
            for (p, param) in tool.params.values().enumerate() {
                let _ = writeln!(gbnf, "t{t}-p{p} ::= {}", value_rule(param));
            }
        }
        gbnf.push_str(CHAR);
        Self::Gbnf(gbnf)
    }
}

fn value_schema(param: &Param) -> Value {
    let bounded = |kind: &str| {
        let mut schema = Map::from_iter([("type".to_owned(), kind.into())]);
        schema.extend(param.min.map(|min| ("minimum".to_owned(), plain(min))));
        schema.extend(param.max.map(|max| ("maximum".to_owned(), plain(max))));
        Value::Object(schema)
    };
    match (param.kind, &param.choices) {
        (ParamKind::String, Some(choices)) => json!({ "type": "string", "enum": choices }),
        (ParamKind::String, None) => {
            json!({ "type": "string", "maxLength": param.max_length.unwrap_or(MAX_TEXT_CHARS) })
        }
        (ParamKind::Boolean, _) => json!({ "type": "boolean" }),
        (ParamKind::Integer, _) => bounded("integer"),
        (ParamKind::Number, _) => bounded("number"),
        (ParamKind::Array | ParamKind::Object, _) => unreachable!("{FLAT}"),
    }
}

/// A whole number without its point.
fn plain(number: f64) -> Value {
    let whole = number as i64;
    if whole as f64 == number { whole.into() } else { number.into() }
}

fn value_rule(param: &Param) -> String {
    let whole = |bound: Option<f64>| bound.map(|bound| bound as i64);
    match (param.kind, &param.choices) {
        (ParamKind::String, Some(choices)) => alternatives(choices),
        (ParamKind::String, None) => {
            let most = param.max_length.unwrap_or(MAX_TEXT_CHARS);
            format!("\"\\\"\" char{{0,{most}}} \"\\\"\"")
        }
        (ParamKind::Boolean, _) => "\"true\" | \"false\"".to_owned(),
        (ParamKind::Integer, _) => match (whole(param.min), whole(param.max)) {
            (Some(min), Some(max)) if max - min <= SPELLED_OUT => {
                alternatives(&(min..=max).map(|n| n.to_string()).collect::<Vec<_>>())
            }
            _ => "\"-\"? [0-9]{1,9}".to_owned(),
        },
        (ParamKind::Number, _) => "\"-\"? [0-9]{1,6} (\".\" [0-9]{1,3})?".to_owned(),
        (ParamKind::Array | ParamKind::Object, _) => unreachable!("{FLAT}"),
    }
}

fn alternatives(words: &[String]) -> String {
    words.iter().map(|word| literal(word)).collect::<Vec<_>>().join(" | ")
}

/// A literal of GBNF, whose escapes are JSON's where only ASCII is written.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::toolset::Toolset;
    use super::*;

    #[test]
    fn the_grammar_is_our_call_syntax() {
        let Form::Gbnf(gbnf) = Form::gbnf(&Toolset::of(7).unwrap().specs, 2) else { panic!() };
        for line in [
            r#"root ::= "none()" | call ("\n" call){0,1}"#,
            "call ::= t0 | t1 | t2 | t3 | t4 | t5 | t6",
            r#"t0 ::= "set_output(" "device=" t0-p0 ", state=" t0-p1 ")""#,
            r#"t0-p1 ::= "on" | "off""#,
            r#"t3 ::= "read_climate(" ")""#,
            r#"t6-p0 ::= "\"" char{0,500} "\"""#,
        ] {
            assert!(gbnf.lines().any(|own| own == line), "{line} is missing in\n{gbnf}");
        }
    }

    #[test]
    fn tight_json_is_what_the_schema_admits_without_spaces() {
        let tools = Toolset::of(7).unwrap().specs;
        let Form::Gbnf(gbnf) = Form::tight_json(&tools) else { panic!() };
        for line in [
            r#"root ::= "{\"tool\":\"none\",\"args\":{}}" | t0 | t1 | t2 | t3 | t4 | t5 | t6"#,
            r#"t0 ::= "{\"tool\":\"set_output\",\"args\":{" "\"device\":" t0-p0 ",\"state\":" t0-p1 "}}""#,
            r#"t0-p1 ::= "\"on\"" | "\"off\"""#,
            r#"t3 ::= "{\"tool\":\"read_climate\",\"args\":{" "}}""#,
        ] {
            assert!(gbnf.lines().any(|own| own == line), "{line} is missing in\n{gbnf}");
        }
    }

    #[test]
    fn the_schema_has_a_variant_for_each_tool_and_one_for_none() {
        let Form::Schema(schema) = Form::schema(&Toolset::of(7).unwrap().specs) else { panic!() };
        let variants = schema["anyOf"].as_array().unwrap();
        assert_eq!(variants.len(), 8);
        assert_eq!(
            variants[1]["properties"]["args"]["properties"]["percent"],
            json!({"type": "integer", "minimum": 0, "maximum": 100})
        );
        assert_eq!(variants[7]["properties"]["tool"], json!({"const": "none"}));
    }
}
