//! What an examination before and after says, for people and for programs.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::tune::lessons::Toolset;
use crate::tune::own::{self, A_HANDFUL, HeldOut};
use crate::tune::verdict::{Paired, Verdict, judge};

/// What was answered before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    /// Of the machine's own questions, those that want a call.
    pub(super) commands: Paired,
    /// Of the machine's own questions, those that must be refused.
    pub(super) refusals: Paired,
    /// What people approved or corrected and what was learnt.
    pub(super) taught: Paired,
    /// Questions about other machines.
    pub(super) general: Paired,
}

impl Report {
    /// Of the marks before and after: of one's own questions, of which the first `commands` want a call, of what was taught,
    /// and of questions in general.
    pub(super) fn of(
        commands: usize,
        own: [&[bool]; 2],
        taught: [&[bool]; 2],
        general: [&[bool]; 2],
    ) -> Self {
        let [before, after] = own.map(|marks| marks.split_at(commands.min(marks.len())));
        Self {
            commands: Paired::of(before.0, after.0),
            refusals: Paired::of(before.1, after.1),
            taught: Paired::of(taught[0], taught[1]),
            general: Paired::of(general[0], general[1]),
        }
    }

    fn own(&self) -> Paired {
        let (a, b) = (self.commands, self.refusals);
        Paired {
            both: a.both + b.both,
            lost: a.lost + b.lost,
            won: a.won + b.won,
            neither: a.neither + b.neither,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        judge(self.own(), self.taught, self.general)
    }

    /// Exact answers before and after, with Wilson's 95 % interval.
    pub(super) fn table(&self) -> String {
        let mut table =
            format!("{:<28} {:36} {:36} won, lost\n", "exactly right", "before", "after");
        for (what, paired) in [
            ("this machine, commands", self.commands),
            ("this machine, to be refused", self.refusals),
            ("this machine, all", self.own()),
            ("said by people, and learnt", self.taught),
            ("other machines", self.general),
        ] {
            if paired == Paired::default() {
                continue;
            }
            let (before, after) = (paired.before().text(), paired.after().text());
            table +=
                &format!("{what:<28} {before:36} {after:36} {}, {}\n", paired.won, paired.lost);
        }
        table
    }

    pub(super) fn json(&self, adapter: &Path, steps: u32) -> Value {
        let (verdict, chance) = match self.verdict() {
            Verdict::Better => ("better", None),
            Verdict::NoBetter => ("no_better", None),
            Verdict::Forgot(chance) => ("forgot", Some(chance)),
        };
        json!({
            "installed": self.verdict() == Verdict::Better, "verdict": verdict, "chance": chance,
            "adapter": adapter, "steps": steps,
            "own": self.own().json(), "own_commands": self.commands.json(),
            "own_refusals": self.refusals.json(), "taught": self.taught.json(), "general": self.general.json(),
        })
    }
}

/// What was held out, and a word of warning where it is little.
pub(super) fn held_out(held_out: &HeldOut) -> String {
    let HeldOut { toolset, sentences, examples, history } = held_out;
    let asked = toolset.pairs.len();
    let mut text = format!(
        "kept back for the examination: {asked} sentences, made of {sentences} patterns and {examples} examples"
    );
    if *history > 0 {
        text += &format!(", and {history} that people approved or corrected");
    }
    if sentences + examples + history < A_HANDFUL {
        text += &format!(
            "; fewer than {A_HANDFUL} of them say little, whatever the interval: write more `sentences` and `examples`"
        );
    }
    text
}

/// Prints toolsets, or writes them to a file, and tells how many sentences each tool has.
pub(super) fn print_data(out: Option<&Path>, toolsets: &[Toolset]) -> io::Result<ExitCode> {
    let mut text = String::new();
    for toolset in toolsets {
        text += &format!("{}\n", toolset.to_json());
    }
    match out {
        Some(out) => std::fs::write(out, text)?,
        // `head` is enough for who only wants to see it.
        None => match io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        },
    }
    for (tool, count) in own::counts(toolsets) {
        eprintln!("{count:6} {tool}");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [&[bool]; 2] = [&[], &[]];

    #[test]
    fn commands_and_refusals_are_told_apart_and_judged_together() {
        let own: [&[bool]; 2] = [&[true, false, true], &[true, true, false]];
        let report = Report::of(2, own, NOTHING, [&[true], &[true]]);
        assert_eq!((report.commands.won, report.commands.lost), (1, 0));
        assert_eq!((report.refusals.won, report.refusals.lost), (0, 1));
        assert_eq!(report.verdict(), Verdict::NoBetter, "one won, one lost");
        let table = report.table();
        assert!(table.contains("this machine, commands") && table.contains("n 2"), "{table}");
        let better = Report::of(2, [own[0], &[true, true, true]], NOTHING, [&[true], &[true]]);
        assert_eq!(better.json(Path::new("/a"), 3)["installed"], true);
        assert_eq!(report.json(Path::new("/a"), 3)["verdict"], "no_better");
    }

    #[test]
    fn what_was_taught_is_told_where_there_is_some() {
        let own: [&[bool]; 2] = [&[true, false], &[true, false]];
        let others: [&[bool]; 2] = [&[true], &[true]];
        let taught = Report::of(1, own, [&[false, false], &[true, false]], others);
        assert!(taught.table().contains("said by people, and learnt"), "{}", taught.table());
        assert_eq!(taught.json(Path::new("/a"), 3)["taught"]["won"], 1);
        assert_eq!(taught.verdict(), Verdict::Better);
        let none = Report::of(1, own, NOTHING, others);
        assert!(!none.table().contains("learnt"), "{}", none.table());
        assert_eq!(none.verdict(), Verdict::NoBetter);
    }

    #[test]
    fn too_few_are_told() {
        let told = |sentences| {
            let toolset = Toolset { tools: Vec::new(), pairs: Vec::new(), grounded: true };
            held_out(&HeldOut { toolset, sentences, examples: 1, history: 0 })
        };
        assert!(told(A_HANDFUL - 2).contains("say little"));
        assert!(!told(A_HANDFUL - 1).contains("say little"));
    }
}
