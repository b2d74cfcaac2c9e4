//! What must not be read by others: keys, tokens, and what tokens say.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use jsonwebtoken::EncodingKey;
use progress_core::ProgressTracker;
use progress_web::{Gateway, jwt::Jwt};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Issuer, SECRET, claims, in_secs, jwks, request, watch};

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn debug_shows_no_key() {
    let secret = String::from_utf8(SECRET.to_vec()).unwrap();
    let rsa = Issuer::rs256().jwk("a");
    let shown = Issuer::all()
        .into_iter()
        .map(|issuer| format!("{:?} {:#?}", issuer.public.clone(), issuer.public));
    let builder = Jwt::builder()
        .key(Issuer::hs256().public.kid("the-id"))
        .jwks(jwks(&[Issuer::hs256().jwk("b"), rsa.clone()]));
    let builder_shown = format!("{builder:?} {builder:#?}");
    let jwt = builder.build().unwrap();
    let all: String = shown
        .chain([builder_shown, format!("{jwt:?} {jwt:#?}")])
        .collect();
    assert!(all.contains("the-id"), "{all}");
    let modulus = rsa["n"].as_str().unwrap();
    let of_set = Issuer::hs256().jwk("b")["k"].as_str().unwrap().to_owned();
    // As text, as a list of bytes, and as it stands in a set.
    let bytes = format!("{SECRET:?}");
    let bytes = bytes.trim_matches(['[', ']']);
    let set_bytes = format!("{:?}", of_set.as_bytes());
    let set_bytes = set_bytes.trim_matches(['[', ']']);
    for hidden in [&*secret, bytes, modulus, &of_set, set_bytes] {
        assert!(!all.contains(hidden), "{hidden} in {all}");
    }
}

#[tokio::test]
async fn log_and_answers_hold_nothing_of_a_token() {
    let issuer = Issuer::hs256();
    let stranger = Issuer {
        algorithm: issuer.algorithm,
        key: EncodingKey::from_secret(b"another secret that is not known"),
        public: issuer.public.clone(),
    };
    let said = |changes: serde_json::Value| {
        let mut said = claims(json!({"sub": "hidden-subject", "note": "hidden-note"}));
        said.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        said
    };
    let mut tokens = vec![
        stranger.sign(&said(json!({}))),
        issuer.sign_as("hidden-kid", &said(json!({}))),
        issuer.sign(&said(json!({"exp": in_secs(-100)}))),
        issuer.sign(&said(json!({"aud": "hidden-audience"}))),
        issuer.sign(&said(json!({"roles": {"hidden-role": 1}}))),
        issuer.sign(&said(json!({"tasks": ["hidden task"]}))),
        issuer.sign(&said(json!({"tasks": ["hidden-task"]}))),
        issuer.sign(&said(json!({"sub": "hidden\nsubject"}))),
        issuer.sign(&said(json!({"roles": ["hidden-role"]}))),
        issuer.sign(&said(json!({"roles": ["admin", "hidden-role"]}))),
    ];
    tokens.push(format!("{}.hidden", tokens[0]));
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(issuer.jwt())
        .build();
    let mut answers = String::new();
    for token in &tokens {
        let parts = request(token);
        let answer = gateway.task(&parts, "some-task").await;
        answers += &String::from_utf8_lossy(answer.body());
        answers += &format!("{:?}", answer.headers());
        let decided = progress_web::Authorizer::authorize(&issuer.jwt(), &parts, &watch("a")).await;
        if let Err(refusal) = decided {
            answers += &format!("{refusal} {refusal:?}");
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for reason in [
        "no key verifies the token",
        "the token has expired",
        "the token is for another audience",
        "the token does not have three parts",
    ] {
        assert!(log.contains(reason), "{log}");
        // Why is for the operator, not for whoever tries.
        assert!(!answers.contains(reason), "{answers}");
    }
    assert!(answers.contains("UNAUTHENTICATED") && answers.contains("FORBIDDEN"));
    let parts = tokens.iter().flat_map(|token| token.split('.'));
    for text in [&log, &answers] {
        assert!(!text.contains("hidden"), "{text}");
        for part in parts.clone().filter(|part| *part != "hidden") {
            assert!(!text.contains(part), "{part} in {text}");
        }
    }
}
