//! Everything the `goldcrest` program does, as functions: the demo and the end-to-end tests call the same code.

#![allow(
    clippy::format_push_string,
    reason = "texts for people are built line by line; `write!` would add an error that cannot happen"
)]
#![allow(clippy::similar_names, reason = "a compiler makes something compiled, a keyring holds a key")]

pub mod board_files;
mod bridge;
mod checkout;
pub mod cli;
pub mod client;
mod clock;
mod command;
mod context;
pub mod credentials;
mod export;
pub mod failure;
mod foreign;
mod import;
pub mod keys;
pub mod mpy_cross;
pub mod output;
pub mod pack;
mod progress;
pub mod project;
pub mod webboard;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Runs one command line (the first item is the program's name) and returns the code to exit with.
///
/// Codes: 0 done; 1 failed; 2 wrong usage; 3 not found; 4 not logged in or not allowed; 5 server or device out of
/// reach; 6 verification failed; 7 rollout halted.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match cli::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(answer) => {
            let code = if answer.use_stderr() { Exit::Usage.code() } else { 0 };
            // Help goes to stdout, a usage error to stderr; when neither can be written there is nobody to tell.
            let _ = answer.print();
            return ExitCode::from(code);
        }
    };
    let output = Output::new(&cli.globals);
    let outcome = command::run(cli.command, &Context::new(cli.globals, output));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}

/// What every command returns.
pub type Result<T> = std::result::Result<T, Failure>;
