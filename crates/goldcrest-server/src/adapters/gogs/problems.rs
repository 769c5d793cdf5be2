//! What the Gogs updater can't take of a release, found out before a board does.

use std::collections::BTreeMap;

use goldcrest_core::manifest::FileEntry;

use crate::content::foreign_path;

/// Most plain bytes of a folder's own files: the client holds its listing in memory as text and as values, 2.7 times that and more,
/// and a board has about 100 KB.
const MAX_FOLDER: u64 = 32 << 10;
/// Characters that the client writes into an address as they are.
const UNADDRESSED: [char; 4] = [' ', '?', '#', '%'];

/// Which folders of a release the client can't take, and why.
pub(in crate::adapters) fn problems(files: &[FileEntry]) -> Vec<String> {
    let mut folders: BTreeMap<&str, u64> = BTreeMap::new();
    for file in files {
        let folder = foreign_path(file.path.as_str()).rsplit_once('/').map_or("", |(folder, _)| folder);
        *folders.entry(folder).or_default() += file.size;
    }
    let mut problems = Vec::new();
    for (folder, size) in folders {
        let shown = if folder.is_empty() { "the files of the root" } else { folder };
        if folder.contains(UNADDRESSED) {
            problems.push(format!("{shown}: the Gogs updater asks for no folder with such a name"));
        }
        if size > MAX_FOLDER {
            let kib = size.div_ceil(1024);
            problems.push(format!(
                "{shown}: the Gogs updater holds a whole folder in memory, {kib} KiB here: use several folders"
            ));
        }
    }
    problems
}
