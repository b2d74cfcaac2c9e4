//! The recorder of the process, beside the gateway's own.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use progress_core::ProgressTracker;
use progress_web::{Gateway, Open};
use tokio::time::{Duration, sleep, timeout};

use super::{counted, value};
use crate::support::request;

fn gateway() -> Gateway {
    Gateway::builder(ProgressTracker::new())
        .authorizer(Open::new().named_ids().managing())
        .build()
}

fn recorder() -> (PrometheusRecorder, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

/// Waits until the recorder of the process has heard of it, which nobody asks for.
async fn until(process: &PrometheusHandle, series: &str, expected: f64) {
    let told = async {
        while value(&process.render(), series) != expected {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let told = timeout(Duration::from_secs(60), told).await;
    assert!(told.is_ok(), "{series} {expected}: {}", process.render());
}

#[tokio::test(start_paused = true)]
async fn series_stand_beside_the_services_own_and_gateways_do_not_mix() {
    let (recorder, process) = recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    metrics::counter!("service_things_total").increment(1);
    let (one, two) = (gateway(), gateway());
    let _task = one.tracker().task("t").start().unwrap();
    let _tasks = ["u", "v"].map(|id| two.tracker().task(id).start().unwrap());
    let _watching = one.web_socket(&request("/"), "t").await;
    let _other = two.web_socket(&request("/"), "u").await;

    let (sessions, live) = (
        "progress_sessions{kind=\"websocket\"}",
        "progress_tasks{state=\"live\"}",
    );
    assert_eq!(counted(&one, sessions).await, 1.0);
    assert_eq!(counted(&two, live).await, 2.0);
    assert!(!super::scrape(&one).await.contains("service_things"));

    // Nobody need scrape a gateway for the process to be told.
    assert_eq!(value(&process.render(), "service_things_total"), 1.0);
    assert_eq!(value(&process.render(), sessions), 2.0);
    until(&process, live, 3.0).await;
    let text = process.render();
    assert!(text.contains("# HELP progress_tasks Tasks that are kept, live or ended.\n"));
    assert!(text.contains("# TYPE progress_tasks gauge\n"));

    // What a gateway has had goes with it.
    drop((two, _other, _tasks));
    until(&process, live, 1.0).await;
    until(&process, sessions, 1.0).await;
}

#[test]
fn gateway_is_made_and_counts_where_there_is_no_runtime() {
    let gateway = gateway();
    assert_eq!(gateway.health().status(), 200);
    let scraped = futures_util::FutureExt::now_or_never(super::scrape(&gateway)).unwrap();
    assert_eq!(value(&scraped, "progress_tasks{state=\"live\"}"), 0.0);
}
