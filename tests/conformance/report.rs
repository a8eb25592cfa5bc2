//! The table of what conforms, by suite and by feature.
//!
//! **Invariant:** an entry counts once in its suite, and once in each feature that it uses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use crate::{Class, Verdict};

/// Shows something whether or not the test passes.
pub(crate) fn say(text: &str) {
    // Not through the test's own output, which is shown only if it fails.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{text}").unwrap();
}

/// The table.
pub(crate) fn table(verdicts: &[Verdict]) -> String {
    let mut by_suite: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    let mut by_feature: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    let mut total = [0; 5];
    for verdict in verdicts {
        let column = Class::ALL.iter().position(|class| *class == verdict.class).unwrap();
        total[column] += 1;
        by_suite.entry(&verdict.suite).or_default()[column] += 1;
        for feature in &verdict.features {
            by_feature.entry(feature).or_default()[column] += 1;
        }
        for rule in &verdict.rules {
            *by_rule.entry(rule).or_default() += 1;
        }
    }
    let mut text = String::new();
    let mut part = |title: &str, rows: &BTreeMap<&str, [usize; 5]>| {
        write!(text, "\n{title:<50}").unwrap();
        for class in Class::ALL {
            write!(text, "{class:>15}").unwrap();
        }
        for (name, counts) in rows {
            write!(text, "\n{name:<50}").unwrap();
            for count in counts {
                write!(text, "{count:>15}").unwrap();
            }
        }
        text.push('\n');
    };
    part("SUITE", &by_suite);
    part("FEATURE", &by_feature);
    part("", &BTreeMap::from([("ALL", total)]));
    text += "\nRULES BROKEN, BY ENTRIES\n";
    for (rule, count) in by_rule {
        writeln!(text, "{rule:<50}{count:>15}").unwrap();
    }
    text
}
