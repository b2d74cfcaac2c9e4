//! The routes: one table, which adapters build their routers from.

mod aliases;

use std::{borrow::Cow, sync::LazyLock};

use http::{Method, request::Parts};
use percent_encoding::percent_decode_str;

use self::aliases::Alias;
use crate::gateway::Gateway;

/// What a route answers; [`Gateway::respond`](crate::Gateway::respond) dispatches on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    WebSocket,
    WebSockets,
    EventStream,
    EventStreams,
    Tasks,
    CreateTask,
    Task,
    DeleteTask,
    History,
    Publish,
    Cancel,
    PublishToChannel,
    Ticket,
    Clients,
    Disconnect,
    Broadcast,
    Health,
    Live,
    Ready,
    Metrics,
    OpenApi,
    Dashboard,
    DashboardFile,
}

/// One route of the protocol: a method of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    method: Method,
    path: &'static str,
    pub(crate) endpoint: Endpoint,
    /// Whether it is another system's.
    alias: Option<Alias>,
}

/// All there are. Routes of one path stand together.
static ROUTES: [Route; 23] = [
    get("/ws/progress/{task_id}", Endpoint::WebSocket),
    get("/ws", Endpoint::WebSockets),
    get("/sse/progress/{task_id}", Endpoint::EventStream),
    get("/sse", Endpoint::EventStreams),
    get("/tasks", Endpoint::Tasks),
    post("/tasks", Endpoint::CreateTask),
    get("/tasks/{task_id}", Endpoint::Task),
    route(Method::DELETE, "/tasks/{task_id}", Endpoint::DeleteTask),
    get("/tasks/{task_id}/history", Endpoint::History),
    post("/tasks/{task_id}/events", Endpoint::Publish),
    post("/tasks/{task_id}/cancel", Endpoint::Cancel),
    post("/channels/{name}/events", Endpoint::PublishToChannel),
    post("/tickets", Endpoint::Ticket),
    get("/clients", Endpoint::Clients),
    route(Method::DELETE, "/clients/{id}", Endpoint::Disconnect),
    post("/broadcast", Endpoint::Broadcast),
    get("/health", Endpoint::Health),
    get("/health/live", Endpoint::Live),
    get("/health/ready", Endpoint::Ready),
    get("/metrics", Endpoint::Metrics),
    get("/openapi.json", Endpoint::OpenApi),
    get(DASHBOARD, Endpoint::Dashboard),
    get(DASHBOARD_FILES, Endpoint::DashboardFile),
];

const DASHBOARD: &str = "/dashboard";
const DASHBOARD_FILES: &str = "/dashboard/{file}";

/// Those of other systems, for services that take their place.
static ALIASES: [Route; 4] = [
    alias("/ws/progress/{task_id}/latest", Alias::Latest),
    alias("/ws/progress/{task_id}/history", Alias::History),
    alias("/ws/active-tasks", Alias::ActiveTasks),
    alias("/api/v1/projects/{task_id}/progress", Alias::Project),
];

const fn alias(path: &'static str, alias: Alias) -> Route {
    Route {
        method: Method::GET,
        path,
        endpoint: alias.plain(),
        alias: Some(alias),
    }
}

const fn get(path: &'static str, endpoint: Endpoint) -> Route {
    route(Method::GET, path, endpoint)
}

const fn post(path: &'static str, endpoint: Endpoint) -> Route {
    route(Method::POST, path, endpoint)
}

const fn route(method: Method, path: &'static str, endpoint: Endpoint) -> Route {
    Route {
        method,
        path,
        endpoint,
        alias: None,
    }
}

impl Route {
    /// Returns all routes of the protocol, those of one path together.
    pub fn all() -> impl ExactSizeIterator<Item = &'static Self> {
        ROUTES.iter()
    }

    /// Returns the method. `HEAD` is answered wherever `GET` is.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// What it answers where a WebSocket is asked for, if that is something else.
    pub(crate) fn upgraded(&self) -> Option<Endpoint> {
        self.alias?.upgraded()
    }

    /// What sets an alias apart from the route that it stands for.
    pub(crate) fn alias_id(&self) -> Option<&'static str> {
        self.alias.map(Alias::id)
    }

    /// Returns the path, to mount it at.
    #[must_use]
    pub fn path(&self) -> Path {
        Path(self.path)
    }
}

/// A path of the protocol, such as `/tasks/{task_id}`: what routers route on. Which methods it takes
/// is [`Gateway::respond`](crate::Gateway::respond)'s affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path(&'static str);

/// A request's path, found among those of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The path.
    pub path: Path,
    /// What stands for its parameter, decoded; empty where it has none.
    pub parameter: String,
}

static PATHS: LazyLock<matchit::Router<Path>> = LazyLock::new(|| {
    let mut router = matchit::Router::new();
    for path in Path::all().chain(Path::aliases()) {
        router
            .insert(path.0, path)
            .expect("the table's paths do not collide");
    }
    router
});

impl Path {
    /// What stands for a parameter that is not even text: no id, no name.
    pub const NO_TEXT: &str = "\u{fffd}";

