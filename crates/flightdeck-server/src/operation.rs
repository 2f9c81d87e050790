//! An operation: a route together with what the OpenAPI document says of it, so that neither is there without the other.

use std::future::Future;

use actix_web::http::Method;
use actix_web::{FromRequest, Handler, HttpResponse, Route, guard, web};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::problem::Problem;

/// What a handler answers.
pub type Answer = Result<HttpResponse, Problem>;

/// JSON.
pub const JSON: &str = "application/json";
/// JSON, one value a line.
pub const NDJSON: &str = "application/x-ndjson";

/// Makes the schema of something.
pub(crate) type Describe = fn(&mut SchemaGenerator) -> Schema;

pub(crate) fn describe<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// A parameter of an operation.
pub(crate) struct Parameter {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) schema: Describe,
}

/// One of the answers of an operation.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) about: &'static str,
    /// Media types, each with what it holds; none for an answer without a body.
    pub(crate) bodies: Vec<(&'static str, Describe)>,
    pub(crate) headers: &'static [&'static str],
}

/// A route, and what is to be said of it.
///
/// ```
/// use flightdeck_server::{Answer, Call, Operation};
/// use flightdeck_server::call::json;
///
/// async fn greet(call: Call) -> Answer {
///     let mut params = call.params();
///     let name = params.text("name").unwrap_or_else(|| "you".to_owned());
///     params.finish()?;
///     Ok(json(200, &format!("Hello, {name}!")))
/// }
///
/// let operation = Operation::get("/api/greeting", "greet", "Says hello.")
///     .query::<String>("name", "Whom to greet.")
///     .answers::<String>(200, "A greeting.")
///     .to(greet);
/// # drop(operation);
/// ```
pub struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) about: &'static str,
    pub(crate) group: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) bodies: Vec<(&'static str, Describe)>,
    pub(crate) answers: Vec<Answered>,
    pub(crate) refusals: Vec<u16>,
    route: Route,
}

impl Operation {
    fn new(method: Method, path: &'static str, id: &'static str, about: &'static str) -> Self {
        let route = match method {
            // Whoever may get something may ask for its head; the body is left out on the way.
            Method::GET => Route::new().guard(guard::Any(guard::Get()).or(guard::Head())),
            ref method => Route::new().method(method.clone()),
        };
        let group =
            path.trim_start_matches("/api").split('/').find(|part| !part.is_empty()).unwrap_or("server");
        let (parameters, bodies, answers) = (Vec::new(), Vec::new(), Vec::new());
        let refusals = vec![400, 401, 403, 503];
        Self { method, path, id, about, group, parameters, bodies, answers, refusals, route }
    }

    /// Something that is read. `path` names its parts as `{id}`; `id` names the operation for programs; `about` is a sentence.
    #[must_use]
    pub fn get(path: &'static str, id: &'static str, about: &'static str) -> Self {
        Self::new(Method::GET, path, id, about)
    }

    /// Something that is made, or done.
    #[must_use]
    pub fn post(path: &'static str, id: &'static str, about: &'static str) -> Self {
        Self::new(Method::POST, path, id, about).writes()
    }

    /// Something that is put in the place of another.
    #[must_use]
    pub fn put(path: &'static str, id: &'static str, about: &'static str) -> Self {
        Self::new(Method::PUT, path, id, about).writes()
    }

    /// Something that is changed.
    #[must_use]
    pub fn patch(path: &'static str, id: &'static str, about: &'static str) -> Self {
        Self::new(Method::PATCH, path, id, about).writes()
    }

    /// Something that is deleted.
    #[must_use]
    pub fn delete(path: &'static str, id: &'static str, about: &'static str) -> Self {
        Self::new(Method::DELETE, path, id, about).writes()
    }

    fn writes(mut self) -> Self {
        self.refusals.extend([409, 413, 415, 422, 507]);
        self.header::<crate::call::KeyHeader>(
            "Idempotency-Key",
            "The same key with the same request is done once, and answered alike each time.",
        )
    }

    /// A part of the path.
    #[must_use]
    pub fn path<T: JsonSchema>(self, name: &'static str, about: &'static str) -> Self {
        self.parameter::<T>(Place::Path, name, about)
    }

    /// A parameter behind the `?`.
    #[must_use]
    pub fn query<T: JsonSchema>(self, name: &'static str, about: &'static str) -> Self {
        self.parameter::<T>(Place::Query, name, about)
    }

    /// A header.
    #[must_use]
    pub fn header<T: JsonSchema>(self, name: &'static str, about: &'static str) -> Self {
        self.parameter::<T>(Place::Header, name, about)
    }

    fn parameter<T: JsonSchema>(mut self, place: Place, name: &'static str, about: &'static str) -> Self {
        self.parameters.push(Parameter { place, name, about, schema: describe::<T> });
        self
    }

    /// `If-Match`: only at that version.
    #[must_use]
    pub fn if_match(mut self) -> Self {
        self.refusals.push(412);
        self.header::<crate::call::TagHeader>(
            "If-Match",
            "The version that it must have, as its `ETag` has it.",
        )
    }

