//! Operations of a document as routes.

use serde_json::Value;

use super::document::{Document, step};
use super::parameters::{Parameters, Stated};
use super::schemas::{Schemas, Way};
use crate::cli::init::draft::{BodyDraft, Draft, ParameterDraft, RouteDraft, in_a_line};
use crate::cli::init::names::slug;
use crate::cli::init::notes::Notes;
use crate::config::units::{AnswerHeader, FromText, RouteText};
use crate::policy::http::media::MediaType;

/// Methods that can be routed, and those that cannot.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const OTHER_METHODS: [&str; 3] = ["head", "options", "trace"];

/// Keys of a path and of an operation that this reads; others are noted.
const KNOWN_OF_PATHS: [&str; 4] = ["summary", "description", "parameters", "$ref"];
const KNOWN_OF_OPERATIONS: [&str; 8] =
    ["summary", "description", "operationId", "parameters", "requestBody", "responses", "security", "deprecated"];

/// The most parameters of one operation that are looked at, and the most responses and media types.
const MAX_PARAMETERS: usize = 128;
const MAX_RESPONSES: usize = 64;

/// The most headers of answers that can pass.
const MAX_HEADERS: usize = 16;

/// An operation as the document has it.
pub struct Operation<'d> {
    pub method: String,
    pub path: &'d str,
    pub value: &'d Value,
    /// What stands around it, with parameters of its path.
    item: &'d Value,
    /// How notes call it: its method and path.
    pub at: String,
    /// Where it stands, as a JSON Pointer.
    pointer: String,
}

/// All operations that can be routed by their methods.
pub fn all<'d>(document: &'d Document, notes: &mut Notes) -> Vec<Operation<'d>> {
    let mut found = Vec::new();
    for (path, item) in document.root.get("paths").and_then(Value::as_object).into_iter().flatten() {
        let here = step("#/paths", path);
        let (item, here) = match document.follow(item, &here) {
            Ok(found) => found,
            Err(what) => {
                notes.add(format!("a path {what}"), in_a_line(path));
                continue;
            }
        };
        for (key, value) in item.as_object().into_iter().flatten() {
            let at = format!("{} {}", key.to_ascii_uppercase(), in_a_line(path));
            if METHODS.contains(&key.as_str()) {
                let (method, pointer) = (key.to_ascii_uppercase(), step(&here, key));
                found.push(Operation { method, path, value, item, at, pointer });
            } else if OTHER_METHODS.contains(&key.as_str()) {
                notes.add("an operation of a method that is not routed is left out", at);
            } else if !KNOWN_OF_PATHS.contains(&key.as_str()) {
                notes.add(format!("`{}` of a path is left out", in_a_line(key)), in_a_line(path));
            }
        }
    }
    found
}

/// Takes operations over into a draft.
pub struct Operations<'d, 'n> {
    pub document: &'d Document,
    pub notes: &'n mut Notes,
    pub draft: &'n mut Draft,
}