    /// Returns every path of the protocol once.
    pub fn all() -> impl Iterator<Item = Self> {
        ROUTES
            .chunk_by(|one, next| one.path == next.path)
            .map(|routes| Self(routes[0].path))
    }

    /// Finds the path that a request's path is, be it allowed or not.
    fn find(path: &str) -> Option<Found> {
        let found = PATHS.at(path).ok()?;
        let parameter = found.params.iter().next().map(|(_, parameter)| {
            let decoded = percent_decode_str(parameter).decode_utf8();
            decoded.unwrap_or(Cow::Borrowed(Self::NO_TEXT)).into_owned()
        });
        Some(Found {
            path: *found.value,
            parameter: parameter.unwrap_or_default(),
        })
    }

    fn aliases() -> impl Iterator<Item = Self> {
        ALIASES.iter().map(Route::path)
    }

    /// Whether it is none of the protocol's.
    pub(crate) fn is_alias(self) -> bool {
        Self::aliases().any(|alias| alias == self)
    }

    fn is_of_dashboard(self) -> bool {
        [DASHBOARD, DASHBOARD_FILES].contains(&self.0)
    }

    /// Returns its pattern, a parameter in braces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Returns the name of its parameter; no path has two.
    #[must_use]
    pub fn parameter(self) -> Option<&'static str> {
        let (_, rest) = self.0.split_once('{')?;
        Some(rest.split_once('}')?.0)
    }

    /// What a request asks for here; nothing by a method that is not taken. An alias makes the
    /// request's query what it stands for.
    pub(crate) fn endpoint(self, request: &mut Parts) -> Option<Endpoint> {
        let asked = match request.method {
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        let route = self.routes().find(|route| route.method == *asked)?;
        let resolve = |alias: Alias| alias.resolve(request);
        Some(route.alias.map_or(route.endpoint, resolve))
    }

    /// The methods that are taken here, as the header `Allow` has them.
    pub(crate) fn allow(self) -> String {
        let mut allow = String::new();
        for route in self.routes() {
            if !allow.is_empty() {
                allow.push_str(", ");
            }
            allow.push_str(route.method.as_str());
            if route.method == Method::GET {
                allow.push_str(", HEAD");
            }
        }
        allow
    }

    fn routes(self) -> impl Iterator<Item = &'static Route> {
        let all = ROUTES.iter().chain(&ALIASES);
        all.filter(move |route| route.path == self.0)
    }
}

impl Gateway {
    /// Returns the paths that are to be mounted: those of the protocol, without the dashboard's where
    /// that is [not wanted](crate::GatewayBuilder::dashboard), and, where
    /// [allowed](crate::GatewayBuilder::aliases), their aliases.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        Path::all()
            .chain(Path::aliases())
            .filter(|path| self.is_mounted(*path))
    }

    /// Finds the [mounted](Self::paths) path that a request's path is, as it came, not decoded: for
    /// adapters to frameworks without a router of paths. A parameter that is not UTF-8 is
    /// [`NO_TEXT`](Path::NO_TEXT).
    ///
    /// ```
    /// # let tracker = progress_core::ProgressTracker::new();
    /// let gateway = progress_web::Gateway::new(tracker);
    /// let found = gateway.find("/tasks/a%3A1/history").expect("there is such a path");
    /// assert_eq!(found.path.as_str(), "/tasks/{task_id}/history");
    /// assert_eq!(found.parameter, "a:1");
    /// assert_eq!(gateway.find("/tasks/a/b/c"), None);
    /// ```
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Found> {
        Path::find(path).filter(|found| self.is_mounted(found.path))
    }

    /// The routes that are mounted.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &'static Route> {
        let all = ROUTES.iter().chain(&ALIASES);
        all.filter(|route| self.is_mounted(route.path()))
    }

    fn is_mounted(&self, path: Path) -> bool {
        (self.has_aliases() || !path.is_alias())
            && (self.has_dashboard() || !path.is_of_dashboard())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_found_as_itself_and_listed_once() {
        let mut seen = std::collections::HashSet::new();
        for path in Path::all() {
            assert!(seen.insert(path), "{} stands in two places", path.as_str());
            let asked = path.as_str().replace(['{', '}'], "");
            let found = Path::find(&asked).unwrap();
            assert_eq!(found.path, path);
            assert_eq!(found.parameter, path.parameter().unwrap_or_default());
            assert!(path.as_str().matches('{').count() <= 1, "one parameter");
        }
        assert!(Route::all().all(|route| seen.contains(&route.path())));
    }

    #[test]
    fn parameters_are_decoded_and_what_is_no_path_is_not_found() {
        let parameter = |path: &str| Path::find(path).map(|found| found.parameter);
        assert_eq!(parameter("/tasks/a%2Fb").as_deref(), Some("a/b"));
        assert_eq!(parameter("/tasks/%FF").as_deref(), Some(Path::NO_TEXT));
        // No id, which is told as such.
        assert_eq!(parameter("/tasks//history").as_deref(), Some(""));
        for path in ["", "/", "/tasks/", "//tasks", "/tasks/a/", "/Tasks"] {
            assert_eq!(parameter(path), None, "{path}");
        }
    }
}
