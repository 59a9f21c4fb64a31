//! The examination's questions, as they stand in `machines/` and `sets/`.

use std::collections::BTreeMap;
use std::path::Path;

use agentd::command::Call;
use agentd_tools::ToolSpec;
use agentd_tools::args::check_args;
use anyhow::{Context as _, Result, bail};
use config::{Config, File, FileFormat};
use serde::Deserialize;

use super::bfcl::Possible;

/// A machine: its tools by its name.
pub(crate) type Machines = BTreeMap<String, Vec<ToolSpec>>;

/// One question.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) machine: String,
    /// What was said, and done, before.
    #[serde(default)]
    pub(crate) before: Vec<Before>,
    pub(crate) say: String,
    /// The right calls in order; none where it must be refused.
    pub(crate) expect: Vec<Call>,
    /// Other answers that are as right.
    #[serde(default)]
    pub(crate) accept: Vec<Vec<Call>>,
    /// Why it must be refused.
    #[serde(default)]
    pub(crate) why: Option<String>,
    /// The right call by the leaderboard's rules, of which `expect` is then only a reading.
    #[serde(default)]
    pub(crate) possible: Option<Possible>,
}

impl Case {
    /// The same question after another one that it does not refer to, unless it refers to one.
    pub(crate) fn after(mut self, other: &Self) -> Self {
        if self.before.is_empty() {
            self.before.push(Before { say: other.say.clone(), calls: other.expect.clone() });
        }
        self
    }
}

/// An exchange that came before the question.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Before {
    pub(crate) say: String,
    pub(crate) calls: Vec<Call>,
}

/// Questions that belong together.
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
struct MachineFile {
    tool: Vec<ToolSpec>,
}

/// A line of `machines.jsonl`, where there are too many machines for a file each.
#[derive(Deserialize)]
struct MachineLine {
    name: String,
    tool: Vec<ToolSpec>,
}

/// Reads everything below a folder; each fault is told with its file.
pub(crate) fn load(folder: &Path) -> Result<(Machines, Vec<Set>)> {
    let mut machines = listed(&folder.join("machines.jsonl"))?;
    for (name, text) in files(&folder.join("machines"), "toml")? {
        let source = File::from_str(&text, FileFormat::Toml);
        let file: MachineFile = Config::builder()
            .add_source(source)
            .build()
            .and_then(Config::try_deserialize)
            .with_context(|| format!("machines/{name}.toml"))?;
        machines.insert(name, file.tool);
    }
    let mut sets = Vec::new();
    for (name, text) in files(&folder.join("sets"), "jsonl")? {
        let mut cases = Vec::new();
        for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let at = || format!("sets/{name}.jsonl, line {}", line + 1);
            let case: Case = serde_json::from_str(text).with_context(at)?;
            check(&case, &machines).with_context(at)?;
            cases.push(case);
        }
        sets.push(Set { name, cases });
    }
    Ok((machines, sets))
}

fn listed(path: &Path) -> Result<Machines> {
    let mut machines = Machines::new();
    if path.exists() {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        for (line, text) in text.lines().enumerate() {
            let machine: MachineLine = serde_json::from_str(text)
                .with_context(|| format!("{}, line {}", path.display(), line + 1))?;
            machines.insert(machine.name, machine.tool);
        }
    }
    Ok(machines)
}

/// The files of a folder by their names, sorted; none where there is no folder.
fn files(folder: &Path, extension: &str) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|own| own == extension) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).with_context(|| name.clone())?;
            files.push((name, text));
        }
    }
    files.sort();
    Ok(files)
}

