//! Tests of `rollout`.

use DeploymentState as State;
use expect_test::expect;
use proptest::prelude::*;

use super::*;

fn rules(stages: &[&str], max_failed: u32) -> Rules {
    Rules { stages: stages.iter().map(|stage| stage.parse().unwrap()).collect(), max_failed }
}

/// `a=confirmed b=- c=trial`.
fn devices(text: &str) -> Vec<DeviceView> {
    let device = |word: &str| {
        let (name, state) = word.split_once('=').unwrap();
        DeviceView { name: name.parse().unwrap(), deployment: (state != "-").then(|| state.parse().unwrap()) }
    };
    text.split_whitespace().map(device).collect()
}

fn check(stages: &[&str], max_failed: u32, stage_open: usize, text: &str, expected: &expect_test::Expect) {
    let decision = match decide(&rules(stages, max_failed), stage_open, &devices(text)) {
        Decision::Open { stage, devices } => {
            let names: Vec<&str> = devices.iter().map(DeviceName::as_str).collect();
            format!("open {stage}: {}", names.join(" "))
        }
        other => format!("{other:?}"),
    };
    expected.assert_eq(&decision);
}

#[test]
fn the_first_device_by_name_goes_first() {
    check(&["1", "100%"], 0, 0, "c=- a=- b=-", &expect!["open 1: a"]);
    check(&["1", "100%"], 0, 1, "c=- a=trial b=-", &expect!["Wait"]);
    check(&["1", "100%"], 0, 1, "c=- a=confirmed b=-", &expect!["open 2: b c"]);
    check(&["1", "100%"], 0, 2, "c=confirmed a=confirmed b=installing", &expect!["Wait"]);
    check(&["1", "100%"], 0, 2, "c=confirmed a=confirmed b=confirmed", &expect!["Complete"]);
}

