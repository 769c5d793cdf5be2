//! `goldcrest login`: checks a token and stores it with its server.

use std::io::{self, IsTerminal};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;

use crate::Result;
use crate::client::{Client, Server};
use crate::clock::utc;
use crate::context::Context;
use crate::failure::Failure;

/// Options of `login`. The token comes from --token, `GOLDCREST_TOKEN`, or standard input.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The token comes from --token, GOLDCREST_TOKEN or standard input, so that it need not stand in the\nshell's history:  goldcrest login http://127.0.0.1:8700 < goldcrest-data/admin.token"
)]
pub struct Args {
    /// Address of the server [default: --server, or the project's]
    url: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let server = match &args.url {
        Some(url) => Server::parse(url)?,
        None => context.server()?,
    };
    let token = match &context.globals.token {
        Some(token) => token.trim().to_owned(),
        None => ask(&server, context)?,
    };
    if token.is_empty() {
        return Err(Failure::usage("the token is empty")
            .hint("goldcrest serve prints the admin token at its first start, and keeps it in DATA/admin.token"));
    }
    let who = Client::new(server.clone(), Some(token.clone())).get("/api/v1/whoami")?;
    let home = Context::config_home()?;
    let mut credentials = context.credentials()?;
    credentials.set(&server, token);
    credentials.save(&home)?;
    context.output.result(&json!({"server": server.as_str(), "project": who["project"], "token": who["token"], "expires_ms": who["expires_ms"]}), || {
        let until = who["expires_ms"].as_u64().map_or_else(String::new, |ms| format!(", valid until {} UTC", utc(ms)));
        let name = |key: &str| super::show::field(&who, key);
        format!("logged in to {server} as {} of project {}{until}\n", name("token"), name("project"))
    });
    Ok(())
}

fn ask(server: &Server, context: &Context) -> Result<String> {
    let mut hidden = None;
    if io::stdin().is_terminal() {
        if context.globals.no_input {
            return Err(Failure::usage("no token was given").hint("goldcrest login --token TOKEN, or pipe it in"));
        }
        hidden = Hidden::begin();
        let shown = if hidden.is_some() { "it is not shown while you type" } else { "it is shown while you type" };
        context.output.note(&format!("token for {server} ({shown}):"));
    }
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    drop(hidden);
    read.map_err(|e| Failure::failed(format!("cannot read the token: {e}")))?;
    Ok(line.trim().to_owned())
}

/// A terminal that does not show what is typed, as long as the value lives.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Option<Hidden> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).ok()?;
        Some(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that went away has nobody left to show anything to.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
