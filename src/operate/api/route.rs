//! One operation of the management API, as a row: method, path, scope, who may ask, handler, and the
//! types that it takes and answers.
//!
//! A row cannot be made without a scope and a rule of who may ask, and its handler is never called before
//! both were looked at: it takes a [`Call`], which only this file makes. The types of body and answer are
//! the handler's own, and so are the schemas that the OpenAPI document shows of them.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK, LOCATION};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use futures_util::future::BoxFuture;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::access::Api;
use super::body::Shape;
use super::caller::{Caller, Scope, Who};
use super::problem::{Kind, Problem, etag};
use super::query::{Parameter, Query};
use crate::ledger::store::{Act, Idempotency, Outcome, StoreError, Writing};

/// What every path begins with.
pub const ROOT: &str = "/api/v1";

/// Characters of an `Idempotency-Key`.
pub const MOST_KEY: usize = 100;

/// Bytes of a body, unless its row says otherwise.
pub const BODY_BYTES: usize = 64 * 1024;

/// The header that makes a request happen once (`draft-ietf-httpapi-idempotency-key-header`).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a replayed answer says (`draft-ietf-httpapi-idempotency-key-header`, as others do).
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What an operation does, which says what a request must bring with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing is changed.
    Read,
    /// Nothing is changed either, but what is asked is a body.
    Try,
    /// Something new is made, once for each `Idempotency-Key`: 201.
    Create,
    /// Something that exists is changed, only from the version that `If-Match` names, and once for each
    /// `Idempotency-Key` if there is one.
    Act,
    /// Something that exists is changed like that, something new comes of it, and the `Idempotency-Key` is
    /// needed: 201.
    Renew,
    /// Something that exists is changed, and only from the version that `If-Match` names.
    Change,
    /// Makes what is not there, and says what has become of it: its answer is no new resource.
    Import,
}

impl Effect {
    /// Whether a request needs an `Idempotency-Key`.
    pub const fn needs_key(self) -> bool {
        matches!(self, Effect::Create | Effect::Renew | Effect::Import)
    }

    /// Whether an `Idempotency-Key` is taken.
    pub const fn takes_key(self) -> bool {
        matches!(self, Effect::Create | Effect::Act | Effect::Renew | Effect::Import)
    }

    /// Whether a request needs an `If-Match`.
    pub const fn needs_version(self) -> bool {
        matches!(self, Effect::Act | Effect::Renew | Effect::Change)
    }

    /// Whether something is changed.
    pub const fn changes(self) -> bool {
        !matches!(self, Effect::Read | Effect::Try)
    }

    /// The status of the answer when it is done.
    pub const fn status(self) -> StatusCode {
        match self {
            Effect::Create | Effect::Renew => StatusCode::CREATED,
            Effect::Read | Effect::Try | Effect::Act | Effect::Change | Effect::Import => StatusCode::OK,
        }
    }
}

/// A body that is not there.
#[derive(Debug)]
pub struct NoBody;

/// How bodies of a type are read.
pub type Reader<B> = Box<dyn Fn(&[u8]) -> Result<B, Problem> + Send + Sync>;

/// A type that a handler takes.
pub trait Taken: Sized + Send + 'static {
    /// How bodies of this type are read; `None` where there is no body.
    ///
    /// # Errors
    /// When the schema of the type is none.
    fn reader() -> Result<Option<Reader<Self>>, String>;
    /// Without a body.
    fn absent() -> Option<Self>;
    /// What the document shows.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl Taken for NoBody {
    fn reader() -> Result<Option<Reader<NoBody>>, String> {
        Ok(None)
    }

    fn absent() -> Option<NoBody> {
        Some(NoBody)
    }

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

impl<B: DeserializeOwned + JsonSchema + Send + 'static> Taken for B {
    fn reader() -> Result<Option<Reader<B>>, String> {
        let shape = Shape::new()?;
        Ok(Some(Box::new(move |bytes| shape.read(bytes))))
    }

    fn absent() -> Option<B> {
        None
    }

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<B>())
    }
}

