//! The format, and the files that name series: by the tools that read them.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use http::Request;
use progress_core::{
    ProgressTracker, Timestamp,
    testing::MemoryBus,
    transport::{ConnectionHealth, ConnectionState, Probe, TransportHealth},
};
use progress_web::{Gateway, Open};
use serde_json::{Value, json};

use super::scrape;
use crate::support::{Mark, open, request, say, settle};

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Runs Prometheus' own tool; fails with what it says.
fn promtool(arguments: &[&str], input: &str) {
    let named = env::var_os("PROMTOOL").filter(|name| !name.is_empty());
    let mut child = Command::new(named.unwrap_or_else(|| "promtool".into()))
        .args(arguments)
        .current_dir(docs().join("monitoring"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: Debian's package is `prometheus`, or set PROMTOOL");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        said(&output.stdout),
        said(&output.stderr)
    );
}

/// A gateway to which everything has happened that has a series of its own.
async fn busy() -> (Gateway, Box<dyn std::any::Any>) {
    let link = MemoryBus::new().connect();
    let since = Timestamp::from_millis(1_000);
    let connection = ConnectionHealth::new(ConnectionState::Up, since);
    let mut health = TransportHealth::new(connection, connection);
    health.probe = Some(Probe::new(
        Duration::from_millis(7),
        Duration::from_millis(1),
    ));
    link.says(health);
    let tracker = ProgressTracker::builder().transport(link).build();
    let gateway = Gateway::builder(tracker)
        .authorizer(Open::new().named_ids().managing())
        .linger(Duration::ZERO)
        .build();
    let task = gateway.tracker().task("t").start_confirmed().await.unwrap();
    for path in ["/tasks", "/tasks/t", "/health", "/nobody's"] {
        let request = Request::get("/").body(String::new()).unwrap();
        if let Some(found) = gateway.find(path) {
            gateway.respond(found.path, &found.parameter, request).await;
        }
    }
    let mut many = open(&gateway).await;
    say(&mut many, json!({"type": "nonsense"})).await;
    let mut watching = gateway.web_socket(&request("/"), "t").await;
    for n in 0..500 {
        task.emit(Mark { n }).unwrap();
        if n % 50 == 0 {
            settle(&mut watching).await;
        }
    }
    task.complete(()).unwrap();
    settle(&mut watching).await;
    (gateway, Box::new((many, watching)))
}

#[tokio::test(start_paused = true)]
async fn prometheus_reads_what_a_busy_gateway_tells_and_finds_no_fault() {
    let (gateway, _open) = busy().await;
    let text = scrape(&gateway).await;
    promtool(&["check", "metrics"], &text);
    let types = text.lines().filter(|line| line.starts_with("# TYPE "));
    let helps = text.lines().filter(|line| line.starts_with("# HELP "));
    let names = |lines: &mut dyn Iterator<Item = &str>| {
        let names = lines.map(|line| line.split(' ').nth(2).unwrap().to_owned());
        let names: Vec<_> = names.collect();
        let all: BTreeSet<_> = names.iter().cloned().collect();
        assert_eq!(all.len(), names.len(), "each family stands in one place");
        all
    };
    assert_eq!(names(&mut { types }), names(&mut { helps }));
}

#[test]
fn alerts_fire_when_they_should_and_not_else() {
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
    let read = |name: &str| fs::read_to_string(docs().join("monitoring").join(name)).unwrap();
    let tests = read("alerts_test.yml");
    let rules = read("alerts.yml");
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        for case in ["fires", "is quiet"] {
            assert!(
                tests.contains(&format!("- name: {alert} {case}\n")),
                "{alert} {case}"
            );
        }
    }
}

/// The families that there are, and their labels.
fn families(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let name = family.split(' ').next().unwrap();
            families.insert(name.to_owned(), BTreeSet::new());
        } else if let Some((series, _)) = line.split_once('{') {
            let labels = line[series.len() + 1..].split("\",");
            let labels = labels.filter_map(|label| Some(label.split_once("=\"")?.0.to_owned()));
            let family = family_of(series, |name| families.contains_key(name));
            let family = families.get_mut(family).expect("its type comes first");
            family.extend(labels.filter(|label| label != "le"));
        }
    }
    families
}

/// A histogram's series have names of their own.
fn family_of(series: &str, is_family: impl Fn(&str) -> bool) -> &str {
    let suffixes = ["_bucket", "_sum", "_count"].into_iter();
    let mut shorter = suffixes.filter_map(|suffix| series.strip_suffix(suffix));
    shorter.find(|name| is_family(name)).unwrap_or(series)
}

/// The names in a text that are those of series.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("progress_")).collect()
}

#[tokio::test(start_paused = true)]
async fn every_series_in_the_files_exists_and_every_series_is_in_them() {
    let (gateway, _open) = busy().await;
    let text = scrape(&gateway).await;
    let families = families(&text);
    let dashboard = fs::read_to_string(docs().join("monitoring/dashboard.json")).unwrap();
    let rules = fs::read_to_string(docs().join("monitoring/alerts.yml")).unwrap();
    for file in [&dashboard, &rules] {
        for name in named(file) {
            let family = family_of(name, |name| families.contains_key(name));
            assert!(families.contains_key(family), "there is no {name}");
        }
    }
    let shown: BTreeSet<_> = named(&dashboard);
    let is_shown = |family: &str| {
        let mut names = shown.iter();
        names.any(|name| family_of(name, |name| name == family) == family)
    };
    for family in families.keys() {
        assert!(is_shown(family), "{family} is on no panel");
    }

    // The document's table: names, and then labels or whose they are.
    let operations = fs::read_to_string(docs().join("operations.md")).unwrap();
    let (_, metrics) = operations.split_once("\n## Metrics\n").unwrap();
    let (metrics, _) = metrics.split_once("\n## ").unwrap();
    let mut documented = BTreeSet::new();
    for row in metrics
        .lines()
        .filter(|line| line.starts_with("| `progress_"))
    {
        let mut cells = row.split('|').skip(1);
        let (names, labels) = (cells.next().unwrap(), cells.next().unwrap());
        let labels: BTreeSet<_> = labels.split('`').skip(1).step_by(2).collect();
        for name in names.split('`').skip(1).step_by(2) {
            let known = families
                .get(name)
                .unwrap_or_else(|| panic!("there is no {name}"));
            let known: BTreeSet<_> = known.iter().map(String::as_str).collect();
            assert_eq!(known, labels, "{name}");
            assert!(documented.insert(name), "{name} stands there twice");
        }
    }
    let families: BTreeSet<_> = families.keys().map(String::as_str).collect();
    assert_eq!(documented, families);
}

#[test]
fn dashboard_is_one_that_grafana_can_import() {
    let text = fs::read_to_string(docs().join("monitoring/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let source = variables
        .iter()
        .find(|variable| variable["type"] == "datasource");
    assert_eq!(source.unwrap()["name"], "datasource");
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                let is_free = x < 24 && taken.insert((x, y));
                assert!(is_free, "{panel} lies over another");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            let query = target["expr"].as_str().unwrap();
            // What Grafana puts in their place.
            let query = query.replace("$__rate_interval", "5m").replace('$', "");
            queries.push(json!({"record": "shown", "expr": query}));
        }
    }
    assert!(queries.len() > 40);
    // Of queries alone the tool has no check. YAML takes JSON.
    let rules = json!({"groups": [{"name": "dashboard", "rules": queries}]});
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dashboard-rules.yml");
    fs::write(&file, rules.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], "");
}
