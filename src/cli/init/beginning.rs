//! What every draft begins with: where the gateway is, and where its backend.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::arguments::{Command, public_url};
use super::backend::Backend;
use super::draft::Draft;
use super::questions::Questions;
use crate::operate::failure::Failure;

/// What is missing where nobody can be asked.
pub fn missing(flag: &str, what: &str) -> Failure {
    Failure::Arguments(format!("{flag} is missing, and there is no terminal to ask at; {what}").into())
}

/// The address for clients, and the URL that they know.
///
/// # Errors
/// That the address is the backend's own, or that nobody answers.
pub fn addresses(
    command: &Command,
    backend: &Backend,
    questions: &mut Option<Questions<'_>>,
) -> Result<(SocketAddr, String), Failure> {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
    let other = SocketAddr::from(([127, 0, 0, 1], 8081));
    let listen = command.listen.unwrap_or(if backend.takes(usual) { other } else { usual });
    if backend.takes(listen) {
        let what = format!("--listen {listen} is the backend's own address; choose another port");
        return Err(Failure::Arguments(what.into()));
    }
    let own = format!("http://{}", reachable(listen));
    let public_url = match (&command.public_url, questions) {
        (Some(url), _) => url.clone(),
        (None, Some(questions)) => questions.ask("The URL that clients will know", Some(&own), public_url)?,
        (None, None) => own,
    };
    Ok((listen, public_url))
}

/// Where somebody on this machine reaches a listener.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], listen.port())) } else { listen }
}

impl Command {
    /// A draft without routes.
    pub fn draft(&self, backend: Backend, listen: SocketAddr, public_url: String, product: String) -> Draft {
        let admin = SocketAddr::from(([127, 0, 0, 1], 9901));
        let beside = SocketAddr::from(([127, 0, 0, 1], 9902));
        Draft {
            file: self.out.display().to_string(),
            admin: self.admin.unwrap_or(if admin == listen || backend.takes(admin) { beside } else { admin }),
            listen,
            public_url,
            backend,
            backend_key: None,
            product,
            title: None,
            token_places: Vec::new(),
            accept: Vec::new(),
            content_type: Vec::new(),
            routes: Vec::new(),
            answers: BTreeMap::new(),
            other_answers: BTreeMap::new(),
            answer_headers: Vec::new(),
            files: BTreeMap::new(),
            token_line: String::new(),
        }
    }
}
