//! `goldcrest serve`: the server, until it is told to stop.

use std::io::{ErrorKind, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use goldcrest_server::{AnonymousSettings, AttachSettings, MqttSettings, Server, Settings, TlsSettings};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::Result;
use crate::context::Context;
use crate::failure::Failure;

/// Options of `serve`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("tls_address").multiple(true))]
pub struct Args {
    /// Folder of the database and the objects; made when it is not there
    #[arg(long, value_name = "DIR", default_value = "./goldcrest-data")]
    data: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8700")]
    listen: SocketAddr,
    /// Address to listen on besides for boards only: nothing can be managed there
    #[arg(long, value_name = "ADDRESS")]
    boards: Option<SocketAddr>,
    /// Address of HTTPS: the same as --listen, over TLS
    #[arg(long, value_name = "ADDRESS", group = "tls_address", requires = "tls_cert", requires = "tls_key")]
    https: Option<SocketAddr>,
    /// Address of HTTPS for boards only
    #[arg(long, value_name = "ADDRESS", group = "tls_address", requires = "tls_cert", requires = "tls_key")]
    boards_https: Option<SocketAddr>,
    /// Seconds between two check-ins of a board
    #[arg(long, value_name = "SECONDS", default_value_t = goldcrest_server::DEFAULT_POLL_S, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    poll: u32,
    /// Folder of git repositories that feeds may be made of (goldcrest feed); can be given several times
    #[arg(long, value_name = "DIR")]
    git_root: Vec<PathBuf>,
    /// Address for MQTT; without it 127.0.0.1:1883, if that is free
    #[arg(long, value_name = "ADDRESS")]
    mqtt: Option<SocketAddr>,
    /// Speak MQTT over WebSocket only (on the address of --listen)
    #[arg(long, conflicts_with = "mqtt")]
    no_mqtt: bool,
    /// Address for MQTT over TLS
    #[arg(long, value_name = "ADDRESS", group = "tls_address", requires = "tls_cert", requires = "tls_key")]
    mqtt_tls: Option<SocketAddr>,
    /// PEM file of the certificate, then of those that signed it
    #[arg(long, value_name = "FILE", requires = "tls_address")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key
    #[arg(long, value_name = "FILE", requires = "tls_address")]
    tls_key: Option<PathBuf>,
    /// Let MQTT clients without a token into this project (made if it is not there), to all topics but Goldcrest's own
    #[arg(long, value_name = "PROJECT")]
    mqtt_anonymous_project: Option<String>,
    /// A filter that they may not subscribe to; can be given several times
    #[arg(long, value_name = "FILTER", requires = "mqtt_anonymous_project")]
    mqtt_anonymous_deny: Vec<String>,
    /// Connected boards of ThingsBoard that are told of a release within a minute
    #[arg(long, value_name = "BOARDS", default_value_t = goldcrest_server::DEFAULT_THINGSBOARD_PER_MINUTE)]
    thingsboard_pace: usize,
    /// A broker to attach to, mqtt://user:password@host:port: boards that use it are told there, and heard
    #[arg(long, value_name = "URL", env = "GOLDCREST_ATTACH", hide_env_values = true)]
    attach: Option<String>,
    /// PEM file of the certificates that the broker's own is signed by, for mqtts://
    #[arg(long, value_name = "FILE", requires = "attach")]
    attach_ca: Option<PathBuf>,
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
    settings.boards_listen = args.boards;
    settings.https = tls_settings(args, args.https);
    settings.boards_https = tls_settings(args, args.boards_https);
    settings.poll_s = args.poll;
    settings.git_roots.clone_from(&args.git_root);
    settings.mqtt = mqtt_settings(args)?;
    settings.thingsboard_per_minute = args.thingsboard_pace;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::failed(format!("cannot start the runtime: {e}")))?;
    runtime.block_on(serve(settings, args, context))
}

/// Where MQTT is spoken when nothing else is said.
const DEFAULT_MQTT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1883);

fn tls_settings(args: &Args, address: Option<SocketAddr>) -> Option<TlsSettings> {
    let (certificate, key) = (args.tls_cert.clone()?, args.tls_key.clone()?);
    Some(TlsSettings { listen: address?, certificate, key })
}

fn mqtt_settings(args: &Args) -> Result<MqttSettings> {
    // Not by the option's own parser, which shows what it refuses: a password stands in it.
    let attach = args.attach.as_deref().map(AttachSettings::parse).transpose().map_err(Failure::usage)?;
    let anonymous = args.mqtt_anonymous_project.as_ref();
    Ok(MqttSettings {
        listen: args.mqtt.or_else(|| (!args.no_mqtt).then_some(DEFAULT_MQTT)),
        may_be_taken: args.mqtt.is_none(),
        tls: tls_settings(args, args.mqtt_tls),
        anonymous: anonymous
            .map(|project| AnonymousSettings { project: project.clone(), denied: args.mqtt_anonymous_deny.clone() }),
        attach: attach.map(|broker| AttachSettings { ca: args.attach_ca.clone(), ..broker }),
    })
}

async fn serve(settings: Settings, args: &Args, context: &Context) -> Result<()> {
    let failed = |e: anyhow::Error| Failure::chain(&e);
    let server = Server::bind(settings).await.map_err(|e| bind_failure(&e))?;
    let url = format!("http://{}", server.local_addr());
    let token = server.new_admin_token().map(str::to_owned);
    let boards = server.boards_addr().map(|address| format!("http://{address}"));
    let mqtt = server.mqtt_addr().map(|address| format!("mqtt://{address}"));
    let mqtt_tls = server.mqtt_tls_addr().map(|address| format!("mqtts://{address}"));
    let https = server.https_addr().map(|address| format!("https://{address}"));
    let boards_https = server.boards_https_addr().map(|address| format!("https://{address}"));
    let result = json!({"url": url, "https": https, "boards": boards, "boards_https": boards_https, "mqtt": mqtt, "mqtt_tls": mqtt_tls, "data": args.data, "admin_token": token});
    let taken = server.mqtt_taken();
    context.output.result(&result, || {
        let mut text = format!("server    {url}\ndata      {}\n", args.data.display());
        if let Some(url) = &https {
            text += &format!("https     {url}\n");
        }
        for url in boards.iter().chain(&boards_https) {
            text += &format!("boards    {url}\n");
        }
        for url in mqtt.iter().chain(&mqtt_tls) {
            text += &format!("mqtt      {url}\n");
        }
        if let Some(address) = taken {
            text += &format!("mqtt      not on {address}: another program is there; --mqtt takes another address\n");
        }
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
        Some(ErrorKind::AddrInUse) if failure.message.contains("MQTT") => {
            failure.hint("is a broker running there? --mqtt and --mqtt-tls take other addresses")
        }
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
