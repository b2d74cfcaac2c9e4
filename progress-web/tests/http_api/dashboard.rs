//! The page at `/dashboard`, and what it is made of.

use std::collections::BTreeSet;

use http::{Request, Response};
use progress_web::{Body, Gateway};

use super::support::{builder, gateway, get, request};

async fn answer(gateway: &Gateway, path: &str) -> Response<Body> {
    let found = gateway.find(path).expect("it is mounted");
    let request = Request::get(path).body(String::new()).unwrap();
    gateway.respond(found.path, &found.parameter, request).await
}

fn header<'a, B>(response: &'a Response<B>, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.expect(name).to_str().unwrap()
}

/// What a page refers to, wherever that is.
fn referred(page: &str) -> impl Iterator<Item = &str> {
    [" src=\"", " href=\""]
        .into_iter()
        .flat_map(move |attribute| {
            let rest = page.split(attribute).skip(1);
            rest.map(|rest| rest.split_once('"').unwrap().0)
        })
}

#[tokio::test]
async fn all_that_the_page_refers_to_is_beside_it() {
    let gateway = gateway();
    let page = gateway.dashboard(&get("/dashboard"));
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    let text = std::str::from_utf8(page.body()).unwrap();
    let files: Vec<_> = referred(text)
        .filter(|file| !file.starts_with("data:"))
        .collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        // Under any prefix: what is relative to `…/dashboard` is relative to its parent.
        let file = file.strip_prefix("./").unwrap_or(file);
        assert!(file.starts_with("dashboard/"), "{file}");
        let found = answer(&gateway, &format!("/{file}")).await;
        assert_eq!(found.status(), 200, "{file}");
        assert_eq!(header(&found, "x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn scripts_import_what_is_there_and_nothing_of_elsewhere() {
    let gateway = gateway();
    for (name, imports) in [
        ("dashboard.js", &["progress-client.js"][..]),
        ("progress-client.js", &[]),
        ("progress-view.js", &["progress-client.js"]),
    ] {
        let script = gateway.dashboard_file(&get("/"), name);
        assert_eq!(
            header(&script, "content-type"),
            "text/javascript; charset=utf-8"
        );
        let text = std::str::from_utf8(script.body()).unwrap();
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "{name}"
        );
        let imported: BTreeSet<_> = ["from\"./", "import\"./", "import(\"./"]
            .into_iter()
            .flat_map(|before| text.split(before).skip(1))
            .filter_map(|rest| Some(rest.split_once('"')?.0))
            .collect();
        assert_eq!(imported, imports.iter().copied().collect(), "{name}");
        for file in imported {
            let found = gateway.dashboard_file(&get("/"), file);
            assert_eq!(found.status(), 200, "{file}");
        }
    }
}

#[test]
fn a_page_takes_the_client_and_the_element_from_here() {
    let gateway = gateway();
    for (name, exports) in [
        ("progress-client.js", "as createProgressClient"),
        ("progress-view.js", "as ProgressView"),
    ] {
        let script = gateway.dashboard_file(&get("/"), name);
        let text = std::str::from_utf8(script.body()).unwrap();
        assert!(text.contains(exports), "{name}");
    }
}

#[test]
fn the_page_runs_nothing_of_elsewhere_and_is_framed_by_nobody() {
    let page = gateway().dashboard(&get("/dashboard"));
    let policy = header(&page, "content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    let text = std::str::from_utf8(page.body()).unwrap();
    assert!(
        !text.contains("<style") && !text.contains(" style="),
        "the policy forbids it"
    );
}

#[test]
fn who_has_a_file_is_not_sent_it_again() {
    let gateway = gateway();
    let first = gateway.dashboard_file(&get("/"), "dashboard.js");
    let tag = header(&first, "etag");
    let asked = request(http::Method::GET, "/", &[("if-none-match", tag)]);
    let again = gateway.dashboard_file(&asked, "dashboard.js");
    assert_eq!((again.status().as_u16(), again.body().len()), (304, 0));
    assert_eq!(header(&again, "etag"), tag);
    let other = gateway.dashboard_file(&asked, "dashboard.css");
    assert_eq!(other.status(), 200, "it is another");
}

#[tokio::test]
async fn other_files_are_not_there_and_without_a_dashboard_none() {
    let with = gateway();
    for name in ["Cargo.toml", "../dashboard.js", "", "dashboard.html"] {
        assert_eq!(with.dashboard_file(&get("/"), name).status(), 404, "{name}");
    }
    let without = builder().dashboard(false).build();
    for path in ["/dashboard", "/dashboard/dashboard.js"] {
        assert_eq!(answer(&with, path).await.status(), 200);
        assert!(without.find(path).is_none());
        assert!(
            without
                .paths()
                .all(|mounted| !mounted.as_str().contains("dashboard"))
        );
    }
}
