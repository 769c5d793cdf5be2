//! Ids as git itself makes them.

use super::{Entry, Kind, Sha, blob_id, is_lfs_pointer, is_plain_name, tree_id};

#[test]
fn ids_are_gits() {
    // printf '' | git hash-object --stdin; echo hello | git hash-object --stdin; git mktree </dev/null
    assert_eq!(blob_id(b"").to_string(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    assert_eq!(blob_id(b"hello\n").to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
    assert_eq!(tree_id(&mut []).to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
}

#[test]
fn a_folder_is_ordered_by_its_name_with_a_slash() {
    let entry = |name: &str, kind| Entry { name: name.into(), kind, id: blob_id(b"") };
    let mut entries = [entry("lib", Kind::Folder), entry("lib.py", Kind::File), entry("lib-a", Kind::Executable)];
    tree_id(&mut entries);
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["lib-a", "lib.py", "lib"]);
}

#[test]
fn an_id_is_forty_digits() {
    assert!("CE013625030BA8DBA906F756967F9E9CA394464A".parse::<Sha>().is_ok());
    for wrong in ["", "ce01", "ce013625030ba8dba906f756967f9e9ca394464g", "é013625030ba8dba906f756967f9e9ca394464a"] {
        assert!(wrong.parse::<Sha>().is_err(), "{wrong}");
    }
}

#[test]
fn names_that_climb_are_none() {
    assert!(is_plain_name("main.py") && is_plain_name("...") && is_plain_name("é"));
    for wrong in ["", ".", "..", "a/b", "a\\b", "a\nb", "a\0"] {
        assert!(!is_plain_name(wrong), "{wrong:?}");
    }
}

#[test]
fn a_pointer_of_lfs_is_short_and_begins_with_its_version() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    assert!(is_lfs_pointer(pointer) && !is_lfs_pointer(b"version 1\n"));
    assert!(!is_lfs_pointer(&[pointer.as_slice(), &[b' '; 1024]].concat()));
}
