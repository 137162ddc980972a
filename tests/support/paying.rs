//! The configuration of tests about credits, and directories for their ledgers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use tollgate::policy::account::Digest;

use super::{directory, token};

/// The phone prices, as the documented configuration has them.
fn prices() -> &'static str {
    let text = include_str!("../../config/gateway.yaml");
    let begin = text.find("    credits:\n      hold:").unwrap();
    let end = begin + text[begin..].find("    # How long browsers").unwrap();
    &text[begin..end]
}

/// A configuration with accounts that pay: each has the token of its name.
pub fn paying(backend: SocketAddr, ledger: &str, accounts: &[(&str, &str)]) -> String {
    let mut yaml = format!(
        "h2c: true\nworkers: 2\npublic_url: https://api.example.com\n\
         upstreams:\n\x20 lookup: {{ servers: [{backend}], host: lookup.internal }}\n\
         ledger: {ledger}\nproducts:\n\x20 phone:\n\x20   upstream: lookup\n\
         \x20   routes: [POST /phone/validate/v2]\n\x20   token_headers: [Auth-Token, x-app-key]\n\
         \x20   deadline: {{ header: Timeout-Seconds, min: 2s, max: 15s, default: 15s }}\n\
         \x20   headers:\n\x20     Reference-ID: {{ pattern: '[A-Za-z0-9_\\-/:.,() ]+', echo: true, problem: reference-id-invalid }}\n\
         \x20   body: {{ max: 16KiB, schema: phone.schema.json }}\n{}accounts:\n",
        prices()
    );
    for (name, credits) in accounts {
        let hash = Digest::of(token(name).as_bytes()).text();
        write!(
            yaml,
            "  {name}:\n    rate: {{ unlimited: true }}\n    credits: {{ phone: {credits} }}\n\
             \x20   tokens: [{{ name: {name}, hash: \"{hash}\", products: [phone], domains: [app.example.com], absent: allow }}]\n"
        )
        .unwrap();
    }
    yaml
}

/// A directory for one test's ledger, which goes when the test ends.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        Scratch(directory())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The configuration of a ledger in the directory.
    pub fn ledger(&self, durability: &str) -> String {
        format!("{{ file: {}, durability: {durability} }}", self.path("ledger.db").display())
    }

    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("ledger.db")).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
