//! Every rule of tidy is broken on purpose once: a check that cannot fail is no check.

use std::fs;
use std::path::{Path, PathBuf};

use super::check;
use super::pages::PAGES;

/// A small tree that keeps every rule, removed at the end of the test.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("goldcrest-tidy-{}-{name}", std::process::id()));
        let tree = Self(root);
        for (krate, dependency) in [
            ("goldcrest-core", ""),
            ("goldcrest-server", "goldcrest-core.workspace = true\n"),
            ("goldcrest-fleet", ""),
            ("goldcrest", "goldcrest-server.workspace = true\n"),
        ] {
            tree.write(&format!("crates/{krate}/Cargo.toml"), &format!("[dependencies]\n{dependency}"));
            tree.write(&format!("crates/{krate}/src/lib.rs"), "//! A crate of the small tree.\n");
        }
        tree.write("agent/goldcrest/__init__.py", "\"\"\"The small agent.\"\"\"\n");
        for (page, code) in PAGES {
            tree.write(page, "# A page\n");
            for path in code {
                match path.rsplit_once('.') {
                    Some((_, "rs")) => tree.write(path, "//! A module of the small tree.\n"),
                    Some((_, "py")) => tree.write(path, "\"\"\"A part of the small agent.\"\"\"\n"),
                    _ => tree.write(&format!("{path}/README.md"), "# A part\n"),
                }
            }
        }
        tree.write("xtask/Cargo.toml", "[package]\n");
        tree.write("Cargo.lock", "name = \"ring\"\n");
        assert_eq!(check(&tree.0, true), Ok(vec![]), "the small tree keeps every rule");
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("the temporary folder is writable");
        fs::write(path, text).expect("the temporary folder is writable");
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the test made this folder");
    }
}

/// Writes one file into the small tree and expects exactly one complaint, which holds `rule`.
fn breaks(name: &str, path: &str, text: &str, rule: &str) {
    let tree = Tree::new(name);
    tree.write(path, text);
    let problems = check(&tree.0, false).expect("the tree is readable");
    let hits: Vec<_> = problems.iter().filter(|p| p.contains(rule)).collect();
    assert_eq!(hits.len(), 1, "{name}: wanted one complaint with {rule:?}, got {problems:?}");
}

/// Writes one file into the small tree and expects no complaint that holds `rule`.
fn keeps(name: &str, path: &str, text: &str, rule: &str) {
    let tree = Tree::new(name);
    tree.write(path, text);
    let problems = check(&tree.0, false).expect("the tree is readable");
    assert!(!problems.iter().any(|p| p.contains(rule)), "{name}: {problems:?}");
}

#[test]
fn invariant_1_core_reads_a_file() {
    let text = "//! Reads a file, which core must not.\nuse std::fs;\n";
    breaks("core-io", "crates/goldcrest-core/src/reader.rs", text, "invariants 1 and 5");
}

#[test]
fn invariant_1_core_reads_the_clock() {
    let text = "//! Reads the clock, which core must not.\nfn n() { SystemTime::now(); }\n";
    breaks("core-clock", "crates/goldcrest-core/src/rollout.rs", text, "invariants 1 and 5");
}

#[test]
fn invariant_1_core_draws_random_numbers() {
    let text = "//! Draws a random number, which core must not.\nuse ring::rand::SystemRandom;\n";
    breaks("core-random", "crates/goldcrest-core/src/archive.rs", text, "invariants 1 and 5");
    breaks("core-random-elsewhere", "crates/goldcrest-core/src/manifest/signature.rs", text, "invariants 1 and 5");
    let clock = "//! Signs with a clock, which core must not.\nuse std::time::SystemTime;\n";
    breaks("core-signature-clock", "crates/goldcrest-core/src/signature.rs", clock, "invariants 1 and 5");
}

#[test]
fn invariant_1_signing_names_the_random_source_that_ring_asks_for() {
    let text = "//! Signs, with a random source that PKCS#1 v1.5 ignores.\nuse ring::rand::SystemRandom;\n";
    keeps("core-signing", "crates/goldcrest-core/src/signature.rs", text, "invariants 1 and 5");
}

#[test]
fn invariant_2_format_code_changes_without_its_page() {
    let text = "//! A module that now writes other bytes.\n";
    breaks("format", "crates/goldcrest-core/src/manifest.rs", text, "invariant 2");
}

#[test]
fn invariant_2_a_part_of_format_code_changes_without_its_page() {
    breaks(
        "format-part",
        "crates/goldcrest-core/src/manifest/read.rs",
        "//! A part that reads other lines.\n",
        "invariant 2",
    );
    let text = "//! Tests of the manifest; they change no byte.\n";
    keeps("format-tests", "crates/goldcrest-core/src/manifest/tests.rs", text, "invariant 2");
}

#[test]
fn invariant_2_page_changes_without_its_code() {
    breaks("page", "docs/protocol.md", "# Another page\n", "invariant 2");
}

#[test]
fn invariant_2_vector_changes_alone() {
    breaks("vector", "vectors/manifest/new.manifest", "goldcrest 1\n", "invariant 2");
}