/// A question whose right answer would not pass is no question.
fn check(case: &Case, machines: &Machines) -> Result<()> {
    let Some(tools) = machines.get(&case.machine) else {
        bail!("there is no machine `{}`", case.machine)
    };
    let before = case.before.iter().map(|before| &before.calls);
    for call in before.chain([&case.expect]).chain(&case.accept).flatten() {
        let spec = tools.iter().find(|spec| spec.name == call.tool);
        let spec = spec.with_context(|| format!("there is no tool `{}`", call.tool))?;
        // Some of the leaderboard's answers are not of the types that its questions declare.
        if case.possible.is_none() {
            check_args(spec, &call.args)?;
        }
    }
    let possible = case.possible.as_ref().map(|possible| &possible.tool);
    if possible.is_some_and(|tool| case.expect.len() != 1 || case.expect[0].tool != *tool) {
        bail!("`expect` and `possible` are of different tools");
    }
    if case.expect.is_empty() != case.why.is_some() {
        bail!("`why` belongs to a refusal, and each has one");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use agentd::ground::Grounds;
    use agentd_tools::spec::Format;
    use serde_json::Value;

    use super::*;

    fn all() -> (Machines, Vec<Set>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("exam");
        load(&folder).unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn plain(text: &str) -> String {
        let letters = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
        let text: String = text.chars().map(letters).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_set_is_large_enough_and_no_sentence_stands_twice() {
        let (_, sets) = all();
        let (mut ids, mut said) = (HashSet::new(), HashSet::new());
        for Set { name, cases } in &sets {
            assert!(cases.len() >= 150, "{name} has {}", cases.len());
            for case in cases {
                assert!(ids.insert(case.id.clone()), "{} stands twice", case.id);
                let sentence = (case.machine.clone(), plain(&case.say), case.before.len());
                assert!(said.insert(sentence), "{}: {}", case.id, case.say);
            }
        }
        let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
        assert_eq!(names, ["numbers", "refuse", "seen", "speech", "unseen"]);
    }

    #[test]
    fn machines_may_stand_in_lines_and_a_case_may_have_possible_values() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        std::fs::create_dir(folder.path().join("sets")).expect("a folder");
        write("machines.jsonl", include_str!("bfcl/machines.jsonl"));
        write("sets/made_up.jsonl", include_str!("bfcl/made_up.jsonl"));
        let (machines, sets) = load(folder.path()).unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!((machines.len(), sets.len(), sets[0].name.as_str()), (3, 1, "made_up"));
        assert!(sets[0].cases.iter().all(|case| case.possible.is_some()));
        let possible = r#""possible": {"tool": "geo_"#;
        let other = include_str!("bfcl/made_up.jsonl");
        let other =
            other.replacen(&format!("{possible}area_of_field"), &format!("{possible}perimeter"), 1);
        write("sets/made_up.jsonl", &other);
        let error = format!("{:#}", load(folder.path()).err().expect("another tool"));
        let told = "sets/made_up.jsonl, line 1: `expect` and `possible` are of different tools";
        assert_eq!(error, told);
    }

    /// What is given verbatim stands in the sentence; every tool of a machine is asked for somewhere.
    #[test]
    fn verbatim_texts_stand_in_their_sentences_and_every_tool_is_asked_for() {
        let (machines, sets) = all();
        let mut asked = HashSet::new();
        for case in sets.iter().flat_map(|set| &set.cases) {
            let said = Grounds::of(&case.say).chunks().concat();
            for call in case.expect.iter().chain(case.accept.iter().flatten()) {
                asked.insert((case.machine.clone(), call.tool.clone()));
                let spec = machines[&case.machine].iter().find(|spec| spec.name == call.tool);
                for (name, param) in &spec.expect("checked").params {
                    let given = call.args.get(name).and_then(|value| value.as_str());
                    if let Some(text) = given.filter(|_| param.verbatim) {
                        assert!(said.contains(text), "{}: {text:?}", case.id);
                    }
                }
            }
        }
        for (machine, tools) in &machines {
            for tool in tools {
                let key = (machine.clone(), tool.name.clone());
                assert!(asked.contains(&key), "{machine}: nobody asks for {}", tool.name);
            }
        }
    }

    /// Whether the values of a call are found in what was said.
    fn is_grounded(call: &Call, spec: &ToolSpec, grounds: &Grounds) -> bool {
        spec.params.iter().all(|(name, param)| match call.args.get(name) {
            Some(Value::Number(value)) => value.as_f64().is_some_and(|value| {
                grounds.numbers(param).iter().any(|n| (n - value).abs() < 1e-6)
            }),
            Some(Value::String(time)) if param.format == Some(Format::Time) => {
                grounds.times().contains(time)
            }
            _ => true,
        })
    }

    /// The values that the right answers need are found by the code that reads them; a model cannot write
    /// what is not. Some need knowledge or arithmetic ("ten more"), and are left to be refused.
    #[test]
    fn nearly_all_right_answers_can_be_given_from_what_was_said() {
        let (machines, sets) = all();
        let (mut needed, mut missed) = (0_usize, Vec::new());
        for case in sets.iter().flat_map(|set| &set.cases) {
            let grounds = Grounds::of(&case.say);
            for call in &case.expect {
                let spec = machines[&case.machine].iter().find(|spec| spec.name == call.tool);
                let spec = spec.expect("checked");
                let is_number = |name: &String| call.args.get(name).is_some_and(Value::is_number);
                needed += usize::from(spec.params.iter().any(|(name, param)| {
                    is_number(name) || (param.format.is_some() && call.args.contains_key(name))
                }));
                if !is_grounded(call, spec, &grounds) {
                    missed.push(format!("{} {:?}: {call}", case.id, case.say));
                }
            }
        }
        let share = missed.len() as f64 / needed as f64;
        assert!(
            share <= 0.05,
            "{} of {needed} cannot be given:\n{}",
            missed.len(),
            missed.join("\n")
        );
    }
}
