//! The same, counted in instructions by valgrind: who else is at work does not matter.

use std::{
    env,
    process::{Command, ExitCode},
};

use progress_benches::table::{Row, Table};

use crate::{bare::Bare, model, of_model, one_thread, runs, silent, told};

/// The role of this program under valgrind: `--counted HOW MODEL ITEMS`.
pub(crate) const ROLE: &str = "--counted";

/// A thousandth of what one core does at two instructions each nanosecond while u2netp works on a
/// picture; it works on two.
const LIMIT: f64 = 460_000.0;

/// Rows of what is added to a run of the session itself; none where there is no valgrind.
pub(crate) fn rows(table: &mut Table) {
    let Some(alone) = instructions("bare") else {
        return;
    };
    table.push(Row::new(
        "the session itself, counted",
        alone / 1e3,
        "k instructions",
    ));
    for (name, how) in [
        ("what `OnnxModel::run` adds, counted", "run"),
        ("what a pipeline adds, counted", "silent"),
        ("what a pipeline with a task adds, counted", "told"),
    ] {
        if let Some(with) = instructions(how) {
            let added = (with - alone) / 1e3;
            table.push(Row::new(name, added, "k instructions").at_most(LIMIT / 1e3));
        }
    }
}

/// Instructions of an item.
fn instructions(how: &str) -> Option<f64> {
    // What comes before the items is in both.
    let [few, many] = [100, 400].map(|items| counted(how, items));
    Some((many? - few?) / 300.0)
}

fn counted(how: &str, items: u64) -> Option<f64> {
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .args([ROLE, how, "blob_det64", &items.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    collected?.1.trim().parse().ok()
}

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let [how, name, items] = arguments else {
        return ExitCode::from(2);
    };
    let Ok(items) = items.parse() else {
        return ExitCode::from(2);
    };
    if how == "bare" {
        Bare::load(name, 1).unwrap().run(items).unwrap();
        return ExitCode::SUCCESS;
    }
    let runtime = one_thread();
    let model = model(name, 1, 1);
    let pipeline = runtime.block_on(async { of_model("bench", &model) });
    match how.as_str() {
        "run" => runs(&model, items),
        "silent" => silent(&runtime, &pipeline, items),
        "told" => told(&runtime, &pipeline, items),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
