//! What can go wrong on the way to the daemon, and what to do about it.

use super::Target;
use crate::command::Outcome;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a path nor an address.
    #[error(
        "`{text}` is neither the path of a socket nor an address such as http://127.0.0.1:8080"
    )]
    Target {
        /// What was given.
        text: String,
    },
    /// Nobody answers there.
    #[error("no agentd is listening on {target}: start it with `agentd run`, or name its socket")]
    NotListening {
        /// Where.
        target: Target,
    },
    /// The caller may not open the socket.
    #[error("you may not use {target}: run as root or as a member of the group that owns it")]
    NotAllowed {
        /// Where.
        target: Target,
    },
    /// The connection cannot be made.
    #[error("agentd on {target} cannot be reached")]
    Connect {
        /// Where.
        target: Target,
        /// The system's error.
        source: std::io::Error,
    },
    /// The connection broke. What became of a command is asked for by its id.
    #[error("the connection to agentd on {target} broke before the answer was complete")]
    Broken {
        /// Where.
        target: Target,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The command is stored and goes on, but the daemon no longer keeps the caller waiting.
    #[error("`{id}` has not ended yet; ask again with the same id")]
    NotYet {
        /// The command's id.
        id: String,
        /// The outcome so far.
        so_far: Option<Box<Outcome>>,
    },
    /// The daemon said no.
    #[error("agentd refused: {message} ({code})")]
    Refused {
        /// A stable code.
        code: String,
        /// Why, and what to do.
        message: String,
    },
    /// Something else than agentd answers there, or another version of it.
    #[error("what answers on {target} is not understood ({why}): is it this version of agentd?")]
    NotUnderstood {
        /// Where.
        target: Target,
        /// What was wrong.
        why: String,
    },
}
