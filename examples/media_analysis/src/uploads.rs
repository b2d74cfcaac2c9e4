//! `/api/uploads`: what is too large for one request comes in chunks.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use demo::{multipart, refusal::Refusal};
use progress_web::TaskUrls;
use serde::{Deserialize, Serialize};

use crate::{
    batch::Listed,
    chunks::{Standing, Upload},
    server::App,
};

/// The body of `POST /api/uploads`.
#[derive(Debug, Deserialize)]
struct Wish {
    name: String,
    size: u64,
    /// What is to arrive, in 64 hexadecimal digits; checked once it has.
    sha256: Option<String>,
    /// The batch to join, or that a new one is to have.
    batch: Option<String>,
    /// The id that the medium is to have.
    id: Option<String>,
}

#[derive(Debug, Serialize)]
struct Created {
    #[serde(flatten)]
    standing: Standing,
    batch: TaskUrls,
    #[serde(flatten)]
    urls: TaskUrls,
}

/// `POST /api/uploads`
pub(crate) async fn create(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let wish: Wish = serde_json::from_slice(&body).map_err(|error| {
        let why = format!("The body is not {{name, size, sha256?, batch?, id?}}: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, "INVALID_BODY", why)
    })?;
    if wish.size == 0 {
        return Err(invalid("size", "size is at least 1"));
    }
    if let Some(sha256) = &wish.sha256
        && !(sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(invalid("sha256", "sha256 is not 64 hexadecimal digits"));
    }
    let batch = multipart::chosen_id("batch", wish.batch.as_deref())?;
    let item = Listed {
        task_id: multipart::chosen_id("id", wish.id.as_deref())?,
        name: multipart::file_name(Some(&wish.name), 1),
        size: Some(wish.size),
        chunked: true,
    };
    let join = || app.batches().join(&batch);
    let upload = app
        .chunked()
        .start(join, item, wish.size, wish.sha256, app.folder())?;
    Ok((StatusCode::CREATED, Json(describe(&app, &upload))).into_response())
}

/// `GET /api/uploads/{id}`
pub(crate) async fn standing(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Standing>, Refusal> {
    Ok(Json(app.chunked().find(&id)?.standing()))
}

/// `PUT /api/uploads/{id}/chunks/{n}`
pub(crate) async fn put(
    State(app): State<App>,
    Path((id, number)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Standing>, Refusal> {
    let upload = app.chunked().find(&id)?;
    let number = number
        .parse()
        .map_err(|_| invalid("n", "n is not the number of a chunk"))?;
    check_range(&upload, number, request.headers())?;
    upload.take(number, request.into_body()).await?;
    Ok(Json(upload.standing()))
}

/// `POST /api/uploads/{id}/complete`
pub(crate) async fn complete(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let upload = app.chunked().find(&id)?;
    upload.complete()?;
    Ok((StatusCode::ACCEPTED, Json(describe(&app, &upload))).into_response())
}

fn describe(app: &App, upload: &Upload) -> Created {
    let gateway = app.gateway();
    Created {
        standing: upload.standing(),
        batch: gateway.urls(upload.batch_id()),
        urls: gateway.urls(upload.id()),
    }
}

/// Who sends `Content-Range` as well must mean the same by it.
fn check_range(upload: &Upload, number: usize, headers: &HeaderMap) -> Result<(), Refusal> {
    let range = upload.range(number)?;
    let Some(said) = headers.get(header::CONTENT_RANGE) else {
        return Ok(());
    };
    let meant = format!("bytes {}-{}/{}", range.start(), range.end(), upload.size());
    match said.as_bytes() == meant.as_bytes() {
        true => Ok(()),
        false => Err(invalid(
            "content-range",
            &format!("Content-Range of chunk {number} is \"{meant}\""),
        )),
    }
}

fn invalid(field: &str, why: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "INVALID_BODY", why).detail("field", field)
}
