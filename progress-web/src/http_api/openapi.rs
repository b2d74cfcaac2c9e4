//! The description of the routes.

mod answers;
mod bodies;
mod describe;
mod parameters;
mod promise;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use serde_json::Value;
use utoipa::openapi::{
    Components, HttpMethod, Info, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr, Schema, Tag,
    extensions::Extensions,
    path::{Operation, OperationBuilder, PathItem},
    schema::{ObjectBuilder, SchemaType},
    security::{
        ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
    },
    server::Server,
};

pub(crate) use self::promise::is_described;
use self::{
    answers::refusal,
    bodies::bodies,
    describe::{Described, Needs, TAGS, describe},
};
use crate::{error::Code, gateway::Gateway, routes::Route, schema::definitions, wire::PROTOCOL};

impl Gateway {
    /// Answers `GET /openapi.json`, which needs no permission: OpenAPI 3.1, of this gateway as it is
    /// set. With the defaults it is `docs/schema/openapi.json` of the repository.
    #[must_use]
    pub fn openapi(&self) -> Response<Bytes> {
        // Whoever asks without end is to cost nothing.
        let text = self.http().description.get_or_init(|| text(self).into());
        let mut response = Response::new(text.clone());
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, super::REVALIDATE);
        response
    }
}

/// The document, each time the same.
fn text(gateway: &Gateway) -> String {
    let document = serde_json::to_value(document(gateway));
    let mut document = document.expect("a description has string keys");
    document.sort_all_objects();
    document.to_string()
}

fn document(gateway: &Gateway) -> OpenApi {
    let mut paths: BTreeMap<&str, PathItem> = BTreeMap::new();
    for route in gateway.routes() {
        let item = PathItem::new(method(route.method()), operation(route, gateway));
        match paths.get_mut(route.path().as_str()) {
            Some(path) => path.merge_operations(item),
            None => drop(paths.insert(route.path().as_str(), item)),
        }
    }
    let paths = paths
        .into_iter()
        .fold(PathsBuilder::new(), |paths, (path, item)| {
            paths.path(path, item)
        });
    let mut info = Info::new(PROTOCOL, env!("CARGO_PKG_VERSION"));
    info.description = Some(SAYS.to_owned());
    OpenApiBuilder::new()
        .info(info)
        .servers(gateway.root().map(|root| [Server::new(root)]))
        .tags(Some(TAGS.map(|(name, says)| {
            let mut tag = Tag::new(name);
            tag.description = Some(says.to_owned());
            tag
        })))
        .paths(paths)
        .components(Some(components()))
        .build()
}

fn components() -> Components {
    let mut components = Components::new();
    let mut schemas = definitions("/components/schemas");
    schemas.extend(bodies());
    for (name, is) in schemas {
        components.schemas.insert(name, schema(is).into());
    }
    for (name, scheme) in credentials() {
        components
            .security_schemes
            .insert(name.to_owned(), scheme.into());
    }
    components
}

fn operation(route: &Route, gateway: &Gateway) -> Operation {
    let mut routes = vec![describe(route.endpoint)];
    routes.extend(route.upgraded().map(describe));
    let id = route.alias_id().unwrap_or(routes[0].id);
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id))
        .tag(routes[0].tag)
        .summary(Some(routes[0].does))
        .securities(Some(securities(routes[0].needs)));
    if routes.len() > 1 {
        operation = operation.description(Some(format!("A WebSocket: {}", routes[1].does)));
    }
    let mut taken = Vec::new();
    for (index, described) in routes.iter().enumerate() {
        for takes in described.takes {
            // Without a handshake an alias is answered all the same.
            let is_needless = index > 0 && takes.is_of_handshake();
            if is_needless || taken.contains(takes) {
                continue;
            }
            taken.push(*takes);
            operation = operation.parameter(takes.parameter(gateway));
        }
        for answer in described.answers {
            operation = operation.response(answer.status().to_string(), answer.response(gateway));
        }
    }
    for codes in by_status(&routes) {
        let status = codes[0].status();
        operation = operation.response(status.as_str(), refusal(&codes));
    }
    if let Some(body) = routes[0].body {
        operation = operation.request_body(Some(body.described()));
    }
    operation.build()
}

/// The codes of routes, those of one status together.
fn by_status(routes: &[Described]) -> Vec<Vec<Code>> {
    let mut codes: Vec<Code> = Vec::new();
    for code in routes.iter().flat_map(Described::codes) {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    codes.sort_by_key(|code| code.status().as_u16());
    let same = |one: &Code, other: &Code| one.status() == other.status();
    codes.chunk_by(same).map(<[Code]>::to_vec).collect()
}

/// The ways to tell who asks. Each service decides which it takes, and for what.
fn credentials() -> [(&'static str, SecurityScheme); 4] {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "On a WebSocket also as the subprotocol `bearer.` with the token, beside one that is spoken",
        ));
    let key = ApiKeyValue::with_description::<&str>;
    [
        (BEARER, SecurityScheme::Http(bearer.build())),
        (
            COOKIE,
            SecurityScheme::ApiKey(ApiKey::Cookie(key("progress_token", "For browsers"))),
        ),
        (
            GRANT,
            SecurityScheme::ApiKey(ApiKey::Query(key(
                "grant",
                "Watches one task, for some minutes",
            ))),
        ),
        (
            TICKET,
            SecurityScheme::ApiKey(ApiKey::Query(key("ticket", "Opens one connection, once"))),
        ),
    ]
}

fn securities(needs: Needs) -> Vec<SecurityRequirement> {
    let ways: &[&str] = match needs {
        Needs::Nothing => return Vec::new(),
        Needs::Credential => &[BEARER, COOKIE],
        Needs::CredentialOrGrant => &[BEARER, COOKIE, GRANT, TICKET],
    };
    let none: [&str; 0] = [];
    let ways = ways.iter().map(|way| SecurityRequirement::new(*way, none));
    // A service without users asks for nothing.
    ways.chain([SecurityRequirement::default()]).collect()
}

const BEARER: &str = "bearer";
const COOKIE: &str = "cookie";
const GRANT: &str = "grant";
const TICKET: &str = "ticket";

/// A JSON Schema as it is. What utoipa has types for is less than JSON Schema can say, and ours are
/// made elsewhere, from the types that they are of.
fn schema(is: Value) -> Schema {
    let keywords = match is {
        Value::Object(keywords) => keywords,
        Value::Bool(false) => return schema(serde_json::json!({"not": {}})),
        _ => serde_json::Map::new(),
    };
    let object = ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .extensions(Some(Extensions::from_iter(keywords)));
    Schema::Object(object.build())
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::DELETE => HttpMethod::Delete,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        _ => HttpMethod::Get,
    }
}

const SAYS: &str = "Progress of tasks: watched over WebSocket, event stream or polling; published over HTTP.\n\n\
    `HEAD` is answered wherever `GET` is. Another method of a path is 405 `METHOD_NOT_ALLOWED` with `Allow`. \
    Parameters and fields that are not described are ignored; a parameter without a value is as good as none.";

#[cfg(test)]
mod tests;
