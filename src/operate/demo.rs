//! The demo: a built-in configuration, and a real lookup backend.

pub mod backend;
mod numbers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::{self, Source};
use crate::operate::failure::Failure;
use crate::operate::reload::WatchedConfig;
use crate::operate::server::{MakePortal, Plan};

/// The demo's configuration, as `config/demo.yaml` has it.
pub const CONFIGURATION: &str = include_str!("../../config/demo.yaml");

/// The files that the configuration names.
pub const SOURCE: Source = Source::Embedded(&[
    ("phone.schema.json", include_str!("../../config/phone.schema.json")),
    ("email.schema.json", include_str!("../../config/email.schema.json")),
    ("phone.answer.schema.json", include_str!("../../config/phone.answer.schema.json")),
    ("email.answer.schema.json", include_str!("../../config/email.answer.schema.json")),
    ("demo.md", include_str!("../../config/demo.md")),
]);

/// The demo's tokens in plain text, and what each is for.
pub const TOKENS: [(&str, &str); 10] = [
    ("demo-live", "works, 150 requests a minute"),
    ("demo-metered", "has 5 credits after each start; then credits-insufficient"),
    ("demo-disabled", "is disabled: token-disabled"),
    ("demo-expired", "has expired: token-expired"),
    ("demo-other-product", "is for POST /email/validate/v2: product-mismatch on the phone product"),
    ("demo-ip", "works from 203.0.113.0/24 only: ip-not-allowed"),
    ("demo-domain", "works with an Origin of app.example.com or *.shop.example.com: domain-not-allowed"),
    ("demo-throttled", "works twice a minute: rate-exceeded"),
    ("demo-quota", "works twice a day: quota-exceeded"),
    ("demo-unlimited", "works, a million requests a second, for load tools"),
];

/// The line of the configuration with the URL of the pages.
const PUBLIC_URL: &str = "public_url: http://127.0.0.1:8080";

/// Its lines with addresses.
const LISTEN: &str = "listen: 127.0.0.1:8080\n";
const ADMIN: &str = "admin: 127.0.0.1:9901\n";
const SERVERS: &str = "servers: [127.0.0.1:9001]";

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where the demo is.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    /// Other names of the admin listener.
    pub admin_hosts: Vec<Box<str>>,
    /// Of its own lookup backend.
    backend: SocketAddr,
}

impl Addresses {
    /// Those of the command line, and a free one for the backend.
    ///
    /// # Errors
    /// That no loopback port is free.
    pub fn new(listen: SocketAddr, admin: SocketAddr, admin_hosts: Vec<Box<str>>) -> Result<Addresses, Failure> {
        let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(Failure::system("cannot find a free port for the demo backend"))?;
        Ok(Addresses { listen, admin, admin_hosts, backend })
    }

    /// The demo's configuration, with these addresses in it.
    fn text(&self) -> String {
        // Links use the address at which the demo can be reached.
        let listen = self.listen;
        let reachable = if listen.ip().is_unspecified() { SocketAddr::new(LOOPBACK, listen.port()) } else { listen };
        let mut text = CONFIGURATION.to_owned();
        let hosts = serde_json::json!(self.admin_hosts);
        let exposed = !self.admin.ip().is_loopback();
        for (line, with) in [
            (PUBLIC_URL, format!("public_url: http://{reachable}")),
            (LISTEN, format!("listen: \"{listen}\"\n")),
            (ADMIN, format!("admin: \"{}\"\nadmin_hosts: {hosts}\nadmin_exposed: {exposed}\n", self.admin)),
            (SERVERS, format!("servers: [\"{}\"]", self.backend)),
        ] {
            text = text.replacen(line, &with, 1);
        }
        text
    }
}

/// Writes the demo's configuration with a portal, and all that it names, into a directory; the file's path.
///
/// # Errors
/// That they cannot be written.
pub fn write(directory: &Path, addresses: &Addresses, portal: SocketAddr) -> Result<PathBuf, Failure> {
    let Source::Embedded(files) = SOURCE else { return Err("the demo has no files".into()) };
    let own = format!("\nstore: {{ sqlite: {STORE} }}\nportal: {{ listen: \"{portal}\" }}\n");
    let text = addresses.text() + &own;
    let path = directory.join("demo.yaml");
    for (name, text) in files.iter().copied().chain([("demo.yaml", &*text)]) {
        let at = directory.join(name);
        std::fs::write(&at, text).map_err(Failure::system(format!("cannot write {}", at.display())))?;
    }
    Ok(path)
}

/// The store of the demo's portal, beside its configuration.
pub const STORE: &str = "demo.db";

/// What the demo serves: the program's own configuration, or with a portal the one that was written for it.
///
/// # Errors
/// Mistakes, of which the program's own file has none.
pub fn plan(addresses: &Addresses, written: Option<PathBuf>, portal: MakePortal) -> Result<Plan, Failure> {
    let loaded_at = SystemTime::now();
    let (config, watched) = match written {
        Some(path) => {
            let (config, read) = config::load_and_note(&path, None);
            (config?, Some(WatchedConfig { path, read, loaded_at }))
        }
        None => (config::parse("demo.yaml", &addresses.text(), &SOURCE)?, None),
    };
    Ok(Plan { config, watched, demo_backend: Some(addresses.backend), portal, predecessor: None })
}

/// What the demo prints when it is ready.
pub fn welcome(listen: SocketAddr, admin: SocketAddr) -> String {
    let tokens = TOKENS.iter().fold(String::new(), |text, (token, what)| text + &format!("  {token:<20}{what}\n"));
    format!(
        "tollgate demo listens on http://{listen} (admin http://{admin}/healthz)\n\n\
         Tokens:\n{tokens}\n\
         Try:\n\
         curl -i http://{listen}/phone/validate/v2 -H 'Auth-Token: demo-live' -H 'Content-Type: application/json' -H 'Add-Metadata: true' -d '{{\"number\":\"+44 7400 123456\"}}'\n\n\
         Read:\n\
         \x20 http://{listen}/reference   how to use the API, with a curl for each product\n\
         \x20 http://{listen}/problems    every error, and how to fix it\n\
         \x20 http://{listen}/status      availability and incidents\n\n\
         Ctrl-C stops it.\n"
    )
}
