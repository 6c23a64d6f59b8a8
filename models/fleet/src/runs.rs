//! Runs: which configurations and mutants are explored, what is printed of each, and whether it ended as expected.

use std::io::Write as _;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::configurations::{Ci, Expected, configurations};
use crate::model::{Fleet, LIVE, PROPERTIES};
use crate::rules::Params;

/// Which configurations are checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All, each to its end.
    All,
    /// Those that end within seconds.
    Ci,
    /// One, to its end.
    One(usize),
}

/// Checks what is selected and prints a line for each run; false if one did not end as expected.
///
/// `BASE` in the environment leaves out the mutants, `MUTANTS` the unchanged configurations, `TRACE` prints the shortest
/// counterexamples.
pub(crate) fn run(selection: Selection) -> bool {
    let is_set = |name| std::env::var_os(name).is_some();
    let (mut runs, mut wrong) = (0, 0);
    for (number, configuration) in configurations().into_iter().enumerate() {
        let states_max = match (selection, configuration.ci) {
            (Selection::One(only), _) if only != number => continue,
            (Selection::Ci, Ci::Never) => continue,
            (Selection::Ci, Ci::First(states)) => Some(states),
            (Selection::All | Selection::One(_), _) | (Selection::Ci, Ci::Whole) => None,
        };
        let mut report = |off, states_max, expected| {
            let params = Params { off, ..configuration.params.clone() };
            runs += 1;
            wrong += usize::from(!check(number, params, states_max, expected));
        };
        if !is_set("MUTANTS") {
            report(None, states_max, configuration.expected);
        }
        // A mutant ends by itself, when it is refuted.
        for rule in configuration.mutants.iter().filter(|_| !is_set("BASE")) {
            report(Some(*rule), None, Expected::Refuted);
        }
    }
    println!("{runs} runs, {wrong} not as expected");
    runs > 0 && wrong == 0
}

/// Explores one configuration or mutant and prints what was found; true if it is what was expected.
fn check(number: usize, params: Params, states_max: Option<usize>, expected: Expected) -> bool {
    let (name, off) = (params.name, params.off);
    let begin = Instant::now();
    let checker = Fleet(params).checker().threads(1).finish_when(HasDiscoveries::AnyFailures);
    let checker = match states_max {
        Some(states) => checker.target_state_count(states),
        None => checker,
    };
    let checker = checker.spawn_bfs().join();
    let found = checker.discoveries();
    let mut refuted = Vec::new();
    for property in PROPERTIES {
        if let Some(path) = found.get(property) {
            let actions = path.clone().into_actions();
            refuted.push(format!("{property}: REFUTED in {} steps", actions.len()));
            if std::env::var_os("TRACE").is_some() {
                actions.iter().for_each(|action| println!("      {action:?}"));
            }
        }
    }
    // A counterexample may come before the first hit. A configuration that holds without any has shown nothing.
    let is_live = LIVE.iter().all(|name| found.contains_key(name));
    let is_expected = match expected {
        Expected::Holds => refuted.is_empty() && is_live,
        Expected::Refuted => !refuted.is_empty(),
    };
    let is_cut = states_max.is_some_and(|states| checker.state_count() >= states);
    println!(
        "{number:>2} {name:40} {:30} {:50} states={:>10} unique={:>9} depth={:>3} {:>6.1}s{}{}{}",
        off.map_or(String::new(), |rule| format!("without {rule:?}")),
        if refuted.is_empty() { "holds".to_owned() } else { refuted.join("; ") },
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        begin.elapsed().as_secs_f32(),
        if is_cut && refuted.is_empty() { " (cut)" } else { "" },
        if is_live { "" } else { " (no hit or no answer seen)" },
        if is_expected { "" } else { " UNEXPECTED" },
    );
    // A run takes minutes: show each line when it is there.
    std::io::stdout().flush().ok();
    is_expected
}
