//! The other side of the contest: `micropython-ota` as it is on PyPI, and nginx.

use anyhow::{Result, anyhow};
use goldcrest::mpy_cross::{Lines, MpyCross};
use goldcrest_fleet::{Board, BoardSettings, Micropython, Tree};

use super::contest::{Contestant, Done, mpy_cross};
use super::nginx::Nginx;
use super::payload::Case;
use super::sdists::Sdists;
use crate::wire::Wire;

/// The package as it is on PyPI with what it imports: what `mip` would put on a board.
///
/// # Errors
/// When it was not fetched.
pub fn library(sdists: &Sdists) -> Result<Tree> {
    let source = std::fs::read(sdists.package("micropython-ota", "2.1.0").join("micropython_ota.py"))?;
    Ok(Tree::from([("lib/micropython_ota.py".to_owned(), source), ("lib/urequests.py".to_owned(), UREQUESTS.to_vec())]))
}

/// micropython-lib's `urequests`, which firmwares freeze beside `requests`: the name that the package asks for. `requests` itself is
/// frozen into the interpreter, as it is into stock firmware for boards with a network: it takes no heap.
const UREQUESTS: &[u8] = b"def __getattr__(attr):\n    import requests\n\n    return getattr(requests, attr)\n";

/// The package's source and its helper, compiled or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is on PyPI.
    Source,
    /// Compiled without line numbers, as our agent is.
    Bytecode,
}

/// A board that runs version 1, and an nginx that has version 2.
///
/// # Errors
/// When the board can't be made.
pub async fn prepare<'a>(
    nginx: &Nginx,
    sdists: &Sdists,
    micropython: &Micropython,
    folder: &std::path::Path,
    case: &'a Case,
    form: Form,
) -> Result<Contestant<'a>> {
    let wire = Wire::to(&nginx.url())?;
    nginx.put(&format!("{}/version", case.key), b"2")?;
    for (path, bytes) in &case.after {
        nginx.put(&format!("{}/2_{path}", case.key), bytes)?;
    }
    let mut settings = BoardSettings::new(folder, &format!("{}-{form:?}", case.key), micropython);
    settings.mpy_cross = Some(mpy_cross());
    settings.files = files(sdists, case, form, &wire.url())?;
    Board::create(settings.clone()).await?.stop().await?;
    let done = Done::Says("app 2".to_owned());
    let mut contestant = Contestant { settings, image: Vec::new(), expected: &case.after, wire, done };
    contestant.image = std::fs::read(contestant.image_path())?;
    Ok(contestant)
}

/// boot.py and main.py after the package's README: boot.py updates, main.py looks for a newer version.
fn files(sdists: &Sdists, case: &Case, form: Form, url: &str) -> Result<Tree> {
    let names: Vec<&str> = case.after.iter().map(|(path, _)| path.as_str()).collect();
    let boot = format!(
        "import micropython_ota\n\nfilenames = {names:?}\nmicropython_ota.ota_update({url:?}, {:?}, filenames, \
         use_version_prefix=True, hard_reset_device=True, soft_reset_device=False, timeout=5)\n",
        case.key
    );
    let main = format!(
        "import micropython_ota, time\nwhile True:\n    micropython_ota.check_for_ota_update({url:?}, {:?}, timeout=5)\n    \
         with open('version') as f:\n        print('app', f.read())\n    time.sleep(1)\n",
        case.key
    );
    let mut tree: Tree = case.before.iter().cloned().collect();
    tree.insert("version".to_owned(), b"1".to_vec());
    tree.insert("boot.py".to_owned(), boot.into_bytes());
    tree.insert("main.py".to_owned(), main.into_bytes());
    for (path, source) in library(sdists)? {
        let (path, bytes) = match form {
            Form::Source => (path, source),
            Form::Bytecode => {
                let stem = path.trim_end_matches(".py");
                let bytes = compile(stem.trim_start_matches("lib/"), &source)?;
                (format!("{stem}.mpy"), bytes)
            }
        };
        tree.insert(path, bytes);
    }
    Ok(tree)
}

fn compile(name: &str, source: &[u8]) -> Result<Vec<u8>> {
    let mpy_cross = MpyCross::find().map_err(|e| anyhow!("{e}"))?.ok_or_else(|| anyhow!("there is no mpy-cross"))?;
    let outcome = mpy_cross.compile(&format!("{name}.py"), source, Lines::Drop).map_err(|e| anyhow!("{e}"))?;
    outcome.map_err(|e| anyhow!("mpy-cross refuses {name}.py: {}", e.message))
}