/// The version that a request wants to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there (`If-Match: *`).
    Any,
    Version(i64),
}

/// What every request of an operation comes with, checked already.
pub struct Around {
    pub api: Arc<Api>,
    pub caller: Caller,
    /// The values in the path, in its order.
    pub values: Vec<String>,
    pub query: Query,
    /// The path of the request.
    pub path: String,
    pub expected: Option<Expected>,
    pub once: Option<Idempotency>,
    /// Where the request comes from.
    pub address: String,
    /// When it came, in milliseconds since 1970 in UTC.
    pub at_ms: i64,
}

/// One request of an operation. Only this file makes one, after who asks was checked.
pub struct Call<B> {
    around: Around,
    pub body: B,
}

impl<B> std::ops::Deref for Call<B> {
    type Target = Around;

    fn deref(&self) -> &Around {
        &self.around
    }
}

impl Around {
    /// A value of the path.
    pub fn value(&self, place: usize) -> &str {
        self.values.get(place).map_or("", String::as_str)
    }

    /// Who does it, for the store.
    pub fn act(&self) -> Act {
        Act {
            actor: self.caller.actor.clone(),
            via: self.caller.via,
            address: self.address.clone(),
            at_ms: self.at_ms,
            idempotency: self.once.clone(),
        }
    }

    /// Carries an operation out in a transaction of its own.
    ///
    /// # Errors
    /// Those of the operation and of the store.
    pub async fn write<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        operation: impl FnMut(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Outcome<T>, StoreError> {
        let outcome = self.api.store.write(self.act(), operation).await?;
        if !self.api.patience.is_zero() {
            // It is on the disk. What takes longer than this comes into force later, and a metric says how late it is.
            self.api.store.in_force(outcome.at.version, self.api.patience).await;
        }
        Ok(outcome)
    }

    /// The target of the page that begins after a cursor.
    pub fn following(&self, next: Option<String>) -> Option<String> {
        next.map(|next| format!("{}?{}", self.path, self.query.following(&next)))
    }

    /// The version that is to be changed; `None`: whatever is there.
    pub fn version(&self) -> Option<i64> {
        match self.expected {
            Some(Expected::Version(version)) => Some(version),
            Some(Expected::Any) | None => None,
        }
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    /// A table for spreadsheets (RFC 4180), as a [`Csv`].
    Csv,
}

impl Media {
    /// Its media type.
    pub const fn name(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Csv => "text/csv",
        }
    }
}

/// A table for spreadsheets.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Csv(pub String);

/// The answer of a handler.
#[derive(Debug)]
pub struct Reply<A> {
    pub body: A,
    /// The version of what is shown.
    pub version: Option<i64>,
    /// Where what was made can be read.
    pub location: Option<String>,
    /// It was done by an earlier request with the same key.
    pub replayed: bool,
    /// The target of the next page, for answers that cannot name it themselves.
    pub next: Option<String>,
}

impl<A> Reply<A> {
    /// An answer without a version.
    pub fn of(body: A) -> Reply<A> {
        Reply { body, version: None, location: None, replayed: false, next: None }
    }

    /// An answer that shows a version.
    pub fn versioned(body: A, version: i64) -> Reply<A> {
        Reply { version: Some(version), ..Reply::of(body) }
    }

    /// The same, with the path of what was made.
    pub fn at(self, location: String) -> Reply<A> {
        Reply { location: Some(location), ..self }
    }

    /// The same, with the target of the next page.
    pub fn followed_by(self, next: Option<String>) -> Reply<A> {
        Reply { next, ..self }
    }

