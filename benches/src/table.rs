//! Rows: a name, a target, what was measured beside its baseline, and whether it will do.

use std::{env, fmt, process::ExitCode};

use crate::rounds::Effort;

/// The rows, judged with one slack.
pub struct Table {
    slack: f64,
    rows: Vec<Row>,
}

#[must_use]
pub struct Row {
    name: String,
    unit: &'static str,
    measured: f64,
    baseline: Option<f64>,
    ratio: Option<f64>,
    targets: Vec<Target>,
}

#[derive(Clone, Copy)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
    RatioAtMost(f64),
    RatioAtLeast(f64),
}

impl Table {
    fn new(slack: f64) -> Self {
        Self {
            slack,
            rows: Vec::new(),
        }
    }

    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    fn is_met(&self) -> bool {
        self.rows.iter().all(|row| row.is_met(self.slack))
    }
}

impl Row {
    pub fn new(name: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            unit,
            measured,
            baseline: None,
            ratio: None,
            targets: Vec::new(),
        }
    }

    pub fn beside(mut self, baseline: f64, ratio: f64) -> Self {
        self.baseline = Some(baseline);
        self.ratio = Some(ratio);
        self
    }

    pub fn at_most(mut self, value: f64) -> Self {
        self.targets.push(Target::AtMost(value));
        self
    }

    pub fn at_least(mut self, value: f64) -> Self {
        self.targets.push(Target::AtLeast(value));
        self
    }

    pub fn ratio_at_most(mut self, ratio: f64) -> Self {
        self.targets.push(Target::RatioAtMost(ratio));
        self
    }

    pub fn ratio_at_least(mut self, ratio: f64) -> Self {
        self.targets.push(Target::RatioAtLeast(ratio));
        self
    }

    /// A row without a target cannot miss it; one whose figure is missing or is none does.
    fn is_met(&self, slack: f64) -> bool {
        self.targets.iter().all(|target| match *target {
            Target::AtMost(value) => self.measured <= value * slack,
            Target::AtLeast(value) => self.measured >= value / slack,
            Target::RatioAtMost(value) => self.ratio.is_some_and(|ratio| ratio <= value * slack),
            Target::RatioAtLeast(value) => self.ratio.is_some_and(|ratio| ratio >= value / slack),
        })
    }

    fn target(&self) -> String {
        let targets: Vec<_> = self
            .targets
            .iter()
            .map(|target| match target {
                Target::AtMost(value) => format!("<= {value} {}", self.unit),
                Target::AtLeast(value) => format!(">= {value} {}", self.unit),
                Target::RatioAtMost(value) => format!("<= {value}x"),
                Target::RatioAtLeast(value) => format!(">= {value}x"),
            })
            .collect();
        targets.join(", ")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["name", "target", "measured", "baseline", "ratio", "verdict"];
        let mut lines = vec![header.map(str::to_owned)];
        for row in &self.rows {
            lines.push([
                row.name.clone(),
                row.target(),
                format!("{} {}", digits(row.measured), row.unit),
                row.baseline.map_or_else(String::new, |baseline| {
                    format!("{} {}", digits(baseline), row.unit)
                }),
                row.ratio
                    .map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
                match row.is_met(self.slack) {
                    true => "ok".to_owned(),
                    false => "MISSED".to_owned(),
                },
            ]);
        }
        let mut widths = [0; 6];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.len().max(*width);
            }
        }
        for line in &lines {
            let [name, target, numbers @ .., verdict] = line;
            write!(f, "{name:0$}  {target:1$}", widths[0], widths[1])?;
            for (cell, width) in numbers.iter().zip(&widths[2..5]) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f, "  {verdict}")?;
        }
        let missed = self
            .rows
            .iter()
            .filter(|row| !row.is_met(self.slack))
            .count();
        writeln!(
            f,
            "{} rows, {missed} missed, slack {}",
            self.rows.len(),
            self.slack
        )
    }
}

/// Three digits that count.
fn digits(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A name, and what measures its rows.
pub type Part = (&'static str, fn(Effort, &mut Table));

/// Measures the parts that the command line asks for and prints the table; fails if a row misses its
/// target. `--slack 10` makes every target ten times as easy; `--only NAME` measures one part; `--test`
/// only shows that everything runs.
#[must_use]
pub fn run(parts: &[Part]) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let only_run = arguments.iter().any(|argument| argument == "--test");
    let only = after(&arguments, "--only");
    let slack = match slack(&arguments) {
        Ok(slack) => slack,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let effort = if only_run {
        Effort::LEAST
    } else {
        Effort::FULL
    };
    // Single short turns say nothing about speed.
    let mut table = Table::new(if only_run { f64::INFINITY } else { slack });
    for (name, rows) in parts {
        if only.is_none_or(|only| only == *name) {
            rows(effort, &mut table);
        }
    }
    if table.rows.is_empty() {
        let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
        eprintln!("error: --only takes one of {}", names.join(", "));
        return ExitCode::from(2);
    }

    print!("{table}");
    if table.is_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// From `--slack N`, else 1.
fn slack(arguments: &[String]) -> Result<f64, String> {
    let Some(value) = after(arguments, "--slack") else {
        return Ok(1.0);
    };
    match value.parse() {
        Ok(slack) if slack >= 1.0 && f64::is_finite(slack) => Ok(slack),
        _ => Err(format!(
            "--slack takes a number of at least 1, not `{value}`"
        )),
    }
}

/// The value of an option; empty if there is none behind it.
fn after<'a>(arguments: &'a [String], option: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == option)?;
    Some(arguments.get(at + 1).map_or("", String::as_str))
}
