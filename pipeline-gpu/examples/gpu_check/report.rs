//! What is printed, and what the exit status is of.

use std::{fmt::Display, process::ExitCode};

/// Counts the checks as they are printed.
#[derive(Default)]
pub(crate) struct Report {
    held: u32,
    failed: Vec<String>,
    section: &'static str,
}

impl Report {
    pub(crate) fn section(&mut self, name: &'static str) {
        println!("\n== {name}");
        self.section = name;
    }

    /// A figure that nothing is asked of.
    pub(crate) fn line(&self, line: impl Display) {
        println!("      {line}");
    }

    pub(crate) fn check(&mut self, name: &str, holds: bool, said: &str) {
        if holds {
            println!("ok    {name}: {said}");
            self.held += 1;
        } else {
            println!("FAIL  {name}: {said}");
            self.failed.push(format!("{}: {name}", self.section));
        }
    }

    /// A check that has no meaning here.
    pub(crate) fn skip(&self, name: &str, why: &str) {
        println!("skip  {name}: {why}");
    }

    pub(crate) fn end(&self) -> ExitCode {
        println!("\n{} checks hold, {} fail", self.held, self.failed.len());
        for name in &self.failed {
            println!("FAIL  {name}");
        }
        if self.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