    /// The same, which was answered before if `replayed`.
    pub fn again(self, replayed: bool) -> Reply<A> {
        Reply { replayed, ..self }
    }
}

type Serve = Box<dyn Fn(Around, Bytes) -> BoxFuture<'static, Result<Response<Body>, Problem>> + Send + Sync>;
type Schemas = fn(&mut SchemaGenerator) -> Option<Schema>;

/// The words of a row.
pub struct Row {
    pub method: Method,
    /// Below the root of the API; segments in braces are parameters. One that is called `account` has to be
    /// the caller's own, if the caller has one.
    pub path: &'static str,
    /// The name of the operation in the document.
    pub id: &'static str,
    pub summary: &'static str,
    pub scope: Scope,
    pub who: Who,
    pub effect: Effect,
    pub query: &'static [Parameter],
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Whether the answer has an `ETag`.
    pub has_version: bool,
    pub media: Media,
}

/// One operation: a row, and what its handler adds.
pub struct Route {
    row: Row,
    /// Whether there is a body.
    pub takes_body: bool,
    pub takes: Schemas,
    pub answers: Schemas,
    serve: Serve,
}

impl Deref for Route {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

impl Row {
    /// The row with its handler, whose types are those of the operation.
    ///
    /// # Errors
    /// When the type of the body has no schema.
    pub fn serves<B, A, F, R>(self, handler: F) -> Result<Route, String>
    where
        B: Taken,
        A: Serialize + JsonSchema + 'static,
        F: Fn(Call<B>) -> R + Send + Sync + Copy + 'static,
        R: Future<Output = Result<Reply<A>, Problem>> + Send + 'static,
    {
        let (id, effect, media) = (self.id, self.effect, self.media);
        let reader = Arc::new(B::reader().map_err(|why| format!("{id}: {why}"))?);
        let serve: Serve = Box::new(move |around, bytes| {
            let reader = Arc::clone(&reader);
            Box::pin(async move {
                let body = match (&*reader, B::absent()) {
                    (Some(read), _) => read(&bytes)?,
                    (None, Some(absent)) => absent,
                    (None, None) => return Err(Problem::plain(Kind::Internal)),
                };
                let reply = handler(Call { around, body }).await?;
                answer(effect.status(), media, &reply)
            })
        });
        let answers: Schemas = |generator| Some(generator.subschema_for::<A>());
        let takes: Schemas = B::schema;
        Ok(Route { row: self, takes_body: B::absent().is_none(), takes, answers, serve })
    }
}

impl Route {
    /// The names of the path's parameters, in its order.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Lets a caller at the operation: scope, role, and the account that the path names.
    ///
    /// # Errors
    /// `scope-missing`, `role-too-low`, or `not-found` for what is another's.
    pub fn admit(&self, caller: &Caller, values: &[String]) -> Result<(), Problem> {
        caller.check(self.scope, self.who)?;
        let mut named = self.parameters().zip(values);
        named.try_for_each(|(name, value)| if name == "account" { caller.check_account(value) } else { Ok(()) })
    }

    /// Carries the operation out for somebody who may have it.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn serve(&self, around: Around, body: Bytes) -> Result<Response<Body>, Problem> {
        self.admit(&around.caller, &around.values)?;
        (self.serve)(around, body).await
    }
}

fn answer<A: Serialize>(status: StatusCode, media: Media, reply: &Reply<A>) -> Result<Response<Body>, Problem> {
    // By way of a value, so that the order of members does not follow that of our types.
    let value: Value = serde_json::to_value(&reply.body).map_err(|_| Problem::plain(Kind::Internal))?;
    let text = match (media, value) {
        (Media::Csv, Value::String(table)) => table,
        (Media::Json | Media::Csv, value) => value.to_string(),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.name()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(version) = reply.version {
        headers.insert(ETAG, etag(version));
    }
    if let Some(location) = reply.location.as_deref().and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(LOCATION, location);
    }
    let next = reply.next.as_deref().and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok());
    if let Some(next) = next {
        headers.insert(LINK, next);
    }
    if reply.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
