//! `demo FILE…` as a user runs it.

use std::process::{Command, Output};

fn demo(files: &[&std::path::Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(files)
        .output()
        .unwrap()
}

#[test]
fn prints_what_was_found_and_succeeds_if_any_file_did() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("notes.txt");
    let bad = folder.path().join("broken.png");
    std::fs::write(&good, "hello").unwrap();
    std::fs::write(&bad, "no picture").unwrap();
    let output = demo(&[&good, &bad, &folder.path().join("missing.bin")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("✓ notes.txt: 5 bytes, sha256 2cf24dba5fb0"),
        "{text}"
    );
    assert!(text.contains("(IMAGE_DECODE_FAILED)"), "{text}");
    assert!(text.contains("(FILE_READ_FAILED)"), "{text}");
    // Each attempt is seen.
    assert_eq!(text.matches("… missing.bin: ").count(), 3, "{text}");
    assert!(text.contains("1 of 3 files done, 2 failed"), "{text}");
    assert!(output.status.success());
}

#[test]
fn fails_if_every_file_does() {
    let output = demo(&[std::path::Path::new("does-not-exist.txt")]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("(CHILDREN_FAILED)"), "{text}");
}
