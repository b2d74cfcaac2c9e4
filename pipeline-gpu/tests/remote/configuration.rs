//! What a client is made of.

use std::time::Duration;

use pipeline_gpu::remote::{ApiKey, Media, RemoteError, RenderRequest, Renderer, RendererBuilder};
use progress_core::TaskError;

fn at(base: &str) -> RendererBuilder {
    Renderer::builder(base, ApiKey::basic("user", "secret").unwrap())
}

#[test]
fn a_base_url_is_by_https_or_on_this_machine() {
    for fine in [
        "https://api.d-id.com",
        "https://example.com/v1/",
        "http://127.0.0.1:8080",
        "http://localhost",
        "http://[::1]:9",
    ] {
        assert!(at(fine).build().is_ok(), "{fine}");
    }
    for wrong in [
        "http://api.d-id.com",
        "ftp://localhost",
        "api.d-id.com",
        "",
        "https://user:password@example.com",
        "https:user:password@example.com",
        "user:password@example.com",
        "https://example.com?key=password",
        "https://example.com/v1?",
        "https://example.com#password",
        "http://127.0.0.1.example.com",
    ] {
        let error = at(wrong).build().unwrap_err();
        assert!(
            matches!(
                error,
                RemoteError::Config {
                    field: "the base URL",
                    ..
                }
            ),
            "{wrong}"
        );
        let told = format!("{:?} {error}", at(wrong));
        assert!(
            !told.contains("=password") && !told.contains(":password"),
            "{told}"
        );
        assert!(!told.contains("#password"), "{told}");
    }
}

#[test]
fn times_and_numbers_of_zero_are_named() {
    let base = || at("https://example.com");
    let zero = Duration::ZERO;
    for (builder, named) in [
        (base().connect_timeout(zero), "connect_timeout"),
        (base().request_timeout(zero), "request_timeout"),
        (base().job_timeout(zero), "job_timeout"),
        (base().delays(zero, zero), "the first delay"),
        (base().polls(zero, zero), "the first poll"),
        (base().attempts(0), "attempts"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(
            matches!(error, RemoteError::Config { field, .. } if field == named),
            "{error}"
        );
    }
}

#[test]
fn keys_that_cannot_be_are_refused_and_no_key_is_shown() {
    for wrong in [
        ApiKey::basic("", "secret"),
        ApiKey::basic("us:er", "secret"),
        ApiKey::encoded("  "),
        ApiKey::encoded("a\nb"),
    ] {
        assert!(matches!(wrong, Err(RemoteError::Config { .. })));
    }
    let builder = at("https://example.com");
    let renderer = builder.clone().build().unwrap();
    let told = format!("{builder:?} {renderer:?}");
    // The base64 of the key begins so.
    assert!(
        !told.contains("secret") && !told.contains("dXNlc"),
        "{told}"
    );
    let media = Media::url("https://example.com/face.png?signature=hidden");
    let upload = Media::upload("voice.mp3", "audio/mpeg", vec![7; 9]);
    let told = format!("{:?}", RenderRequest::new(media, upload));
    assert!(
        !told.contains("hidden") && told.contains("9 bytes"),
        "{told}"
    );
}

#[test]
fn every_error_has_a_code_of_its_kind_and_most_have_a_way_out() {
    let errors = [
        RemoteError::Unreachable {
            reason: String::new(),
        },
        RemoteError::Timeout {
            what: "it",
            limit: Duration::ZERO,
        },
        RemoteError::Unauthorized,
        RemoteError::NoCredit,
        RemoteError::Unsure,
        RemoteError::ResultTooLarge { limit: 1 },
        RemoteError::ResultIncomplete { bytes: 1 },
        RemoteError::File {
            kind: std::io::ErrorKind::StorageFull,
        },
    ];
    for error in errors {
        let told = TaskError::from(error.clone());
        assert!(told.code().starts_with("RENDER_"), "{}", told.code());
        assert_eq!(told.is_retryable(), error.is_retryable());
        assert_eq!(told.solutions().len(), 1, "{error}");
    }
}
