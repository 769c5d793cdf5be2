//! `goldcrest token`: API tokens for people and CI.

use serde_json::{Value, json};

use super::show::{field, list};
use crate::Result;
use crate::client::encode;
use crate::clock::utc;
use crate::context::Context;

/// Commands of `token`.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make a token; it is shown this once
    Create {
        /// What it is for, for example ci
        name: String,
        /// How long it is valid: 90d, 12h, 30m, 45s [default: until it is removed]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Option<u64>,
    },
    /// List the tokens, without their secrets
    #[command(visible_alias = "ls")]
    List,
    /// Remove a token: it stops working at once
    Rm {
        /// Name of the token
        name: String,
    },
}

pub(crate) fn run(action: Action, context: &Context) -> Result<()> {
    let client = context.client()?;
    match action {
        Action::Create { name, expires } => {
            let mut body = json!({"name": name});
            if let Some(seconds) = expires {
                body["expires_in_s"] = json!(seconds);
            }
            let answer = client.call("POST", "/api/v1/tokens", &body)?;
            context.output.note("the token is shown this once:");
            context.output.result(&answer, || field(&answer, "token") + "\n");
        }
        Action::List => {
            let answer = client.get("/api/v1/tokens")?;
            context.output.result(&answer, || {
                let expires = |t: &Value| t["expires_ms"].as_u64().map_or_else(|| "never".to_owned(), utc);
                list(&answer["tokens"], &["NAME", "EXPIRES (UTC)"], |t| vec![field(t, "name"), expires(t)], "no tokens")
            });
        }
        Action::Rm { name } => {
            context.confirm(&format!("remove the token {name}? whoever uses it is locked out"))?;
            client.act("DELETE", &format!("/api/v1/tokens/{}", encode(&name)))?;
            context.output.result(&json!({"removed": name}), || format!("removed {name}\n"));
        }
    }
    Ok(())
}

/// Seconds of `90d`, `12h`, `30m`, `45s` or a plain number.
pub(crate) fn duration(text: &str) -> std::result::Result<u64, String> {
    let (number, unit) = match text.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
        Some((at, _)) => text.split_at(at),
        None => (text, "s"),
    };
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("write it as 45s, 30m, 12h or 90d".to_owned()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|s| *s > 0);
    seconds.ok_or_else(|| "write it as 45s, 30m, 12h or 90d".to_owned())
}
