//! A line as the signature of a message, and the rest as its body: without the secret nothing is taken;
//! what is signed is the state of a job, or no JSON of one.

#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use pipeline_gpu::remote::{Webhook, WebhookError};

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let (signature, body) = bytes.split_at(at.unwrap_or(0));
    let webhook = Webhook::new("a secret that no input can know!").expect("it is long enough");
    let mut headers = HeaderMap::new();
    if let Ok(signature) = HeaderValue::from_bytes(signature) {
        headers.insert("x-signature", signature);
        webhook
            .verify(&headers, body)
            .expect_err("nobody signed it");
    }
    let signature = webhook.sign(body).parse().expect("they are digits");
    headers.insert("x-signature", signature);
    match webhook.verify(&headers, body) {
        Ok(talk) => assert_eq!(webhook.verify(&headers, body), Ok(talk)),
        Err(error) => assert!(matches!(error, WebhookError::Body | WebhookError::TooLarge)),
    }
});
