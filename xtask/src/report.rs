//! What happened to each gate, and the table and closing line that say so.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{Context, Gate};

/// How a gate ended. A gate that could not be carried out is an error instead, shown as a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Passed, with something the reader of the table should know.
    PassedWith(String),
    Failed(String),
    Skipped(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, note) = match self {
            Self::Passed => return f.write_str("passed"),
            Self::PassedWith(note) => ("passed", note),
            Self::Failed(note) => ("failed", note),
            Self::Skipped(note) => ("skipped", note),
        };
        // One row is one line, whatever an error message contains.
        let note: Vec<_> = note.split_whitespace().collect();
        write!(f, "{word}: {}", note.join(" "))
    }
}

/// The rows gathered so far, in the order they ran.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

impl Report {
    /// Runs a gate and keeps its outcome. A failure does not stop the gates after it: one run shows
    /// everything there is to mend.
    pub(crate) fn run(&mut self, gate: &Gate, context: &Context) {
        println!("\n==> {}", gate.name);
        let start = Instant::now();
        let result = (gate.run)(context);
        let outcome = self.add(gate.name, start.elapsed(), result);
        println!("{} {outcome}", gate.name);
    }

    pub(crate) fn skip(&mut self, name: &'static str, reason: &str) {
        self.add(name, Duration::ZERO, Ok(Outcome::Skipped(reason.into())));
    }

    /// Nothing failed.
    pub(crate) fn succeeded(&self) -> bool {
        self.counts().failed == 0
    }

    fn add(&mut self, name: &'static str, took: Duration, result: Result<Outcome>) -> Outcome {
        let outcome = result.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        self.rows.push(Row {
            name,
            took,
            outcome: outcome.clone(),
        });
        outcome
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for row in &self.rows {
            match row.outcome {
                Outcome::Passed | Outcome::PassedWith(_) => counts.passed += 1,
                Outcome::Failed(_) => counts.failed += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
            }
        }
        counts
    }
}

/// The table, then the closing line. CI reads the closing line as a test runner's, so it stands
/// alone, last, and in this form.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len());
        let width = width.chain(["total".len()]).max().unwrap_or_default();
        writeln!(f, "{:width$}  minutes  result", "step")?;
        for row in &self.rows {
            let minutes = row.took.as_secs_f64() / 60.0;
            writeln!(f, "{:width$}  {minutes:7.1}  {}", row.name, row.outcome)?;
        }
        let total: Duration = self.rows.iter().map(|row| row.took).sum();
        writeln!(f, "{:width$}  {:7.1}", "total", total.as_secs_f64() / 60.0)?;
        let counts = self.counts();
        write!(
            f,
            "\nsteps: {} passed, {} failed",
            counts.passed, counts.failed
        )?;
        if counts.skipped > 0 {
            write!(f, ", {} skipped", counts.skipped)?;
        }
        writeln!(f)
    }
}

#[derive(Debug, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.add("fmt", Duration::from_secs(3), Ok(Outcome::Passed));
        let note = Outcome::PassedWith("15 s each: frame, log".into());
        report.add("fuzz", Duration::from_secs(90), Ok(note));
        report.skip("loom", "no loom tests yet");
        report
    }

    #[test]
    fn table_ends_with_the_closing_line() {
        let expected = "\
step   minutes  result
fmt        0.1  passed
fuzz       1.5  passed: 15 s each: frame, log
loom       0.0  skipped: no loom tests yet
total      1.6

steps: 2 passed, 0 failed, 1 skipped
";
        assert_eq!(report().to_string(), expected);
        assert!(report().succeeded());
    }

    #[test]
    fn error_is_a_failure_on_one_line() {
        let mut report = report();
        let error = anyhow!("exit status: 101\n  help: try again").context("clippy");
        report.add("clippy", Duration::ZERO, Err(error));
        let text = report.to_string();
        assert!(
            text.contains("failed: clippy: exit status: 101 help: try again\n"),
            "{text}"
        );
        assert!(text.ends_with("\nsteps: 2 passed, 1 failed, 1 skipped\n"));
        assert!(!report.succeeded());
    }

    #[test]
    fn closing_line_without_skips_is_plain() {
        let mut report = Report::default();
        report.add("tests", Duration::ZERO, Ok(Outcome::Passed));
        assert!(
            report
                .to_string()
                .ends_with("\nsteps: 1 passed, 0 failed\n")
        );
    }
}
