//! `DATA/goldcrest`: a script that runs this program with the demo's login and compiler, so that the user's own stay untouched.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::Result;
use crate::failure::Failure;
use crate::mpy_cross;

/// Name of the script in the demo's folder.
pub(super) const NAME: &str = "goldcrest";

/// Writes the script anew: the program may have moved since an earlier demo.
pub(super) fn write(data: &Path) -> Result<()> {
    let program = std::env::current_exe().map_err(|e| Failure::failed(format!("cannot find this program: {e}")))?;
    let mut text = String::from("#!/bin/sh\n# goldcrest, logged in to the server of this demo.\n");
    text += &format!("export XDG_CONFIG_HOME={}\n", quoted(&data.join("config")));
    if let Some(compiler) = std::env::var_os(mpy_cross::VARIABLE).filter(|name| !name.is_empty()) {
        // A relative name is relative to where the demo was started; a bare one is looked up along PATH.
        let named = Path::new(&compiler);
        let absolute = if named.components().count() > 1 { std::path::absolute(named).ok() } else { None };
        text += &format!("export MPY_CROSS={}\n", quoted(absolute.as_deref().unwrap_or(named)));
    }
    text += "unset GOLDCREST_SERVER GOLDCREST_TOKEN GOLDCREST_SIGNING_KEY\n";
    text += &format!("exec {} \"$@\"\n", quoted(&program));
    let path = data.join(NAME);
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| Failure::file("write", &path, &e))
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
