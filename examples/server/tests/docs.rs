//! What the documents for operators name is there.

use std::{
    fs,
    path::{Path, PathBuf},
};

const DOCS: [&str; 3] = ["deployment.md", "security.md", "troubleshooting.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn doc(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// All source files of the workspace.
fn sources() -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let mut dirs = vec![root()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let is_ours = !name.starts_with('.') && name != "target" && name != "node_modules";
                dirs.extend(is_ours.then_some(path));
            } else if name.ends_with(".rs") {
                sources.push(path);
            }
        }
    }
    sources
}

/// What stands between backticks, outside of blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

/// Whether a file of this name, or of these last parts of its path, is there, with the test if one is named.
fn is_there(sources: &[PathBuf], file: &str, test: Option<&str>) -> bool {
    sources
        .iter()
        .filter(|path| path.ends_with(file))
        .any(|path| {
            test.is_none_or(|test| {
                let text = fs::read_to_string(path).unwrap();
                let is_named = text.contains(&format!("fn {test}("));
                is_named
                    && (text.contains("#[tokio::test")
                        || text.contains("#[test]")
                        || has_suite(path))
            })
        })
}

/// The suite of `blackbox` is made of plain functions, which each adapter runs as tests.
fn has_suite(path: &Path) -> bool {
    path.parent()
        .is_some_and(|dir| dir.ends_with("blackbox/tests/suite"))
}

#[test]
fn every_test_and_file_that_they_name_is_there() {
    let sources = sources();
    let mut named = 0;
    let mut missing = Vec::new();
    for name in DOCS {
        let text = doc(name);
        for quoted in quoted(&text) {
            let (file, test) = match quoted.split_once("::") {
                Some((file, test)) => (file, Some(test)),
                None => (quoted, None),
            };
            if !file.ends_with(".rs") {
                continue;
            }
            named += 1;
            if !is_there(&sources, file, test) {
                missing.push(format!("{name}: {quoted}"));
            }
        }
    }
    assert!(named > 60, "they name tests");
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The table of what a proxy has to do names tests of `proxies` alone.
#[test]
fn every_test_of_proxies_that_the_table_names_is_there() {
    let text = doc("deployment.md");
    let table = text
        .split("\n## ")
        .find(|part| part.starts_with("Behind a proxy"));
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxies");
    let sources: Vec<_> = sources()
        .into_iter()
        .filter(|path| path.starts_with(dir.canonicalize().unwrap()))
        .collect();
    let rows = table
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(2);
    let mut named = 0;
    for row in rows {
        let last = row.rsplit('|').nth(1).unwrap();
        for test in quoted(last) {
            named += 1;
            let found = sources.iter().any(|path| {
                is_there(
                    std::slice::from_ref(path),
                    path.to_str().unwrap(),
                    Some(test),
                )
            });
            assert!(found, "{test} is not there");
        }
    }
    assert!(named > 15);
}

#[test]
fn what_they_show_of_rust_is_compiled() {
    let compiled = fs::read_to_string(root().join("examples/server/tests/cors.rs")).unwrap();
    let text = doc("security.md");
    let blocks = text.split("```rust\n").skip(1);
    let blocks: Vec<_> = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 1);
    for block in blocks {
        assert!(compiled.contains(block), "{block}");
    }
}

#[test]
fn what_they_link_to_is_there() {
    for name in DOCS {
        let text = doc(name);
        for link in text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let file = if file.is_empty() { name } else { file };
            let path = root().join("docs").join(file);
            let linked = fs::read_to_string(&path).unwrap_or_default();
            assert!(path.exists(), "{name}: {link}");
            let headings = linked.lines().filter(|line| line.starts_with('#'));
            let is_there = anchor.is_empty() || headings.map(slug).any(|slug| slug == anchor);
            assert!(is_there, "{name}: {link}");
        }
    }
}

/// What a heading is linked to by.
fn slug(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
