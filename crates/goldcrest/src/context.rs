//! What a command knows about its surroundings: options, project, user folder, server. Precedence: options, environment, files.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::Result;
use crate::cli::Globals;
use crate::client::{Client, Server};
use crate::credentials::Credentials;
use crate::failure::{Exit, Failure};
use crate::keys::KeyFolder;
use crate::output::Output;
use crate::project::Project;

/// The surroundings of one run.
pub(crate) struct Context {
    pub(crate) globals: Globals,
    pub(crate) output: Output,
}

impl Context {
    pub(crate) fn new(globals: Globals, output: Output) -> Context {
        Context { globals, output }
    }

    /// The folder to start from: `--project`, else the working directory.
    pub(crate) fn start(&self) -> Result<PathBuf> {
        match &self.globals.project {
            Some(dir) => Ok(dir.clone()),
            None => {
                std::env::current_dir().map_err(|e| Failure::failed(format!("cannot tell the working directory: {e}")))
            }
        }
    }

    /// The project, if there is one.
    pub(crate) fn find_project(&self) -> Result<Option<Project>> {
        match &self.globals.project {
            Some(dir) => Project::load(dir).map(Some),
            None => Project::find(&self.start()?),
        }
    }

    /// The project that the command is about.
    pub(crate) fn project(&self) -> Result<Project> {
        self.find_project()?.ok_or_else(|| {
            Failure::not_found("no goldcrest.toml in this folder or above it").hint("goldcrest init, or --project DIR")
        })
    }

    /// The package a command is about: the option, else the project's.
    pub(crate) fn package(&self, option: Option<&str>) -> Result<String> {
        match option {
            Some(package) => Ok(package.to_owned()),
            None => self.project().map(|p| p.name.to_string()).map_err(|f| f.hint("name the package with --package")),
        }
    }

    /// `$XDG_CONFIG_HOME/goldcrest`, else `~/.config/goldcrest`.
    pub(crate) fn config_home() -> Result<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home =
            set("XDG_CONFIG_HOME").filter(|p| p.is_absolute()).or_else(|| set("HOME").map(|h| h.join(".config")));
        home.map(|h| h.join("goldcrest")).ok_or_else(|| {
            Failure::failed("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for keys and credentials")
        })
    }

    /// Where the user's keys are.
    pub(crate) fn key_folder() -> Result<KeyFolder> {
        Ok(KeyFolder::new(Context::config_home()?.join("keys")))
    }

    /// The stored servers and tokens.
    pub(crate) fn credentials(&self) -> Result<Credentials> {
        let (credentials, warning) = Credentials::load(&Context::config_home()?)?;
        if let Some(warning) = warning {
            self.output.warn(&warning);
        }
        Ok(credentials)
    }

    /// The server to talk to: option or environment, project file, stored default.
    pub(crate) fn server(&self) -> Result<Server> {
        let from_project = || Ok::<_, Failure>(self.find_project()?.and_then(|p| p.file.server.url));
        let url = match self.globals.server.as_ref().filter(|url| !url.is_empty()) {
            Some(url) => Some(url.clone()),
            None => match from_project()? {
                Some(url) => Some(url),
                None => self.credentials()?.default,
            },
        };
        let url = url.ok_or_else(|| {
            Failure::usage("no server is named: not by --server, GOLDCREST_SERVER, goldcrest.toml or an earlier login")
                .hint("goldcrest login http://127.0.0.1:8700")
        })?;
        Server::parse(&url)
    }

    /// A client with the token for the server: option or environment, else the stored one.
    pub(crate) fn client(&self) -> Result<Client> {
        let server = self.server()?;
        let token = match self.globals.token.as_ref().filter(|token| !token.is_empty()) {
            Some(token) => Some(token.clone()),
            None => self.credentials()?.token(&server).map(str::to_owned),
        };
        let token = token.ok_or_else(|| {
            Failure::new(Exit::NotAllowed, format!("no token for {server}"))
                .named("unauthenticated")
                .hint(format!("goldcrest login {server}"))
        })?;
        Ok(Client::new(server, Some(token)))
    }

    /// Asks before something that cannot be undone. Without a terminal, only `--yes` is a yes.
    pub(crate) fn confirm(&self, question: &str) -> Result<()> {
        if self.globals.yes {
            return Ok(());
        }
        if self.globals.no_input || !std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!("there is nobody to ask: {question}")).hint("add --yes if you mean it"));
        }
        if self.output.ask(question) { Ok(()) } else { Err(Failure::failed("not confirmed: nothing was changed")) }
    }
}