impl<'d> Operations<'d, '_> {
    /// Adds a route for each.
    pub fn take(&mut self, operations: &[Operation<'d>]) {
        for operation in operations {
            for (key, _) in operation.value.as_object().into_iter().flatten() {
                if !KNOWN_OF_OPERATIONS.contains(&key.as_str()) {
                    self.notes.add(format!("`{}` of an operation is left out", in_a_line(key)), &operation.at);
                }
            }
            if let Some(route) = self.route(operation) {
                self.draft.routes.push(route);
            }
        }
        let is_json_alone = |types: &[String]| types.iter().all(|kind| kind == "application/json");
        if is_json_alone(&self.draft.accept) {
            self.draft.accept.clear();
        }
        if is_json_alone(&self.draft.content_type) {
            self.draft.content_type.clear();
        }
    }

    fn route(&mut self, operation: &Operation<'d>) -> Option<RouteDraft> {
        let path = plain_path(operation.path);
        if let Err(what) = RouteText::from_text(&format!("{} {path}", operation.method)) {
            self.notes.add(format!("the operation cannot be a route: it {what}"), &operation.at);
            return None;
        }
        let text = |key: &str| operation.value.get(key).and_then(Value::as_str).map(in_a_line);
        let summary = text("summary").or_else(|| text("description")).unwrap_or_default();
        let deprecated = operation.value.get("deprecated") == Some(&Value::Bool(true));
        let body = match operation.value.get("requestBody") {
            Some(_) if operation.method == "GET" => {
                self.notes.add("a body of a GET is left out", &operation.at);
                None
            }
            Some(body) => Some(self.body(body, operation)?),
            None => None,
        };
        let (parameters, query) = self.parameters(operation);
        let mut route = RouteDraft {
            method: operation.method.clone(),
            path,
            summary: Some(if deprecated { format!("Deprecated. {summary}") } else { summary }),
            parameters,
            query,
            body,
            answer_schema: None,
        };
        route.answer_schema = self.responses(operation);
        Some(route)
    }

    /// The rules for the path and for the query.
    fn parameters(&mut self, operation: &Operation<'d>) -> (Vec<ParameterDraft>, Vec<ParameterDraft>) {
        let list =
            |value: &'d Value| value.get("parameters").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut stated: Vec<Stated<'d>> = Vec::new();
        let all = list(operation.value).iter().chain(list(operation.item));
        for (number, value) in all.enumerate() {
            let at = format!("{}, parameter {}", operation.at, number.saturating_add(1));
            if number >= MAX_PARAMETERS {
                self.notes.add(
                    format!("an operation has more than {MAX_PARAMETERS} parameters; the others are left out"),
                    &operation.at,
                );
                break;
            }
            let value = match self.document.follow(value, &at) {
                Ok((value, _)) => value,
                Err(what) => {
                    self.notes.add(format!("a parameter {what}"), at);
                    continue;
                }
            };
            let text = |key: &str| value.get(key).and_then(Value::as_str);
            let (Some(name), Some(place)) = (text("name").filter(|name| !name.is_empty()), text("in")) else {
                self.notes.add("a parameter without a name or a place is left out", at);
                continue;
            };
            // Those of the operation come first, and replace those of its path.
            if !stated.iter().any(|known| known.name == name && known.place == place) {
                stated.push(Stated {
                    name,
                    place,
                    value,
                    at: format!("{}, parameter {}", operation.at, in_a_line(name)),
                });
            }
        }
        let mut rules = (Vec::new(), Vec::new());
        stated.iter().for_each(|one| self.parameter(one, operation, &mut rules));
        rules
    }

    fn parameter(
        &mut self,
        stated: &Stated<'d>,
        operation: &Operation<'d>,
        (of_path, of_query): &mut (Vec<ParameterDraft>, Vec<ParameterDraft>),
    ) {
        let at = &stated.at;
        if matches!(stated.place, "query" | "header") && is_like_a_key(stated.name) {
            let place = format!("{} {}", stated.place, in_a_line(stated.name));
            if !self.draft.token_places.contains(&place) {
                let what = format!(
                    "the parameter looks like a key: if clients shall put their token there, say --token-in '{place}'"
                );
                self.notes.add(what, at);
            }
        }
        match stated.place {
            "path" if !operation.path.split('/').any(|segment| segment == format!("{{{}}}", stated.name)) => {
                self.notes.add("a parameter that is not in its path is left out", at);
            }
            "path" => {
                let rule = Parameters { document: self.document, notes: self.notes }.rule(stated);
                of_path.extend(rule.map(|rule| ParameterDraft { name: plain_name(stated.name), ..rule }));
            }
            "query" if self.draft.token_places.contains(&format!("query {}", stated.name)) => {
                self.notes.add("the parameter is where the token is, and is not forwarded", at);
            }
            "query" => {
                of_query.extend(Parameters { document: self.document, notes: self.notes }.rule(stated));
            }
            "header" => self.notes.add("a header has no rule; it is forwarded as it is, if clients send it", at),
            "cookie" => self.notes.add("a cookie has no rule", at),
            other => self.notes.add(format!("a parameter in {} is left out", in_a_line(other)), at),
        }
    }

    /// The rules for a body; `None` if it cannot be one of JSON, and so there is no route.
    fn body(&mut self, body: &'d Value, operation: &Operation<'d>) -> Option<BodyDraft> {
        let (body, pointer) = match self.document.follow(body, &step(&operation.pointer, "requestBody")) {
            Ok(found) => found,
            Err(what) => {
                self.notes.add(format!("the operation is left out: its body {what}"), &operation.at);
                return None;
            }
        };
        if body.get("required") != Some(&Value::Bool(true)) {
            self.notes
                .add("the body is optional in the document; through the gateway it has to be sent", &operation.at);
        }
        let content = body.get("content").and_then(Value::as_object);
        let mut chosen = None;
        for (kind, media) in content.into_iter().flatten().take(MAX_RESPONSES) {
            let name = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let is_any = matches!(name.as_str(), "*/*" | "application/*");
            let parsed = MediaType::parse(&name).ok();
            if !is_any && !parsed.is_some_and(|parsed| parsed.is_json()) {
                self.notes.add(format!("a body of {} is left out; bodies are JSON", in_a_line(kind)), &operation.at);
                continue;
            }
            let name = if is_any { "application/json".to_owned() } else { name };
            if !self.draft.content_type.contains(&name) {
                self.draft.content_type.push(name);
            }
            match chosen {
                None => chosen = Some((kind, media)),
                Some(_) => {
                    self.notes.add("of several JSON types of a body, the first one's schema is taken", &operation.at)
                }
            }
        }
        let Some((kind, media)) = chosen else {
            self.notes.add("the operation is left out: no body of it is JSON", &operation.at);
            return None;
        };
        let at = step(&step(&step(&pointer, "content"), kind), "schema");
        let example = media.get("example").or_else(|| {
            media
                .get("examples")
                .and_then(Value::as_object)
                .and_then(|all| all.values().next())
                .and_then(|one| one.get("value"))
        });
        let schema = media
            .get("schema")
            .and_then(|schema| Schemas::new(self.document, self.notes).take(schema, &at, Way::ToBackend, example));
        Some(BodyDraft { schema: schema.map(|schema| self.file(operation, "schema", &schema)) })
    }

    /// The name of the file that has a schema.
    fn file(&mut self, operation: &Operation<'_>, kind: &str, schema: &Value) -> String {
        let text = format!("{schema:#}\n");
        if let Some((name, _)) = self.draft.files.iter().find(|(_, known)| **known == text) {
            return name.clone();
        }
        let id = operation.value.get("operationId").and_then(Value::as_str).map(slug).filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| slug(&format!("{} {}", operation.method, operation.path)));
        let mut name = format!("{}.{id}.{kind}.json", self.draft.product);
        while self.draft.files.contains_key(&name) {
            name = format!("{}.{id}-{}.{kind}.json", self.draft.product, self.draft.files.len());
        }
        self.draft.files.insert(name.clone(), text);
        name
    }

    /// Notes what answers there are; returns the file of the schema of those of success.
    fn responses(&mut self, operation: &Operation<'d>) -> Option<String> {
        let mut found: Option<(String, Value)> = None;
        let responses = operation.value.get("responses").and_then(Value::as_object);
        for (status, response) in responses.into_iter().flatten().take(MAX_RESPONSES) {
            let at = format!("{}, response {}", operation.at, in_a_line(status));
            let here = step(&step(&operation.pointer, "responses"), status);
            let (response, here) = match self.document.follow(response, &here) {
                Ok(found) => found,
                Err(what) => {
                    self.notes.add(format!("a response {what}"), at);
                    continue;
                }
            };
            let description = response.get("description").and_then(Value::as_str).map(in_a_line).unwrap_or_default();
            for key in response.as_object().into_iter().flatten().map(|(key, _)| key) {
                if !["description", "content", "headers"].contains(&key.as_str()) {
                    self.notes.add(format!("`{}` of a response is left out", in_a_line(key)), &at);
                }
            }
            match (status.parse::<u16>(), status.to_ascii_uppercase().as_str()) {
                (Ok(code @ 200..=299), _) => self.success(code, response, &here, &at, &mut found),
                (_, "2XX") => self.success(200, response, &here, &at, &mut found),
                (Ok(code @ 400..=599), _) => drop(self.draft.other_answers.insert(code, description)),
                (Ok(_), _) => {
                    self.notes.add("a response that is neither a success nor an error is never passed on", at)
                }
                (Err(_), _) => self.notes.add(
                    "a response without a status of its own is left out; errors become problems of the gateway",
                    at,
                ),
            }
        }
        found.map(|(_, schema)| self.file(operation, "answer.schema", &schema))
    }

    fn success(&mut self, code: u16, response: &'d Value, here: &str, at: &str, found: &mut Option<(String, Value)>) {
        match code {
            200 => {}
            204 | 205 => {
                self.notes.add(format!("an answer {code} has no body; clients get 200 with {{}}"), at);
                self.draft.answers.insert(code, "{ body: {} }");
            }
            _ => {
                self.notes.add(format!("an answer {code} is a 200 for clients"), at);
                self.draft.answers.insert(code, "{}");
            }
        }
        for (name, _) in response.get("headers").and_then(Value::as_object).into_iter().flatten() {
            self.answer_header(name, at);
        }
        let content = response.get("content").and_then(Value::as_object);
        for (kind, media) in content.into_iter().flatten().take(MAX_RESPONSES) {
            let name = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let Ok(parsed) = MediaType::parse(&name) else {
                self.notes.add(format!("the media type {} of an answer is left out", in_a_line(kind)), at);
                continue;
            };
            let is_json = parsed.is_json();
            if !self.draft.accept.contains(&name) {
                self.draft.accept.push(name);
            }
            let is_better = found.is_none() || code == 200;
            if let (true, true, Some(schema)) = (is_json, is_better, media.get("schema")) {
                let pointer = step(&step(&step(here, "content"), kind), "schema");
                let taken = Schemas::new(self.document, self.notes).take(schema, &pointer, Way::ToClient, None);
                *found = taken.map(|schema| (pointer, schema));
            }
        }
    }

    fn answer_header(&mut self, name: &str, at: &str) {
        let headers = &mut self.draft.answer_headers;
        if headers.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return;
        }
        match AnswerHeader::from_text(name) {
            Ok(_) if headers.len() < MAX_HEADERS => headers.push(name.to_owned()),
            Ok(_) => self.notes.add(format!("the header {} of answers is one too many", in_a_line(name)), at),
            Err(what) => self.notes.add(format!("the header {} of answers {what}", in_a_line(name)), at),
        }
    }
}

/// Whether a parameter is called as keys of APIs are, although no security scheme names it.
fn is_like_a_key(name: &str) -> bool {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    matches!(plain.as_str(), "key" | "token")
        || ["apikey", "accesskey", "accesstoken", "authtoken"].iter().any(|word| plain.ends_with(word))
}

/// A path whose parameters have names that a route can have; the backend does not see them.
fn plain_path(path: &str) -> String {
    let segments =
        path.split('/').map(|segment| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => format!("{{{}}}", plain_name(name)),
            None => segment.to_owned(),
        });
    segments.collect::<Vec<_>>().join("/")
}

fn plain_name(name: &str) -> String {
    // Braces within stay, so that the route is refused.
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "_-{}".contains(letter) { letter } else { '_' };
    name.chars().map(plain).collect()
}
