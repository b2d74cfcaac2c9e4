//! What is counted, and that those who watch over a service can make something of it.

mod support;

#[path = "metrics/delivery.rs"]
mod delivery;
#[path = "metrics/files.rs"]
mod files;
#[path = "metrics/process.rs"]
mod process;
#[path = "metrics/refusals.rs"]
mod refusals;

use http::Request;
use progress_web::Gateway;

/// The lines of `GET /metrics`.
async fn scrape(gateway: &Gateway) -> String {
    let request = Request::get("/metrics").body(()).unwrap().into_parts().0;
    let response = gateway.metrics(&request).await;
    assert_eq!(response.status(), 200);
    String::from_utf8(response.into_body().to_vec()).unwrap()
}

/// The value of one series, written as the format writes it.
fn value(text: &str, series: &str) -> f64 {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    match found {
        Some(value) => value.parse().unwrap(),
        None => panic!("no {series} in {text}"),
    }
}

async fn counted(gateway: &Gateway, series: &str) -> f64 {
    value(&scrape(gateway).await, series)
}
