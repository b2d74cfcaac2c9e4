//! Whether what is answered is what is described.

use http::Response;

use super::describe::describe;
use crate::{error::Code, routes::Endpoint};

/// Whether the description of an endpoint has an answer: its code, or its status and media type.
pub(crate) fn is_described<B>(endpoint: Endpoint, response: &Response<B>) -> bool {
    let described = describe(endpoint);
    match response.extensions().get::<Code>() {
        // What should not happen is not described either.
        Some(Code::Internal) => true,
        Some(code) => described.codes().any(|known| known == *code),
        None => {
            let (status, headers) = (response.status(), response.headers());
            let mut answers = described.answers.iter();
            answers.any(|answer| answer.is(status, headers))
        }
    }
}
