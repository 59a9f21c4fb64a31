//! All tools of one daemon, by name: what the rest of the daemon sees of this crate.
//!
//! The declarations are checked as a whole before anything is opened. Opening touches the database
//! and no device: a board that is not plugged in is no reason not to start.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::args::{self, ArgError, ArgErrors};
use crate::near::nearest;
use crate::note::Note;
use crate::port::{PortHandle, PortState, PortTask};
use crate::publish::Publish;
use crate::serial::Serial;
use crate::spec::{EffectKind, Kind};
use crate::sql::Sql;
use crate::template::{Template, plain};
use crate::{Args, Failure, Output, ReadBack, SerialSpec, SpecError, Tool, ToolError, ToolSpec};

/// How much of each value a generic reply shows, in characters.
const SHOWN_CHARS: usize = 200;

/// The tools. Cheap to clone.
#[derive(Clone)]
pub struct Toolbox(Arc<Inner>);

struct Inner {
    tools: IndexMap<String, Opened>,
    ports: IndexMap<String, PortHandle>,
}

struct Opened {
    tool: Box<dyn Tool>,
    reply: Option<Template>,
    reply_none: Option<Template>,
}

/// Why the toolbox does not open: all mistakes at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ToolboxError {
    /// In the order of the file; never empty.
    pub mistakes: Vec<Mistake>,
}

/// A mistake and the section that has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[[{section}]] `{name}`: {error}")]
pub struct Mistake {
    /// `tool` or `serial`.
    pub section: &'static str,
    /// Which of these sections, counted from 0.
    pub index: usize,
    /// The section's `name`.
    pub name: String,
    /// The mistake.
    pub error: SpecError,
}

/// Checks all declarations, without opening anything: the mistakes that need no database to be found.
pub fn check(tools: &[ToolSpec], ports: &[SerialSpec]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let twice = |seen: &[&str], name: &str| {
        seen.contains(&name).then(|| SpecError::new("name", "is taken by a section before it"))
    };
    let mut port_names: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let errors = port.check().into_iter().chain(twice(&port_names, &port.name));
        let name = &port.name;
        mistakes.extend(errors.map(|error| Mistake {
            section: "serial",
            index,
            name: name.clone(),
            error,
        }));
        port_names.push(name);
    }
    let mut tool_names: Vec<&str> = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let errors = tool.check(&port_names).into_iter().chain(twice(&tool_names, &tool.name));
        let name = &tool.name;
        mistakes.extend(errors.map(|error| Mistake {
            section: "tool",
            index,
            name: name.clone(),
            error,
        }));
        tool_names.push(name);
    }
    mistakes
}

impl Toolbox {
    /// Checks all declarations and opens the tools. The tasks are to be spawned by the caller; until
    /// then a call that needs a port waits. The database exists already: the store has made it.
    pub fn open(
        tools: Vec<ToolSpec>,
        ports: Vec<SerialSpec>,
        database: &Path,
    ) -> Result<(Self, Vec<PortTask>), ToolboxError> {
        let mistakes = check(&tools, &ports);
        if !mistakes.is_empty() {
            return Err(ToolboxError { mistakes });
        }
        let mut tasks = Vec::new();
        let mut handles = IndexMap::new();
        for port in ports {
            let name = port.name.clone();
            let (task, handle) = PortTask::new(port);
            tasks.push(task);
            handles.insert(name, handle);
        }
        let mut opened = IndexMap::new();
        let mut mistakes = Vec::new();
        for (index, spec) in tools.into_iter().enumerate() {
            let name = spec.name.clone();
            match Opened::new(spec, &handles, database) {
                Ok(tool) => drop(opened.insert(name, tool)),
                Err(error) => mistakes.push(Mistake { section: "tool", index, name, error }),
            }
        }
        if !mistakes.is_empty() {
            return Err(ToolboxError { mistakes });
        }
        Ok((Self(Arc::new(Inner { tools: opened, ports: handles })), tasks))
    }

