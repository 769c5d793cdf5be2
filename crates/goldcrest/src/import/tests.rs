//! Orders and names.

use super::{natural, package_name};

#[test]
fn versions_are_ordered_as_people_mean_them() {
    let mut versions = ["v1.10", "2", "v1.9", "10", "v1.9.1"];
    versions.sort_by_key(|version| natural(version));
    assert_eq!(versions, ["2", "10", "v1.9", "v1.9.1", "v1.10"]);
}

#[test]
fn foreign_names_become_names_of_packages() {
    let name = |text| package_name(text).ok();
    assert_eq!(name("Big Project"), Some("big-project".to_owned()));
    assert_eq!(name("micropython-OTA-client"), Some("micropython-ota-client".to_owned()));
    assert_eq!(name("_x"), Some("x".to_owned()));
    assert_eq!(name("..."), None);
}
