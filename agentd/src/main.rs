//! The `agentd` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    agentd::cli::main()
}
