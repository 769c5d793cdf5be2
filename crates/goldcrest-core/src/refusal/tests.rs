//! Tests of `refusal`.

use super::*;

#[test]
fn names_are_those_of_the_page_in_its_order() {
    let page = include_str!("../../../../docs/release-format.md");
    let table = page.split("## Refusals").nth(1).unwrap();
    let names: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let ours: Vec<&str> = Refusal::ALL.iter().map(|refusal| refusal.as_str()).collect();
    assert_eq!(ours, names);
}

#[test]
fn a_name_reads_back() {
    for refusal in Refusal::ALL {
        assert_eq!(refusal.as_str().parse(), Ok(*refusal));
    }
    let refused = "Floor".parse::<Refusal>().unwrap_err();
    assert_eq!(refused.to_string(), "format: \"Floor\" is not the name of a refusal");
}
