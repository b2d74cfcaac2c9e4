//! What is idle: measured by the `memory` program, whose allocator counts.

use std::process::Command;

use progress_benches::{
    rounds::Effort,
    table::{Row, Table},
};

pub(crate) fn rows(_: Effort, table: &mut Table) {
    let output = Command::new(env!("CARGO_BIN_EXE_memory"))
        .output()
        .expect("the memory program starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let bytes = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no line of {name} in {text}"));
        line.trim().parse().expect("it prints numbers")
    };
    table.push(Row::new("idle task, four events", bytes("plain_task"), "B").at_most(1536.0));
    // What its stage and the present value of it take as well; no target is set for that.
    table.push(Row::new(
        "idle task, a stage too",
        bytes("staged_task"),
        "B",
    ));
    table.push(Row::new("idle subscription", bytes("subscription"), "B").at_most(200.0));
}
