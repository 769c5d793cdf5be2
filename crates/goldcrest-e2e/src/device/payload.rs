//! What is installed in the bench: real source text, cut to the sizes of three updates.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Files in the root of the board: `micropython-ota` knows no folders.
pub type Files = Vec<(String, Vec<u8>)>;

/// One update: what the board has, and what it is to have.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name in the JSON.
    pub key: &'static str,
    /// Its name in the table.
    pub title: &'static str,
    /// The release that runs before.
    pub before: Files,
    /// The release that is installed.
    pub after: Files,
}

/// One file of 60 KB and 30 files of 2 KB, all new text; and 92 files of 6.9 KB, two of them edited.
///
/// # Errors
/// When the text has not enough lines.
pub fn cases(text: &[u8]) -> Result<Vec<Case>> {
    ensure!(text.len() > 400_000, "the sources of microdot have only {} bytes", text.len());
    // Nothing of the new text is in the old one: every byte has to be sent.
    let old: Vec<u8> =
        text.split_inclusive(|&byte| byte == b'\n').flat_map(|line| line.iter().rev().copied()).collect();
    let ninety_two = slices(text, 92, 6_900);
    let mut edited = ninety_two.clone();
    for index in [17, 61] {
        edited[index].1 = edit(&ninety_two[index].1);
    }
    Ok(vec![
        Case {
            key: "one_60k",
            title: "one file of 60 KB",
            before: slices(&old, 1, 61_440),
            after: slices(text, 1, 61_440),
        },
        Case {
            key: "thirty_2k",
            title: "30 files of 2 KB",
            before: slices(&old, 30, 2_048),
            after: slices(text, 30, 2_048),
        },
        Case { key: "two_of_92", title: "2 of 92 files", before: ninety_two, after: edited },
    ])
}

/// The ASCII lines of every Python file below these folders: `micropython-ota` reads files as text.
///
/// # Errors
/// When a file can't be read.
pub fn source_text(folders: &[&Path]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for folder in folders {
        for path in python_files(folder)? {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            text.extend(bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.is_ascii()).flatten());
        }
    }
    Ok(text)
}

/// Every `.py` below a folder, sorted.
///
/// # Errors
/// When a folder can't be read.
pub fn python_files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "py") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `count` files of `size` bytes, spread evenly over the text.
fn slices(text: &[u8], count: usize, size: usize) -> Files {
    let stride = (text.len() - size) / count;
    (0..count).map(|n| (format!("m{n:02}.py"), text[n * stride..n * stride + size].to_vec())).collect()
}

/// A developer's change: one line is rewritten, two are added.
fn edit(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let (third, two_thirds) = (lines.len() / 3, lines.len() * 2 / 3);
    lines[third] = b"    timeout_ms = 2500  # the sensor needs longer in winter\n";
    lines.insert(two_thirds, b"    if retries > 3:\n        raise OSError('no answer')\n");
    lines.concat()
}

#[cfg(test)]
mod tests {
    //! The updates are what their names say.

    use super::cases;

    #[test]
    fn sizes_and_changes_are_those_of_the_titles() {
        let text: Vec<u8> = (0..40_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let cases = cases(&text).expect("enough text");
        let shape = |n: usize| (cases[n].after.len(), cases[n].after[0].1.len());
        assert_eq!([shape(0), shape(1), shape(2)], [(1, 61_440), (30, 2_048), (92, 6_900)]);
        let changed = |n: usize| cases[n].before.iter().zip(&cases[n].after).filter(|(old, new)| old != new).count();
        assert_eq!([changed(0), changed(1), changed(2)], [1, 30, 2]);
        assert!(super::cases(b"too little").is_err());
    }
}
