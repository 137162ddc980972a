//! The demo: a built-in configuration, and a real lookup backend.

pub mod backend;
mod numbers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, Config, Source};
use crate::downstream::listener::At;
use crate::operate::failure::Failure;
use crate::operate::server::{MakePortal, Plan};
use crate::upstream::settings::{self, Address};

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

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where the demo's portal is, and the store that it shows.
#[derive(Clone, Debug)]
pub struct Portal {
    pub address: SocketAddr,
    pub store: PathBuf,
}

/// The demo's configuration, with the addresses of the command line in it.
///
/// # Errors
/// Mistakes, of which the program's own file has none.
pub fn configuration(listen: SocketAddr, portal: Option<&Portal>) -> Result<Config, Failure> {
    // Links use the address at which the demo can be reached.
    let reachable = if listen.ip().is_unspecified() { SocketAddr::new(LOOPBACK, listen.port()) } else { listen };
    let mut text = CONFIGURATION.replace(PUBLIC_URL, &format!("public_url: http://{reachable}"));
    if let Some(Portal { address, store }) = portal {
        // JSON is YAML.
        let store = serde_json::Value::from(store.to_string_lossy());
        text += &format!("\nstore: {{ sqlite: {store} }}\nportal: {{ listen: \"{address}\" }}\n");
    }
    Ok(config::parse("demo.yaml", &text, &SOURCE)?)
}

/// What the demo serves.
///
/// # Errors
/// That no loopback port is free.
pub fn plan(
    listen: SocketAddr,
    admin: SocketAddr,
    of_portal: Option<&Portal>,
    portal: MakePortal,
) -> Result<Plan, Failure> {
    let mut config = configuration(listen, of_portal)?;
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(Failure::system("cannot find a free port for the demo backend"))?;
    for listener in Arc::get_mut(&mut config.listeners).into_iter().flat_map(|listeners| &mut listeners.0) {
        listener.at = At::Address(listen);
    }
    config.admin = admin;
    for upstream in &mut config.settings.upstreams {
        upstream.servers = [settings::Server::at(Address::Socket(backend))].into();
        upstream.host = backend.to_string().into();
    }
    Ok(Plan { config, watched: None, demo_backend: Some(backend), portal, predecessor: None })
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