#[test]
fn it_halts_above_the_allowed_failures() {
    let halt = &expect![[r#"Halt { reason: "1 deployment failed, at most 0 may" }"#]];
    check(&["1", "100%"], 0, 1, "a=rolled-back b=- c=-", halt);
    check(&["1", "100%"], 1, 1, "a=rolled-back b=- c=-", &expect!["open 2: b c"]);
    let halt = &expect![[r#"Halt { reason: "2 deployments failed, at most 1 may" }"#]];
    check(&["100%"], 1, 1, "a=rolled-back b=failed c=confirmed", halt);
    check(&["100%"], 1, 1, "a=cancelled b=failed c=confirmed", &expect!["Complete"]);
}

#[test]
fn shares_are_rounded_up_and_stages_without_new_devices_are_passed() {
    check(&["10%", "50%", "100%"], 0, 0, "a=- b=- c=-", &expect!["open 1: a"]);
    check(&["10%", "50%", "100%"], 0, 1, "a=confirmed b=- c=-", &expect!["open 2: b"]);
    check(&["1", "1", "10%", "100%"], 0, 1, "a=confirmed b=-", &expect!["open 4: b"]);
    check(&["5", "2"], 0, 1, "a=confirmed b=confirmed", &expect!["Complete"]);
    check(&["1"], 0, 1, "a=confirmed b=-", &expect!["Complete"]);
    check(&["1", "100%"], 0, 0, "", &expect!["Complete"]);
}

#[test]
fn a_device_that_joins_later_does_not_push_another_out() {
    check(&["1", "100%"], 0, 1, "a=- b=downloading c=-", &expect!["Wait"]);
    check(&["100%"], 0, 1, "a=- b=confirmed", &expect!["open 1: a"]);
}

#[test]
fn a_crash_between_two_deployments_is_made_good() {
    check(&["2", "100%"], 0, 1, "a=queued b=- c=-", &expect!["open 1: b"]);
    check(&["1", "100%"], 0, 2, "a=confirmed b=confirmed c=-", &expect!["open 2: c"]);
}

#[test]
fn stage_sizes_read_back() {
    for text in ["1", "25%", "100%", "4294967295"] {
        assert_eq!(text.parse::<StageSize>().unwrap().to_string(), text);
    }
    for text in ["", "0", "0%", "101%", "%", "-1", "01", "1.5", "25 %", "4294967296", "1%%"] {
        assert_eq!(text.parse::<StageSize>().unwrap_err().refusal, Refusal::Format, "{text:?}");
    }
    assert_eq!(serde_json::to_string(&rules(&["1", "25%"], 2)).unwrap(), r#"{"stages":["1","25%"],"max_failed":2}"#);
}

fn stage() -> impl Strategy<Value = StageSize> {
    prop_oneof![(1..6_u32).prop_map(StageSize::Count), (1..=100_u8).prop_map(StageSize::Percent)]
}

fn fleet() -> impl Strategy<Value = Vec<DeviceView>> {
    let device = ("[a-z]{1,3}", prop::option::of(prop::sample::select(State::ALL.as_slice())));
    prop::collection::btree_map(device.0, device.1, 0..12).prop_map(|devices| {
        let view = |(name, deployment): (String, _)| DeviceView { name: name.parse().unwrap(), deployment };
        devices.into_iter().map(view).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_devices_does_not_matter(stages in prop::collection::vec(stage(), 1..4), open in 0_usize..4, fleet in fleet(), max_failed in 0_u32..3) {
        let rules = Rules { stages, max_failed };
        let mut reversed = fleet.clone();
        reversed.reverse();
        prop_assert_eq!(decide(&rules, open, &fleet), decide(&rules, open, &reversed));
    }

    #[test]
    fn nothing_opens_above_the_allowed_failures(stages in prop::collection::vec(stage(), 1..4), open in 0_usize..4, fleet in fleet(), max_failed in 0_u32..3) {
        let failed = fleet.iter().filter(|device| device.deployment.is_some_and(State::is_failure)).count();
        let decision = decide(&Rules { stages, max_failed }, open, &fleet);
        prop_assert_eq!(matches!(decision, Decision::Halt { .. }), failed > max_failed as usize);
    }

    /// Played to its end: no device starts twice, a stage opens only when those before it are done, and it ends.
    #[test]
    fn a_rollout_opens_stage_by_stage_and_ends(stages in prop::collection::vec(stage(), 1..5), count in 0_usize..12, failing in 0_usize..14, max_failed in 0_u32..2) {
        let rules = Rules { stages, max_failed };
        let mut fleet: Vec<DeviceView> = (0..count).map(|n| DeviceView { name: format!("d{n:02}").parse().unwrap(), deployment: None }).collect();
        let mut open = 0;
        let end = loop {
            match decide(&rules, open, &fleet) {
                Decision::Open { stage, devices } => {
                    prop_assert!(stage > open && stage <= rules.stages.len() && !devices.is_empty());
                    open = stage;
                    prop_assert!(fleet.iter().all(|device| device.deployment.is_none_or(State::is_final)));
                    for device in fleet.iter_mut().filter(|device| devices.contains(&device.name)) {
                        prop_assert_eq!(device.deployment, None);
                        device.deployment = Some(State::Queued);
                    }
                    let started = fleet.iter().filter(|device| device.deployment.is_some()).count();
                    let covered = rules.stages[..open].iter().map(|size| size.of(count)).max().unwrap();
                    prop_assert_eq!(started, covered);
                    prop_assert_eq!(decide(&rules, open, &fleet), Decision::Wait);
                }
                Decision::Wait => {
                    let (at, device) = fleet.iter_mut().enumerate().find(|(_, device)| device.deployment == Some(State::Queued)).unwrap();
                    device.deployment = Some(if at == failing { State::RolledBack } else { State::Confirmed });
                }
                end => break end,
            }
        };
        let started = fleet.iter().filter(|device| device.deployment.is_some()).count();
        let wanted = rules.stages.iter().map(|size| size.of(count)).max().unwrap();
        if max_failed == 0 && failing < started {
            prop_assert!(matches!(end, Decision::Halt { .. }), "{end:?}");
        } else {
            prop_assert_eq!(end, Decision::Complete);
            prop_assert_eq!(started, wanted);
        }
    }
}
