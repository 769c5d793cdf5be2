//! Tests of `deployment`.

use DeploymentState as State;
use proptest::prelude::*;

use super::*;

const STAGES: [ReportStage; 8] = [
    ReportStage::Boot,
    ReportStage::Downloading,
    ReportStage::Verified,
    ReportStage::Installing,
    ReportStage::Trial,
    ReportStage::Confirmed,
    ReportStage::Failed,
    ReportStage::RolledBack,
];

fn after(signals: &[Signal]) -> State {
    signals.iter().fold(State::Queued, advance)
}

#[test]
fn names_are_those_of_the_api() {
    let page = include_str!("../../../../docs/api.md");
    let names = State::ALL.map(State::as_str).join(" ");
    assert!(page.contains(&format!("`state` is one of `{names}`")), "{names}");
    for state in State::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
        assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
    }
    assert!("rolled back".parse::<State>().is_err());
}

#[test]
fn a_good_update_goes_all_the_way() {
    let mut signals = vec![Signal::Offered];
    assert_eq!(after(&signals), State::Notified);
    for (stage, expected) in STAGES[1..6].iter().zip(&State::ALL[2..7]) {
        signals.push(Signal::Reported(*stage));
        assert_eq!(after(&signals), *expected);
    }
}

#[test]
fn check_ins_alone_tell_the_outcome() {
    assert_eq!(after(&[Signal::Offered, Signal::Runs(RunState::Trial)]), State::Trial);
    assert_eq!(after(&[Signal::Runs(RunState::Ok)]), State::Confirmed);
    assert_eq!(after(&[Signal::Offered, Signal::Unwanted]), State::Failed);
    assert_eq!(after(&[Signal::Reported(ReportStage::Installing), Signal::Unwanted]), State::RolledBack);
    assert_eq!(after(&[Signal::Runs(RunState::Trial), Signal::Unwanted]), State::RolledBack);
}

#[test]
fn a_late_report_does_not_move_back() {
    let trial = after(&[Signal::Reported(ReportStage::Trial)]);
    assert_eq!(advance(trial, &Signal::Reported(ReportStage::Downloading)), State::Trial);
    assert_eq!(advance(trial, &Signal::Offered), State::Trial);
    assert_eq!(advance(trial, &Signal::Reported(ReportStage::Boot)), State::Trial);
    assert_eq!(advance(trial, &Signal::Restart), State::Queued);
    assert_eq!(advance(State::RolledBack, &Signal::Runs(RunState::Ok)), State::RolledBack);
}

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        Just(Signal::Offered),
        prop::sample::select(STAGES.as_slice()).prop_map(Signal::Reported),
        prop::sample::select([RunState::Ok, RunState::Trial].as_slice()).prop_map(Signal::Runs),
        Just(Signal::Unwanted),
        Just(Signal::Cancel),
        Just(Signal::Restart),
    ]
}

proptest! {
    #[test]
    fn a_final_state_stays_and_nothing_but_restart_goes_back(signals in prop::collection::vec(signal(), 0..20)) {
        let mut state = State::Queued;
        for signal in signals {
            let next = advance(state, &signal);
            if state.is_final() {
                prop_assert_eq!(next, state);
            } else if signal == Signal::Restart {
                prop_assert_eq!(next, State::Queued);
            } else {
                prop_assert!(next >= state, "{signal:?} moved {state} back to {next}");
            }
            // The same signal again changes nothing: reports may arrive twice. `Unwanted` ends it at once.
            prop_assert_eq!(advance(next, &signal), next);
            state = next;
        }
    }

    #[test]
    fn a_verdict_always_ends_it(signals in prop::collection::vec(signal(), 0..10)) {
        let state = after(&signals);
        for signal in [Signal::Unwanted, Signal::Cancel, Signal::Runs(RunState::Ok)] {
            prop_assert!(advance(state, &signal).is_final());
        }
    }
}
