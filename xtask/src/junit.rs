//! What nextest keeps of a run, for the table: which tests failed, and which only at first.

use std::fs;
use std::path::Path;

use crate::report::Outcome;

/// The most names that a row of the table takes.
const NAMES: usize = 20;

/// The outcome of a run of the tests, by the report that it has left.
pub(crate) fn outcome(report: &Path, passed: bool) -> Outcome {
    match fs::read_to_string(report) {
        Ok(report) => judged(&report, passed),
        Err(_) if passed => Outcome::PassedWith("no report tells what was tried twice".to_owned()),
        Err(_) => Outcome::Failed("see above".to_owned()),
    }
}

fn judged(report: &str, passed: bool) -> Outcome {
    let of = |elements| Some(named(report, elements)).filter(|names| !names.is_empty());
    if !passed {
        let failed = of(&["<failure", "<error"]);
        return Outcome::Failed(failed.unwrap_or_else(|| "see above".to_owned()));
    }
    match of(&["<flakyFailure", "<flakyError"]) {
        None => Outcome::Passed,
        Some(flaky) => Outcome::PassedWith(format!("at the second try: {flaky}")),
    }
}

/// The tests that hold one of these elements.
fn named(report: &str, elements: &[&str]) -> String {
    let cases = report.split("<testcase ").skip(1);
    let marked = cases.filter(|case| elements.iter().any(|element| case.contains(element)));
    let names: Vec<_> = marked
        .filter_map(|case| {
            let (name, binary) = (value(case, "name")?, value(case, "classname")?);
            Some(format!("{binary} {name}"))
        })
        .collect();
    let more = names.len().saturating_sub(NAMES);
    let shown = names[..names.len() - more].join(", ");
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// An attribute of the element that begins here. Names of tests hold nothing that XML escapes but
/// `<` and `>`, which a reader knows.
fn value<'a>(case: &'a str, attribute: &str) -> Option<&'a str> {
    let (tag, _) = case.split_once('>')?;
    let (_, value) = format!(" {tag}")
        .find(&format!(" {attribute}=\""))
        .map(|at| tag.split_at(at))?;
    value.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<testsuites><testsuite name="a::b">
        <testcase name="m::fine" classname="a::b" time="0.1"/>
        <testcase name="m::wrong" classname="a::b" time="0.1">
            <failure type="test failure" message="no"/>
        </testcase>
        <testcase name="m::shaky" classname="a::b" time="0.1">
            <flakyFailure type="test failure"/>
        </testcase>
    </testsuite></testsuites>"#;

    #[test]
    fn the_row_names_what_failed() {
        assert_eq!(
            judged(REPORT, false),
            Outcome::Failed("a::b m::wrong".to_owned())
        );
        assert_eq!(
            judged(REPORT, true),
            Outcome::PassedWith("at the second try: a::b m::shaky".to_owned())
        );
    }

    #[test]
    fn a_run_that_left_no_report_is_still_judged() {
        let nowhere = Path::new("/nowhere/junit.xml");
        assert!(matches!(outcome(nowhere, true), Outcome::PassedWith(_)));
        assert_eq!(
            outcome(nowhere, false),
            Outcome::Failed("see above".to_owned())
        );
    }

    #[test]
    fn many_failures_are_counted() {
        let case = r#"<testcase name="t" classname="c"><failure/></testcase>"#;
        let Outcome::Failed(names) = judged(&case.repeat(NAMES + 3), false) else {
            panic!("it failed");
        };
        assert!(names.ends_with("c t and 3 more"), "{names}");
    }
}
