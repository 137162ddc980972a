//! `tollgate init`: a first configuration for a backend that is there already, from a few answers or from the backend's
//! OpenAPI document, and a command that tries it.
//!
//! What is written is checked first, as `tollgate check` would; nothing is written that has mistakes or warnings.

mod arguments;
mod backend;
mod beginning;
mod draft;
mod names;
mod notes;
mod openapi;
mod questions;
mod settle;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::path::Path;

pub use self::arguments::{Command, EXAMPLES};
use self::arguments::{route, token_places};
use self::backend::Backend;
use self::beginning::{addresses, missing, reachable};
use self::draft::{BodyDraft, Draft, ParameterDraft, RouteDraft};
use self::names::name_of;
use self::notes::Notes;
use self::openapi::Document;
use self::questions::Questions;
use super::secret::{new_token, token_line};
use crate::config::Config;
use crate::config::units::RouteText;
use crate::operate::failure::Failure;
use crate::operate::output::say;
use crate::policy::check::token::Carried;
use crate::policy::route::Template;
use crate::site::pages::example::Tokens;
use crate::site::pages::example::request::Example;

/// Carries the command out; its output goes to `out`.
///
/// # Errors
/// A message for the operator.
pub fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
    let asks = !command.yes && stdin.is_terminal();
    let (mut input, mut shown) = (stdin.lock(), stderr.lock());
    run_with(command, asks.then_some(&mut input as &mut dyn BufRead), &mut shown, out)
}

/// The same, with somebody to ask, or nobody.
fn run_with(
    command: Command,
    input: Option<&mut dyn BufRead>,
    shown: &mut dyn Write,
    out: &mut impl Write,
) -> Result<(), Failure> {
    refuse_to_overwrite(command.force, &command.out)?;
    let mut notes = Notes::default();
    notes.is_by_hand = command.from_openapi.is_none();
    let token = new_token();
    let mut questions = input.map(|input| Questions { input, out: shown });
    let mut draft = match command.from_openapi.clone() {
        Some(path) => openapi::draft(&command, &Document::read(&path)?, &mut questions, &mut notes)?,
        None => by_hand(&command, &mut questions)?,
    };
    draft.token_line = token_line("first", std::slice::from_ref(&draft.product), token.as_bytes());
    let config = settle::settle(&mut draft, &mut notes)?;
    let directory = command.out.parent().unwrap_or(Path::new(""));
    for name in draft.files.keys() {
        refuse_to_overwrite(command.force, &directory.join(name))?;
    }
    for (name, text) in &draft.files {
        write(command.force, &directory.join(name), text)?;
    }
    write(command.force, &command.out, &draft.text())?;
    say(out, told(&command.out, &draft, &config, &token, &notes))
}

/// A first configuration that was not written.
pub struct Made {
    /// Its text.
    pub text: String,
    /// The schemas beside it, by the names of their files.
    pub files: BTreeMap<String, String>,
    /// What could not be taken over.
    pub notes: String,
}

/// What an OpenAPI document with this text becomes, for a backend on this machine.
///
/// # Errors
/// A message for the operator.
pub fn made_of(text: &str) -> Result<Made, Failure> {
    let backend = Backend::parse("http://127.0.0.1:9001")?;
    let command = Command { backend: Some(backend), yes: true, ..Command::default() };
    let mut notes = Notes::default();
    let mut draft = openapi::draft(&command, &Document::parse("openapi", text)?, &mut None, &mut notes)?;
    draft.token_line = token_line("first", std::slice::from_ref(&draft.product), b"token");
    settle::settle(&mut draft, &mut notes)?;
    Ok(Made { text: draft.text(), files: draft.files, notes: notes.text() })
}

fn refuse_to_overwrite(force: bool, path: &Path) -> Result<(), Failure> {
    if !force && path.symlink_metadata().is_ok() {
        let path = path.display();
        return Err(format!("{path} is there already, and nothing was written; name another file with --out, or overwrite it with --force").into());
    }
    Ok(())
}

fn write(force: bool, path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    match force {
        true => options.write(true).create(true).truncate(true),
        false => options.write(true).create_new(true),
    };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::from(format!("{} is there already", path.display())),
        _ => Failure::System(format!("cannot write {}", path.display()).into(), error),
    })
}

