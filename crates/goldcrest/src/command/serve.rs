//! `goldcrest serve`: the server, until it is told to stop.

use std::io::{ErrorKind, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use goldcrest_server::{Server, Settings};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::Result;
use crate::context::Context;
use crate::failure::Failure;

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the database and the objects; made when it is not there
    #[arg(long, value_name = "DIR", default_value = "./goldcrest-data")]
    data: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8700")]
    listen: SocketAddr,
    /// Seconds between two check-ins of a board
    #[arg(long, value_name = "SECONDS", default_value_t = goldcrest_server::DEFAULT_POLL_S, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    poll: u32,
    /// Form of the log on stderr; what is logged: RUST_LOG, for example goldcrest_server=debug
    #[arg(long, value_enum, default_value_t = Log::Text)]
    #[expect(clippy::doc_markdown, reason = "shown in --help as it is")]
    log: Log,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    start_log(args.log);
    let mut settings = Settings::new(args.data.clone(), args.listen);
    settings.poll_s = args.poll;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::failed(format!("cannot start the runtime: {e}")))?;
    runtime.block_on(serve(settings, args, context))
}

async fn serve(settings: Settings, args: &Args, context: &Context) -> Result<()> {
    let failed = |e: anyhow::Error| Failure::chain(&e);
    let server = Server::bind(settings).await.map_err(|e| bind_failure(&e))?;
    let url = format!("http://{}", server.local_addr());
    let token = server.new_admin_token().map(str::to_owned);
    context.output.result(&json!({"url": url, "data": args.data, "admin_token": token}), || {
        let mut text = format!("server    {url}\ndata      {}\n", args.data.display());
        let file = args.data.join("admin.token");
        if let Some(token) = &token {
            text += &format!("admin     {token}  (shown this once; kept in {})\n", file.display());
        }
        text += &format!("log in    goldcrest login {url} < {}\n", file.display());
        text + "stop      Ctrl-C\n"
    });
    let shutdown = CancellationToken::new();
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(e), _) | (_, Err(e)) => return Err(Failure::failed(format!("cannot wait for signals: {e}"))),
    };
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.cancel();
    });
    server.run(shutdown).await.map_err(failed)
}

fn bind_failure(why: &anyhow::Error) -> Failure {
    let kind = why.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let failure = Failure::chain(why);
    match kind {
        Some(ErrorKind::AddrInUse) => failure.hint("is another server running there? --listen takes another address"),
        Some(ErrorKind::AddrNotAvailable) => failure.hint("--listen takes an address of this machine"),
        Some(ErrorKind::PermissionDenied) => failure.hint("ports below 1024 and foreign folders need more rights"),
        _ => failure,
    }
}

fn start_log(form: Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match form {
        Log::Json => builder.json().init(),
        Log::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}