    /// The declarations, in the order of the file.
    pub fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        self.0.tools.values().map(|opened| opened.tool.spec())
    }

    /// The declaration of a tool.
    pub fn get(&self, name: &str) -> Option<&ToolSpec> {
        self.0.tools.get(name).map(|opened| opened.tool.spec())
    }

    /// The tool that was perhaps meant.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.0.tools.keys().map(String::as_str))
    }

    /// Checks a call's arguments and puts them right; see [`args::check_args`].
    pub fn check_args(&self, name: &str, given: &Args) -> Result<Args, ArgErrors> {
        match self.get(name) {
            Some(spec) => args::check_args(spec, given),
            None => Err(ArgErrors(vec![ArgError::UnknownTool {
                tool: args::shorten(name),
                nearest: self.nearest(name).map(str::to_owned),
            }])),
        }
    }

    /// Runs a call whose arguments passed [`Self::check_args`], within the tool's own time and the
    /// deadline, whichever ends first.
    pub async fn run(&self, name: &str, args: &Args, deadline: Instant) -> Result<Output, Failure> {
        let Some(opened) = self.0.tools.get(name) else {
            let why = format!("there is no tool `{}`", args::shorten(name));
            return Err(ToolError::BadRequest { why }.into());
        };
        let spec = opened.tool.spec();
        // A serial exchange counts its own time from its turn, since it may wait behind others.
        let deadline = match spec.kind {
            Kind::Serial => deadline,
            _ => deadline.min(Instant::now() + spec.timeout()),
        };
        opened.tool.run(args, deadline).await
    }

    /// Asks the device whether a call took effect; see [`Tool::read_back`].
    pub async fn read_back(
        &self,
        name: &str,
        args: &Args,
        deadline: Instant,
    ) -> Result<ReadBack, Failure> {
        match self.0.tools.get(name) {
            Some(opened) => opened.tool.read_back(args, deadline).await,
            None => {
                let why = format!("there is no tool `{}`", args::shorten(name));
                Err(ToolError::BadRequest { why }.into())
            }
        }
    }

    /// The reply to the person, from what came back: `reply`, else `reply_none`, else plain words.
    pub fn reply(&self, name: &str, args: &Args, fields: &Map<String, Value>) -> String {
        let Some(opened) = self.0.tools.get(name) else { return plain_reply(name, args, fields) };
        let mut values = args.clone();
        values.extend(fields.clone());
        let render = |template: &Option<Template>| template.as_ref()?.render(&values).ok();
        render(&opened.reply).or_else(|| render(&opened.reply_none)).unwrap_or_else(|| {
            let shown = fields.values().any(|value| !value.is_null());
            match opened.tool.spec().effect() {
                EffectKind::Reads if !shown => format!("{name}: nothing was found."),
                _ => plain_reply(name, args, fields),
            }
        })
    }

    /// What is known of each port's device, by the port's name.
    pub fn port_states(&self) -> Vec<(String, watch::Receiver<PortState>)> {
        self.0.ports.iter().map(|(name, port)| (name.clone(), port.state())).collect()
    }
}

impl Opened {
    fn new(
        spec: ToolSpec,
        ports: &IndexMap<String, PortHandle>,
        database: &Path,
    ) -> Result<Self, SpecError> {
        let template = |key: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(Template::parse).transpose();
            parsed.map_err(|e| SpecError::new(key, format!("is not a template: {e}")))
        };
        let reply = template("reply", &spec.reply)?;
        let reply_none = template("reply_none", &spec.reply_none)?;
        let tool: Box<dyn Tool> = match spec.kind {
            Kind::Serial => {
                let port = spec.port.as_ref().and_then(|name| ports.get(name)).cloned();
                let port =
                    port.ok_or_else(|| SpecError::new("port", "is not a [[serial]] port"))?;
                Box::new(Serial::new(spec, port)?)
            }
            Kind::Sql => Box::new(Sql::open(spec, database)?),
            Kind::Publish => Box::new(Publish::new(spec)?),
            Kind::Note => Box::new(Note::new(spec)),
        };
        Ok(Self { tool, reply, reply_none })
    }
}

/// The reply where none is declared: the fields, or the call where there are none.
fn plain_reply(name: &str, args: &Args, fields: &Map<String, Value>) -> String {
    let list = |values: &Map<String, Value>, between: &str| {
        let shown = values.iter().filter(|(_, value)| !value.is_null() && !value.is_array());
        let shown = shown.map(|(name, value)| {
            let value: String = plain(value).chars().take(SHOWN_CHARS).collect();
            format!("{name}{between}{value}")
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    let shown = list(fields, " = ");
    if shown.is_empty() {
        format!("Done: {name}({}).", list(args, "="))
    } else {
        format!("{name}: {shown}.")
    }
}

#[cfg(test)]
mod tests;
