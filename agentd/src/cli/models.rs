//! `agentd model`: the catalogue, and what of it is installed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::bench::{self, BenchArgs};
use super::{BAD_DATA, NO_INPUT, UNAVAILABLE, chain, fail};
use crate::model::bar::Bar;
use crate::model::catalog::{Catalog, Entry};
use crate::model::config::default_dir;
use crate::model::gguf::Header;
use crate::model::pull::{self, Pulled};
use crate::model::tuned;
use crate::model::variant::{self, Board};

#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum ModelCommand {
    /// Install a model of the catalogue: resumes, verifies, and installs whole or not at all
    #[command(after_help = "Examples:\n  agentd model pull\n  \
                            agentd model pull smollm2-135m-instruct --dir ./models\n\n\
                            Of a model that has several quantisations the one for this board is installed;\n\
                            its own name asks for another one (`agentd model list`).")]
    Pull(Which),
    /// List the catalogue and what is installed
    List {
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check an installed model against its hash, or any GGUF file for being whole
    #[command(
        after_help = "Examples:\n  agentd model verify\n  agentd model verify ./my-model.gguf"
    )]
    Verify(Which),
    /// Measure a model on this board: load, prompt, answer, a command, memory
    Bench(BenchArgs),
    /// Remove an installed model
    #[command(after_help = "Example:\n  agentd model rm smollm2-135m-instruct")]
    Rm(Which),
}

/// Which model.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Which {
    /// The model's name (`agentd model list`); default: the catalogue's default
    name: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Where models are.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// The folder of the models
    #[arg(long, value_name = "DIR", env = "AGENTD__MODEL__DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(default_dir)
    }
}

pub(super) fn run(command: &ModelCommand, runtime: &Runtime) -> ExitCode {
    match command {
        ModelCommand::Pull(which) => with_entry(which, For::Installing, pull),
        ModelCommand::List { place, json } => list(&place.dir(), *json),
        ModelCommand::Verify(which) => {
            let file = which.name.as_ref().map(PathBuf::from).filter(|path| path.is_file());
            file.map_or_else(|| with_entry(which, For::Using, verify), |path| verify_file(&path))
        }
        ModelCommand::Bench(args) => runtime.block_on(bench::run(args)),
        ModelCommand::Rm(which) => with_entry(which, For::Using, rm),
    }
}

/// What a model is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Installing,
    Using,
}

fn with_entry(
    which: &Which,
    purpose: For,
    act: impl FnOnce(&Entry, &Path) -> ExitCode,
) -> ExitCode {
    let dir = which.place.dir();
    let catalog = match Catalog::load(&dir) {
        Ok(catalog) => catalog,
        Err(error) => return fail(BAD_DATA, &chain(&error)),
    };
    let Some(name) = which.name.as_deref() else { return act(catalog.default_entry(), &dir) };
    let entry = match purpose {
        For::Installing => catalog.wanted(name),
        For::Using => catalog.entry(name, &dir),
    };
    match entry {
        Ok(entry) => {
            if purpose == For::Installing && entry.name != name {
                println!("This board ({}) gets {} of {name}.", Board::here(), entry.quantisation);
            }
            act(entry, &dir)
        }
        Err(error) => fail(NO_INPUT, &chain(&error)),
    }
}

fn rm(entry: &Entry, dir: &Path) -> ExitCode {
    if let Err(error) = pull::rm(entry, dir) {
        return fail(NO_INPUT, &chain(&error));
    }
    if let Err(error) = tuned::remove(dir, entry) {
        let path = tuned::path(dir, entry);
        return fail(UNAVAILABLE, &format!("{} cannot be removed: {error}", path.display()));
    }
    say(&format!("{} is removed.", entry.name))
}

fn say(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

fn pull(entry: &Entry, dir: &Path) -> ExitCode {
    let bar = Bar::default();
    let pulled = pull::pull(entry, dir, &bar);
    let tuned = pulled.is_ok().then(|| tuned::make(dir, entry, &bar));
    drop(bar);
    match pulled {
        Ok(Pulled::Installed(path)) => {
            println!("{} is installed: {}", entry.name, path.display());
        }
        Ok(Pulled::AlreadyThere(path)) => {
            println!("{} is installed already: {}", entry.name, path.display());
        }
        Err(error) => return fail(UNAVAILABLE, &chain(&error)),
    }
    match tuned {
        Some(Ok(Some(path))) => say(&format!("It is tuned for calls: {}", path.display())),
        // It works without, only more slowly.
        Some(Err(error)) => say(&format!(
            "It is used without a tuned file, which could not be made: {}",
            chain(&error)
        )),
        Some(Ok(None)) | None => ExitCode::SUCCESS,
    }
}

fn list(dir: &Path, json: bool) -> ExitCode {
    let catalog = match Catalog::load(dir) {
        Ok(catalog) => catalog,
        Err(error) => return fail(BAD_DATA, &chain(&error)),
    };
    let rows = pull::list(&catalog, dir);
    if json {
        return say(&serde_json::json!(rows).to_string());
    }
    let board = Board::here();
    for row in rows {
        let (entry, mib) = (&row.entry, row.entry.bytes / (1024 * 1024));
        let state = if row.path.is_some() { "installed" } else { "-" };
        let family = entry.variant_of.as_deref();
        let chosen = family.and_then(|name| variant::choose(&catalog.variants(name), &board));
        let mark = match (family, chosen.is_some_and(|chosen| chosen.name == entry.name)) {
            (Some(name), true) => format!("  {name}, the one for this board"),
            (Some(name), false) => format!("  {name}"),
            (None, _) => String::new(),
        };
        println!(
            "{:<28} {mib:>5} MiB  {:<6} {state:<10} {}{mark}",
            entry.name, entry.quantisation, entry.licence
        );
    }
    say(&format!("Models are in {}", dir.display()))
}

fn verify(entry: &Entry, dir: &Path) -> ExitCode {
    let bar = Bar::default();
    let verified = pull::verify(entry, dir, &bar);
    drop(bar);
    match verified {
        Ok(Ok(path)) => say(&format!("{} is whole: {}", entry.name, path.display())),
        Ok(Err(what)) => fail(
            BAD_DATA,
            &format!(
                "{} is not the catalogue's file: {what}; remove it and pull it again",
                entry.name
            ),
        ),
        Err(error) => fail(NO_INPUT, &chain(&error)),
    }
}

fn verify_file(path: &Path) -> ExitCode {
    match Header::read(path) {
        Ok(header) => say(&format!("{}: {}", path.display(), summary(&header))),
        Err(error) => fail(BAD_DATA, &format!("{}: {}", path.display(), chain(&error))),
    }
}

/// What a header tells, in one line.
pub fn summary(header: &Header) -> String {
    let unknown = || "unknown".to_owned();
    format!(
        "{}, architecture {}, {}, context {} tokens, {} MiB",
        header.name.clone().unwrap_or_else(unknown),
        header.architecture.clone().unwrap_or_else(unknown),
        header.quantisation.clone().unwrap_or_else(unknown),
        header.context_length.map_or_else(unknown, |n| n.to_string()),
        header.needs_bytes / (1024 * 1024),
    )
}
