//! Settings that are refused, and folders that are not opened.

use super::{GitSettings, Repositories};

fn refused(json: &str) -> String {
    GitSettings::parse(json).map_or_else(|error| error.to_string(), |settings| format!("taken: {settings:?}"))
}

#[test]
fn settings_are_checked() {
    assert!(refused(r#"{"git":"/a","remote":"https://b/c"}"#).starts_with("both git and remote"));
    assert_eq!(refused(r#"{"remote":"https://b/c","interval_s":1}"#), "interval_s 1 is not 10 to 86400");
    for remote in ["ssh://host/x", "--upload-pack=x", "ext::sh -c id", "/etc", "file://host/x"] {
        let said = refused(&format!("{{\"remote\":{remote:?}}}"));
        assert!(said.starts_with("remote "), "{remote}: {said}");
    }
    assert!(refused(r#"{"base":"../x"}"#).starts_with("base"));
    assert!(refused(r#"{"repo":"x"}"#).contains("unknown field"));
    let settings = GitSettings::parse(r#"{"base":"/"}"#).unwrap();
    assert_eq!((settings.base(), settings.is_git()), ("", false));
}

#[test]
fn only_what_is_below_a_root_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (root, other) = (folder.path().join("root"), folder.path().join("other"));
    for path in [root.join("a.git"), other.clone()] {
        std::fs::create_dir_all(path).unwrap();
    }
    std::os::unix::fs::symlink(&other, root.join("link")).unwrap();
    let repositories = Repositories::new(folder.path(), vec![root.clone()]);
    let locate = |path: std::path::PathBuf| {
        repositories.locate(1, &GitSettings { git: Some(path), ..GitSettings::default() }).map_err(|e| e.to_string())
    };
    assert!(locate(root.join("a.git")).is_ok());
    for path in [other.clone(), root.join("../other"), root.join("link"), root.join("none")] {
        assert!(locate(path).unwrap_err().contains("is not a folder below a git root"));
    }
    assert!(repositories.check_remote(&format!("file://{}", other.display())).is_err());
    let none = Repositories::new(folder.path(), Vec::new());
    let settings = GitSettings { git: Some(root), ..GitSettings::default() };
    assert!(none.locate(1, &settings).unwrap_err().to_string().contains("--git-root"));
}
