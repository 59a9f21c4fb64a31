//! The trainer: Python programs beside the daemon (`tools/tune`), which make data of other machines and an adapter.
//!
//! They are looked for where a person gave them, in a checkout, and where a package installs them. What is missing
//! is said with the commands that mend it.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Where a package puts the trainer.
pub const INSTALLED: &str = "/usr/share/agentd/tune";
/// What Python must be able to import.
const NEEDED: &str = "import torch, gguf, numpy";
/// The learning rate. Half of what the built-in adapter was trained with: this one goes on from it.
const RATE: &str = "0.0005";

/// The trainer, with the Python that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trainer {
    /// The folder of `train.py` and `generate.py`.
    pub folder: PathBuf,
    /// The interpreter.
    pub python: PathBuf,
}

/// What is trained.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// The weights, as they run in production.
    pub model: &'a Path,
    /// What is learnt.
    pub lessons: &'a Path,
    /// What the best state is chosen by.
    pub check: &'a Path,
    /// The adapter to begin with.
    pub from: &'a Path,
    /// The folder of checkpoints; `adapter.gguf` is the best one.
    pub run: &'a Path,
    /// How many steps in all.
    pub steps: u32,
    /// Decides the order of the lessons.
    pub seed: u64,
}

/// Why nothing can be trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// There is no trainer.
    #[error(
        "the trainer is not here: looked in {0}. Run this in a checkout of agentd, or name the folder of train.py \
         with --trainer"
    )]
    Missing(String),
    /// Python lacks what is needed.
    #[error(
        "{python} cannot train ({problem}). Training needs PyTorch and gguf, once:\n  python3 -m venv {venv}\n  \
         {venv}/bin/python -m pip install --requirement {requirements}\nThen run this again; that Python is \
         found by itself. With the GPU libraries of PyPI's torch it takes 5.6 GB."
    )]
    Python {
        /// The interpreter that was tried.
        python: String,
        /// What it said.
        problem: String,
        /// Where one is made that is found.
        venv: String,
        /// The list of what is needed.
        requirements: String,
    },
    /// A program of it failed.
    #[error(
        "{what} did not end well ({status}); what it said stands above. Run this again to go on where it was"
    )]
    Failed {
        /// The program.
        what: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// A program of it cannot be started.
    #[error("{0} cannot be started")]
    Start(String, #[source] io::Error),
}

/// Where a trainer may be, for a program at `executable` that is run in `current`, the likeliest first.
fn folders(current: &Path, executable: &Path) -> Vec<PathBuf> {
    let checkouts = current.ancestors().chain(executable.ancestors());
    checkouts.map(|folder| folder.join("tools/tune")).chain([PathBuf::from(INSTALLED)]).collect()
}

/// Where a Python with PyTorch may be: where the error above has it made, where `make tune` does, then the system's.
fn pythons(cache: &Path, executable: &Path) -> Vec<PathBuf> {
    let target = executable.parent().and_then(Path::parent);
    let made = target.map(|target| target.join("agentd-cache/tune/bin/python"));
    [Some(cache.join("python/bin/python")), made].into_iter().flatten().collect()
}

impl Trainer {
    /// Finds the trainer and its Python, unless they are given. `cache` is where this command keeps its things.
    pub fn find(
        folder: Option<&Path>,
        python: Option<&Path>,
        cache: &Path,
    ) -> Result<Self, TrainerError> {
        let executable = std::env::current_exe().unwrap_or_default();
        let places = match folder {
            Some(folder) => vec![folder.to_owned()],
            None => folders(&std::env::current_dir().unwrap_or_default(), &executable),
        };
        let folder = places.iter().find(|folder| folder.join("train.py").is_file()).cloned();
        let looked = || {
            let shown = [places.first(), places.last()].map(|p| p.map(|p| p.display().to_string()));
            let mut shown: Vec<String> = shown.into_iter().flatten().collect();
            shown.dedup();
            TrainerError::Missing(shown.join(" and "))
        };
        let folder = folder.ok_or_else(looked)?;
        let found = || pythons(cache, &executable).into_iter().find(|python| python.is_file());
        let python = python.map(Path::to_owned).or_else(found).unwrap_or("python3".into());
        Ok(Self { folder, python })
    }

    /// Checks that Python has what training needs.
    pub async fn check(&self, cache: &Path) -> Result<(), TrainerError> {
        let tried = Command::new(&self.python).args(["-c", NEEDED]).output().await;
        let problem = match tried {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                said.lines().last().unwrap_or("it failed").to_owned()
            }
            Err(error) => error.to_string(),
        };
        Err(TrainerError::Python {
            python: self.python.display().to_string(),
            problem,
            venv: cache.join("python").display().to_string(),
            requirements: self.folder.join("requirements.txt").display().to_string(),
        })
    }

    /// Writes toolsets of other machines.
    pub async fn generate(
        &self,
        seed: u64,
        toolsets: usize,
        pairs: usize,
        out: &Path,
    ) -> Result<(), TrainerError> {
        let (seed, toolsets, pairs) = (seed.to_string(), toolsets.to_string(), pairs.to_string());
        let mut command = self.program("generate.py");
        command
            .args(["--seed", &seed, "--toolsets", &toolsets, "--pairs", &pairs, "--out"])
            .arg(out);
        run(command, "generate.py").await
    }

    /// Trains, or goes on where it was stopped. Its progress goes to standard error.
    pub async fn train(&self, training: &Training<'_>) -> Result<(), TrainerError> {
        let mut command = self.program("train.py");
        for (option, value) in [
            ("--model", training.model),
            ("--lessons", training.lessons),
            ("--check", training.check),
            ("--from", training.from),
            ("--out", training.run),
        ] {
            command.arg(option).arg(value);
        }
        let steps = training.steps;
        for (option, value) in [
            ("--steps", steps.to_string()),
            ("--seed", training.seed.to_string()),
            ("--rate", RATE.to_owned()),
            ("--warmup", (steps / 15).clamp(1, 20).to_string()),
            ("--decay", (steps / 3).max(1).to_string()),
            ("--every", (steps / 6).clamp(1, 50).to_string()),
        ] {
            command.args([option, &value]);
        }
        run(command, "train.py").await
    }

    /// Writes what lies so far on the way from the adapter that a training began with to the one that it ended with: it
    /// knows most of what was learnt, and has forgotten less.
    pub async fn average(
        &self,
        model: &Path,
        ends: [&Path; 2],
        share: f64,
        out: &Path,
    ) -> Result<(), TrainerError> {
        let mut command = self.program("average.py");
        command.arg("--model").arg(model).args(ends).arg("--out").arg(out);
        command.args(["--shares", &share.to_string()]);
        run(command, "average.py").await
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        // -B: the folder may belong to root.
        command.arg("-B").arg(self.folder.join(name)).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// Runs a program; what it prints is progress, and standard output is for the result.
async fn run(mut command: Command, what: &'static str) -> Result<(), TrainerError> {
    let start = |error| TrainerError::Start(what.to_owned(), error);
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(start)?;
    let status = command.stdout(Stdio::from(stderr)).status().await.map_err(start)?;
    if status.success() { Ok(()) } else { Err(TrainerError::Failed { what, status }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trainer_is_found_in_the_checkout_before_the_installed_one() {
        let places =
            folders(Path::new("/home/a/agentd/configs"), Path::new("/b/target/release/agentd"));
        let at = |path: &str| places.iter().position(|place| place == Path::new(path)).expect(path);
        assert!(at("/home/a/agentd/tools/tune") < at("/b/tools/tune"));
        assert_eq!(at(INSTALLED), places.len() - 1);
        let pythons = pythons(Path::new("/c"), Path::new("/b/target/release/agentd"));
        assert_eq!(pythons[0], Path::new("/c/python/bin/python"));
        assert_eq!(pythons[1], Path::new("/b/target/agentd-cache/tune/bin/python"));
    }

    #[test]
    fn a_folder_without_a_trainer_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let error =
            Trainer::find(Some(folder.path()), None, folder.path()).expect_err("it is empty");
        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
        std::fs::write(folder.path().join("train.py"), "").expect("written");
        let found = Trainer::find(Some(folder.path()), Some(Path::new("/p")), folder.path());
        let expected = Trainer { folder: folder.path().to_owned(), python: "/p".into() };
        assert_eq!(found.expect("it is there"), expected);
    }

    #[tokio::test]
    async fn a_python_without_torch_is_told_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let trainer = Trainer { folder: "/t".into(), python: "/bin/false".into() };
        let error = trainer.check(folder.path()).await.expect_err("it fails").to_string();
        let venv = folder.path().join("python").display().to_string();
        for part in [&format!("python3 -m venv {venv}"), "/t/requirements.txt", "/bin/false"] {
            assert!(error.contains(part), "{error}");
        }
        let missing = Trainer { python: "/nowhere/python".into(), ..trainer };
        assert!(missing.check(folder.path()).await.is_err());
    }
}
