//! The files of `docs/deploy` by themselves.

use yaml_rust2::{Yaml, YamlLoader};

use super::proxy::file;

/// Of the node, as `docs/protocol.md` has them.
const HEARTBEAT: u64 = 30;
const LONGEST_POLL: u64 = 60;

#[test]
fn times_leave_room_for_two_heartbeats_and_the_longest_poll() {
    for (name, settings) in [
        (
            "nginx.conf",
            &["proxy_read_timeout", "proxy_send_timeout", "send_timeout"][..],
        ),
        ("Caddyfile", &["read_timeout", "response_header_timeout"]),
        (
            "haproxy.cfg",
            &["timeout client", "timeout server", "timeout tunnel"],
        ),
    ] {
        let file = file(name);
        for setting in settings {
            let mut lines = file.lines().map(str::trim);
            let said = lines.find_map(|line| line.strip_prefix(setting));
            let said = said.unwrap_or_else(|| panic!("{name} says no {setting}"));
            let seconds = said.trim().trim_end_matches(';').strip_suffix('s');
            let seconds: u64 = seconds.and_then(|text| text.parse().ok()).unwrap();
            assert!(
                seconds > (2 * HEARTBEAT).max(LONGEST_POLL),
                "{name}: {setting}"
            );
        }
    }
}

#[test]
fn what_is_not_run_says_so() {
    for name in ["haproxy.cfg", "kubernetes.yaml", "compose.yaml"] {
        let file = file(name);
        let first = file.lines().next().unwrap();
        assert!(first.contains("Not run by our tests"), "{name}: {first}");
    }
}

/// The node's times that `kubernetes.yaml` says the service has, in seconds.
const UNREADY_FOR: i64 = 5;
const DEADLINE: i64 = 15;

#[test]
fn kubernetes_gives_a_node_the_time_to_send_its_clients_away() {
    let objects = YamlLoader::load_from_str(&file("kubernetes.yaml")).unwrap();
    let of = |kind: &str| -> &Yaml {
        let mut found = objects
            .iter()
            .filter(|object| object["kind"].as_str() == Some(kind));
        found.next().unwrap_or_else(|| panic!("there is no {kind}"))
    };
    let deployment = &of("Deployment")["spec"];
    let pod = &deployment["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_i64().unwrap();
    assert!(grace > UNREADY_FOR + DEADLINE + 1);
    let container = &pod["containers"][0];
    let path = |probe: &str| container[probe]["httpGet"]["path"].as_str();
    assert_eq!(path("readinessProbe"), Some("/health/ready"));
    assert_eq!(path("livenessProbe"), Some("/health/live"));
    let replicas = deployment["replicas"].as_i64().unwrap();
    let budget = &of("PodDisruptionBudget")["spec"];
    let kept = budget["minAvailable"].as_i64().unwrap();
    assert!((1..replicas).contains(&kept));
    let app = |labels: &Yaml| labels["app"].as_str().map(str::to_owned);
    let own = app(&deployment["template"]["metadata"]["labels"]);
    assert!(own.is_some());
    for selector in [
        &deployment["selector"]["matchLabels"],
        &budget["selector"]["matchLabels"],
        &of("Service")["spec"]["selector"],
    ] {
        assert_eq!(app(selector), own);
    }
}

#[test]
fn compose_keeps_redis_to_the_nodes_and_has_no_secret_of_its_own() {
    let text = file("compose.yaml");
    let compose = &YamlLoader::load_from_str(&text).unwrap()[0];
    assert_eq!(
        compose["networks"]["inner"]["internal"].as_bool(),
        Some(true)
    );
    let redis = &compose["services"]["redis"];
    assert_eq!(redis["networks"].as_vec().unwrap().len(), 1);
    assert!(redis["ports"].is_badvalue());
    for secret in ["REDIS_PASSWORD", "PROGRESS_SECRET"] {
        assert!(
            text.contains(&format!("${{{secret}:?}}")),
            "{secret} comes from outside"
        );
    }
}
