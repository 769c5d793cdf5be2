//! The command line: the global options and the list of commands. The options of a command are in its own file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::command;

const AFTER_HELP: &str = "\
First update:  goldcrest init, keygen, serve (in a second terminal), login, device add, deploy.
Something odd? goldcrest doctor

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not logged in or not allowed,
5 server or device out of reach, 6 verification failed, 7 rollout halted, 130 interrupted.";

/// Over-the-air updates for fleets of `MicroPython` boards: pack, sign, publish, roll out, watch.
#[derive(Debug, Parser)]
#[command(
    name = "goldcrest",
    version,
    about = "Over-the-air updates for fleets of MicroPython boards: pack, sign, publish, roll out, watch"
)]
#[command(long_about = None, after_help = AFTER_HELP, max_term_width = 110, subcommand_required = true, arg_required_else_help = true, disable_help_flag = true)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes, before or after its name.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option without a value")]
pub struct Globals {
    /// Server to talk to
    #[arg(
        short,
        long,
        help = "Server to talk to, for example http://127.0.0.1:8700",
        global = true,
        env = "GOLDCREST_SERVER",
        value_name = "URL",
        hide_env_values = true
    )]
    pub server: Option<String>,
    /// API token, instead of the one that `goldcrest login` stored
    #[arg(long, global = true, env = "GOLDCREST_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Folder of the project, instead of the nearest one upwards with a goldcrest.toml
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more about what is done
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print the result as one JSON object (one per line while waiting)
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Never ask: a question without --yes is an error
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Print help
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Every command; one file each under `command/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a project: goldcrest.toml, main.py, .gitignore
    Init(command::init::Args),
    /// Make, rotate or revoke the keys that releases are signed with
    Keygen(command::keygen::Args),
    /// Build a release file from the project, without sending it
    Pack(command::pack::Args),
    /// Check a release file: form, signature, every object
    Verify(command::verify::Args),
    /// Pack, sign and upload a release
    Publish(command::publish::Args),
    /// List, show or download releases
    #[command(subcommand)]
    Release(command::release::Action),
    /// List channels, or point one at another release
    #[command(subcommand)]
    Channel(command::channel::Action),
    /// Add, list, change or remove devices
    #[command(subcommand)]
    Device(command::device::Action),
    /// Open packages to boards that run the client of another system
    #[command(subcommand)]
    Feed(command::feed::Action),
    /// Publish the project and roll it out to its devices, canaries first
    Deploy(command::deploy::Args),
    /// Follow, halt or resume rollouts
    #[command(subcommand)]
    Rollout(command::rollout::Action),
    /// Write a folder that any web server can serve to boards
    Export(command::export::Args),
    /// Take over what a fleet has today on another system
    Import(command::import::Args),
    /// Make the last update of an old updater: it installs our agent
    Migrate(command::migrate::Args),
    /// Make, list or remove API tokens
    #[command(subcommand)]
    Token(command::token::Action),
    /// Store a server and its token for later commands
    Login(command::login::Args),
    /// Show it all on virtual boards: an update, and one that goes wrong
    Demo(command::demo::Args),
    /// Run the server
    Serve(command::serve::Args),
    /// Check the tools, the keys, the server and the project, and say what to do next
    Doctor(command::doctor::Args),
}

#[cfg(test)]
mod tests {
    //! The command line is consistent in itself.

    #[test]
    fn every_option_is_declared_without_conflict() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