    /// `FlightDeck-Min-Position`: not before that is there.
    #[must_use]
    pub fn min_position(mut self) -> Self {
        self.refusals.extend([409, 504]);
        self.header::<crate::params::PlaceParam>(
            "FlightDeck-Min-Position",
            "What a write answered as `FlightDeck-Position`: the answer waits until that is there, for two seconds at most.",
        )
    }

    /// A page of a list: `limit` and `after`.
    #[must_use]
    pub fn page(self) -> Self {
        self.query::<crate::params::LimitParam>("limit", "How many at most.")
            .query::<crate::params::NextParam>("after", "Behind where the page before ended: its `next`.")
    }

    /// A body of that media type.
    #[must_use]
    pub fn takes<T: JsonSchema>(mut self, media: &'static str) -> Self {
        self.bodies.push((media, describe::<T>));
        self
    }

    /// An answer in JSON.
    #[must_use]
    pub fn answers<T: JsonSchema>(self, status: u16, about: &'static str) -> Self {
        self.answers_as::<T>(status, JSON, about)
    }

    /// An answer of another media type. Answers of the same status are representations of the same.
    #[must_use]
    pub fn answers_as<T: JsonSchema>(
        mut self,
        status: u16,
        media: &'static str,
        about: &'static str,
    ) -> Self {
        match self.answers.iter_mut().find(|answer| answer.status == status) {
            Some(answer) => answer.bodies.push((media, describe::<T>)),
            None => {
                let bodies = vec![(media, describe::<T> as Describe)];
                self.answers.push(Answered { status, about, bodies, headers: &[] });
            }
        }
        self
    }

    /// An answer without a body.
    #[must_use]
    pub fn answers_nothing(mut self, status: u16, about: &'static str) -> Self {
        self.answers.push(Answered { status, about, bodies: Vec::new(), headers: &[] });
        self
    }

    /// Headers of the answer that was named last.
    #[must_use]
    pub fn with(mut self, headers: &'static [&'static str]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers = headers;
        }
        // What says itself how it is kept is not kept.
        let is_kept = headers.contains(&"ETag") && !headers.contains(&"Cache-Control");
        match is_kept && self.method == Method::GET {
            true => self.answers_nothing(304, "It is as it was: `If-None-Match` has its `ETag`."),
            false => self,
        }
    }

    /// Statuses of problems that it may answer with, beside those that any may.
    #[must_use]
    pub fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// What does it.
    #[must_use]
    pub fn to<F, A>(mut self, handler: F) -> Self
    where
        F: Handler<A, Output = Answer>,
        A: FromRequest + 'static,
        F::Future: Future<Output = Answer> + 'static,
    {
        self.route = self.route.to(Told { handler, writes: self.method != Method::GET });
        self
    }

    /// Puts operations where requests find them: one resource a path, which refuses other methods with a problem.
    pub(crate) fn serve(operations: Vec<Self>, config: &mut web::ServiceConfig) {
        let mut by_path: Vec<(&'static str, Vec<Self>)> = Vec::new();
        for operation in operations {
            match by_path.iter_mut().find(|(path, _)| *path == operation.path) {
                Some((_, there)) => there.push(operation),
                None => by_path.push((operation.path, vec![operation])),
            }
        }
        for (path, operations) in by_path {
            let mut methods: Vec<&str> =
                operations.iter().map(|operation| operation.method.as_str()).collect();
            if methods.contains(&"GET") {
                methods.push("HEAD");
            }
            let methods = methods.join(", ");
            let mut resource = web::resource(path);
            for operation in operations {
                resource = resource.route(operation.route);
            }
            config.service(
                resource
                    .default_service(web::to(move |method: Method| refuse_method(method, methods.clone()))),
            );
        }
    }
}

/// A handler whose problems say what became of a write, and of a read nothing.
#[derive(Clone)]
struct Told<F> {
    handler: F,
    writes: bool,
}

impl<F, A> Handler<A> for Told<F>
where
    F: Handler<A, Output = Answer>,
    F::Future: 'static,
{
    type Output = Answer;
    type Future = LocalBoxFuture<'static, Answer>;

    fn call(&self, arguments: A) -> Self::Future {
        let (called, writes) = (self.handler.call(arguments), self.writes);
        called.map(move |answer| answer.map_err(|problem| problem.of_a(writes))).boxed_local()
    }
}

async fn refuse_method(method: Method, methods: String) -> HttpResponse {
    use actix_web::ResponseError as _;
    let detail = format!("The route takes {methods}.");
    let problem = Problem::new(crate::problem::Code::MethodNotAllowed, detail);
    let mut answer = problem.of_a(!matches!(method, Method::GET | Method::HEAD)).error_response();
    if let Ok(methods) = methods.parse() {
        answer.headers_mut().insert(actix_web::http::header::ALLOW, methods);
    }
    answer
}