/// A draft from flags and answers.
fn by_hand(command: &Command, questions: &mut Option<Questions<'_>>) -> Result<Draft, Failure> {
    let backend = match (&command.backend, &mut *questions) {
        (Some(backend), _) => backend.clone(),
        (None, Some(questions)) => {
            questions
                .say("A first configuration for your backend. Ctrl-C stops; nothing is written before the end.\n\n")?;
            questions.ask("Your backend's URL", Some("http://127.0.0.1:9001"), Backend::parse)?
        }
        (None, None) => {
            return Err(missing("--backend", "say where the backend is, as in --backend http://127.0.0.1:9001"));
        }
    };
    let text = match (command.routes.as_slice(), &mut *questions) {
        ([one], _) => one.clone(),
        ([], Some(questions)) => {
            questions.ask("The first route, as in GET /v1/vat/{number} or POST /v1/lookup", None, route)?
        }
        ([], None) => {
            return Err(missing("--route", "say what clients ask for, as in --route 'GET /v1/vat/{number}'"));
        }
        ([_, ..], _) => {
            return Err(Failure::Arguments(
                "--route is given more than once, which is for --from-openapi; add more routes to the file".into(),
            ));
        }
    };
    let examples = examples(&text, command, questions)?;
    let places = match (command.token_in.as_slice(), &mut *questions) {
        ([], Some(questions)) => questions.ask(
            "Where clients put their token: bearer, basic user, basic password, header NAME or query NAME",
            Some("bearer"),
            token_places,
        )?,
        ([], None) => vec!["bearer".to_owned()],
        (places, _) => places.to_vec(),
    };
    let (listen, public_url) = addresses(command, &backend, questions)?;
    let has_body = matches!(&*text.method, "POST" | "PUT" | "PATCH");
    let route = RouteDraft {
        parameters: examples,
        body: has_body.then(BodyDraft::default),
        method: text.method.into(),
        path: text.path.to_string(),
        ..RouteDraft::default()
    };
    let product = command.product.clone().unwrap_or_else(|| name_of(&text.path));
    Ok(Draft { routes: vec![route], token_places: places, ..command.draft(backend, listen, public_url, product) })
}

/// The parameters of the path, each with an example.
fn examples(
    route: &RouteText,
    command: &Command,
    questions: &mut Option<Questions<'_>>,
) -> Result<Vec<ParameterDraft>, Failure> {
    let template = Template::new(&route.path);
    if let Some((name, _)) = command.examples.iter().find(|(name, _)| !template.names().any(|known| known == name)) {
        let what = format!("--example names {name}, which is no parameter of {}; write it there in braces", route.path);
        return Err(Failure::Arguments(what.into()));
    }
    let mut rules = Vec::new();
    for name in template.names() {
        let given = command.examples.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let example = match (given, &mut *questions) {
            (Some(value), _) => value,
            (None, Some(questions)) => {
                let question = format!("A value of {{{name}}} that your backend knows, for the example");
                questions.ask(&question, Some("1"), |text| Ok(text.to_owned()))?
            }
            (None, None) => "1".to_owned(),
        };
        rules.push(ParameterDraft { name: name.to_owned(), example: Some(example), ..ParameterDraft::default() });
    }
    Ok(rules)
}

/// What was done, and how it is tried.
fn told(path: &Path, draft: &Draft, config: &Config, token: &str, notes: &Notes) -> String {
    let name = in_shell(&path.display().to_string());
    let mut out = notes.text();
    out += &format!("wrote {}", path.display());
    match draft.files.len() {
        0 => {}
        1 => out += " and a schema beside it",
        files => out += &format!(" and {files} schemas beside it"),
    }
    out += &format!(
        "\n\nThe first token, which is shown this once (the file has its digest):\n  {token}\n\n\
         Start the gateway:\n  tollgate run --config {name}\n"
    );
    if let Some(curl) = curl(draft, config, token) {
        out += &format!("\nAsk it:\n  {}\n", curl.replace('\n', "\n  "));
    }
    out + &format!("\nHow to use the API, for clients: http://{}/reference\n", reachable(draft.listen))
}

/// A request that the first route takes.
fn curl(draft: &Draft, config: &Config, token: &str) -> Option<String> {
    const VARIABLE: &str = "$TOKEN";
    let product = config.policy.products.first()?;
    let route = product.routes.first()?;
    let curl = Example::good(product, route, Tokens::Named).curl(&format!("http://{}", reachable(draft.listen)));
    let secret = match product.token_places.first()?.example(token) {
        Carried::Header(_, value) => value.rsplit(' ').next().unwrap_or_default().to_owned(),
        Carried::Query(_) => token.to_owned(),
    };
    Some(curl.replace(VARIABLE, &secret))
}

/// A text as one word of a shell.
fn in_shell(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte));
    if is_plain && !text.is_empty() { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