#[test]
fn invariant_3_sql_in_a_handler() {
    let text = "//! A handler with SQL of its own.\nconst Q: &str = \"SELECT 1\";\n";
    breaks("sql", "crates/goldcrest-server/src/manage/devices.rs", text, "invariant 3");
}

#[test]
fn invariant_4_status_in_a_handler() {
    let text = "//! A handler that picks a status.\nfn s() { StatusCode::NOT_FOUND; }\n";
    breaks("status", "crates/goldcrest-server/src/manage/devices.rs", text, "invariant 4");
}

#[test]
fn invariant_5_rollout_rule_sleeps() {
    let text = "//! A rollout rule that waits.\nasync fn decide() {}\n";
    breaks("rollout", "crates/goldcrest-core/src/rollout.rs", text, "invariants 1 and 5");
}

#[test]
fn invariant_6_server_signs() {
    let text = "//! A server that signs.\nuse goldcrest_core::signature::SigningKey;\n";
    breaks("signing", "crates/goldcrest-server/src/manage/sign.rs", text, "invariant 6");
}

#[test]
fn invariant_7_agent_renames_out_of_the_root() {
    let text = "\"\"\"An installer that renames a user's file.\"\"\"\nos.rename(path, D + \"o1\")\n";
    breaks("rename", "agent/goldcrest/guard.py", text, "invariant 7");
}

#[test]
fn invariant_7_a_source_that_is_not_shown_to_be_in_the_folder() {
    let lead = "\"\"\"An installer that is under suspicion.\"\"\"\n";
    for (number, call) in [
        "os.rename(n, p)",
        "os.rename(path + D, p)  # in .ota",
        "os.rename(other.D + \"t\", p)",
        "os.rename(n, p)  # in .otax",
        "os.rename(\"# in .ota\", p)",
    ]
    .iter()
    .enumerate()
    {
        let text = format!("{lead}{call}\n");
        breaks(&format!("rename-{number}"), "agent/goldcrest/install.py", &text, "invariant 7");
    }
}

#[test]
fn invariant_7_renames_out_of_the_folder_are_fine() {
    let text = "\"\"\"An installer that renames as it should.\"\"\"\nos.rename(D + \"t\", p)\nos.rename(D+\"t\", p)\n\
        os.rename(guard.D + \"t\", p)\nos.rename(n, p)  # in .ota\n";
    keeps("rename-fine", "agent/goldcrest/guard.py", text, "invariant 7");
}

#[test]
fn invariant_9_console_needs_a_script() {
    let text = "//! A console page with a script.\nconst B: &str = \"<a onclick=x>\";\n";
    breaks("console", "crates/goldcrest-server/src/console/page.rs", text, "invariant 9");
}

#[test]
fn invariant_11_a_client_id_decides_who_is_there() {
    let text = "//! A handler that believes what a client calls itself.\nfn who() { store.device_by_name(connect.client_id) }\n";
    breaks("client-id", "crates/goldcrest-server/src/native/who.rs", text, "invariant 11");
    breaks("client-id-store", "crates/goldcrest-server/src/store/devices.rs", text, "invariant 11");
    keeps("client-id-mqtt", "crates/goldcrest-server/src/mqtt/session.rs", text, "invariant 11");
}

#[test]
fn invariant_12_adapter_uses_another() {
    let text = "//! An adapter that borrows from its neighbour.\nuse crate::adapters::gogs::Tree;\n";
    breaks("adapter", "crates/goldcrest-server/src/adapters/thingsboard.rs", text, "invariant 12");
}

#[test]
fn invariant_13_gix_outside_of_its_module() {
    let text = "//! An adapter that reads git by itself.\nuse gix::Repository;\n";
    breaks("gix", "crates/goldcrest-server/src/adapters/gogs/refs.rs", text, "invariant 13");
}

#[test]
fn import_direction_between_crates() {
    let text = "[dependencies]\ngoldcrest-server.workspace = true\n";
    breaks("crates", "crates/goldcrest-core/Cargo.toml", text, "import direction");
}

#[test]
fn import_direction_inside_the_server() {
    let text = "//! Storage that knows its callers.\nuse crate::manage::devices;\n";
    breaks("layers", "crates/goldcrest-server/src/store/devices.rs", text, "import direction");
}

#[test]
fn first_line_missing() {
    breaks("first-line", "crates/goldcrest-core/src/minify.rs", "use x;\n", "style 2");
    breaks("first-line-py", "agent/goldcrest/guard.py", "import os\n", "style 2");
}

#[test]
fn file_too_long() {
    let text = format!("//! A file that does too much.\n{}", "// x\n".repeat(500));
    breaks("long", "crates/goldcrest-core/src/minify.rs", &text, "style 3");
}

#[test]
fn module_named_utils() {
    breaks("utils", "crates/goldcrest-core/src/utils.rs", "//! This and that, of everything.\n", "style 5");
}

#[test]
fn banned_dependency() {
    breaks("banned", "Cargo.lock", "name = \"openssl-sys\"\n", "lean build");
    breaks("xtask-deps", "xtask/Cargo.toml", "[dependencies]\nclap = \"4\"\n", "lean build");
}
