//! What axe-core finds that keeps people from using a page.

use std::{fs, path::Path};

use fantoccini::Client;
use serde_json::{Value, json};

/// Looks the page over as it is now; gives each thing that is wrong, with where.
pub(crate) async fn violations(page: &Client) -> Vec<String> {
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("interop");
    let path = installed.join("node/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(&path).unwrap_or_else(|error| {
        let path = path.display();
        panic!("{path}: {error}; `cargo xtask test` installs it")
    });
    page.execute(&axe, Vec::new()).await.unwrap();
    let script = "const [answer] = arguments;
        const told = ({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.flat(9).join(' ')}: ${node.failureSummary}`);
        axe.run().then(
          ({ violations, passes }) => answer({ passes: passes.length, found: violations.flatMap(told) }),
          (error) => answer({ passes: 0, found: [String(error)] }),
        );";
    let report = page.execute_async(script, Vec::new()).await.unwrap();
    assert!(report["passes"].as_u64() > Some(0), "it looked at nothing");
    serde_json::from_value(report["found"].clone()).unwrap()
}

/// The schemes of colours, as arguments of `Emulation.setEmulatedMedia`.
pub(crate) fn schemes() -> [Value; 2] {
    ["dark", "light"]
        .map(|scheme| json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }))
}
