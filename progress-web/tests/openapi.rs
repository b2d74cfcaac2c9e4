//! The description of the routes: as committed.

use std::path::Path;

use progress_core::ProgressTracker;
use progress_web::Gateway;
use serde_json::Value;

#[test]
fn the_committed_description_is_what_a_gateway_says() {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/openapi.json");
    let answer = Gateway::new(ProgressTracker::new()).openapi();
    let document: Value = serde_json::from_slice(answer.body()).unwrap();
    let document = serde_json::to_string_pretty(&document).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&at, &document).unwrap();
    }
    let committed = std::fs::read_to_string(&at).unwrap();
    assert!(
        committed == document,
        "run the tests with UPDATE_SCHEMA=1, and look at what changed"
    );
}
