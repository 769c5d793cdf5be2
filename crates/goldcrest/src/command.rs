//! One file per command; this one only hands each command to its file.

pub(crate) mod channel;
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod device;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod feed;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod keygen;
pub(crate) mod login;
pub(crate) mod migrate;
pub(crate) mod pack;
pub(crate) mod publish;
pub(crate) mod release;
pub(crate) mod rollout;
pub(crate) mod serve;
mod show;
pub(crate) mod token;
pub(crate) mod verify;

use crate::Result;
use crate::cli::Command;
use crate::context::Context;

/// Runs the command.
pub(crate) fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Init(args) => init::run(&args, context),
        Command::Keygen(args) => keygen::run(&args, context),
        Command::Pack(args) => pack::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
        Command::Publish(args) => publish::run(&args, context),
        Command::Release(action) => release::run(action, context),
        Command::Channel(action) => channel::run(action, context),
        Command::Device(action) => device::run(action, context),
        Command::Feed(action) => feed::run(action, context),
        Command::Demo(args) => demo::run(&args, context),
        Command::Deploy(args) => deploy::run(&args, context),
        Command::Rollout(action) => rollout::run(action, context),
        Command::Export(args) => export::run(&args, context),
        Command::Import(args) => import::run(&args, context),
        Command::Migrate(args) => migrate::run(&args, context),
        Command::Token(action) => token::run(action, context),
        Command::Login(args) => login::run(&args, context),
        Command::Serve(args) => serve::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
    }
}
