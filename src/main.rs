//! The command line, and the only file that may end the process.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Parser, Subcommand};
use tollgate::account::Digest;
use tollgate::reload::Watched;
use tollgate::server::{self, Plan};
use tollgate::{config, credits, demo, logging, problem, status};

/// An edge gateway for metered lookup APIs: a request reaches the backend only when its token,
/// product, network, domain, rate, headers and body are right.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  tollgate demo                              try it out: prints tokens and a curl that works
  tollgate check --config gateway.yaml       every mistake with its line, or a summary
  tollgate run --config gateway.yaml         serve; SIGTERM lets requests in flight finish
  tollgate token new --name web              a token, and its line for the configuration
  tollgate credits grant --config gateway.yaml acme phone 1000 --key invoice-17
  printf %s \"$TOKEN\" | tollgate token hash   the line of a token that exists already";

#[derive(Subcommand)]
enum Command {
    /// Serve a built-in configuration in front of a built-in phone lookup, to try things out.
    Demo {
        /// Where clients connect.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Where operators connect.
        #[arg(long, default_value = "127.0.0.1:9901")]
        admin: SocketAddr,
    },
    /// Serve a configuration.
    Run {
        /// The YAML file; config/gateway.yaml explains every key.
        #[arg(long)]
        config: PathBuf,
    },
    /// Check a configuration: a summary, or every mistake with its line and column.
    Check {
        /// The YAML file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Grant, adjust, show and export the credits of accounts, whether the gateway runs or not.
    #[command(subcommand)]
    Credits(credits::Command),
    /// Say something on the status page: notes and planned maintenance.
    #[command(subcommand)]
    Status(status::command::Command),
    /// Make a token, or the digest of one, for the configuration.
    #[command(subcommand)]
    Token(TokenCommand),
    /// List every problem a client can get, in order of precedence.
    Problems {
        /// As a Markdown table.
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a new random token and print it with its line for the configuration.
    New {
        /// What the token is called in logs.
        #[arg(long, default_value = "new")]
        name: String,
        /// The product that it covers.
        #[arg(long, default_value = "phone")]
        product: String,
    },
    /// Print the configuration line of a token that is read from standard input.
    Hash {
        /// What the token is called in logs.
        #[arg(long, default_value = "new")]
        name: String,
        /// The product that it covers.
        #[arg(long, default_value = "phone")]
        product: String,
    },
}

fn main() -> ExitCode {
    logging::start();
    let outcome = match Arguments::parse().command {
        Command::Demo { listen, admin } => serve_demo(listen, admin),
        Command::Run { config } => serve(&config),
        Command::Check { config } => check(&config),
        Command::Credits(command) => credits::run(command, &mut std::io::stdout().lock()),
        Command::Status(command) => status::command::run(command, &mut std::io::stdout().lock()),
        Command::Token(TokenCommand::New { name, product }) => {
            let token = new_token();
            print(&format!("token: {token}\n{}\n", token_line(&name, &product, token.as_bytes())))
        }
        Command::Token(TokenCommand::Hash { name, product }) => hash(&name, &product),
        Command::Problems { markdown: true } => print(&problem::table_as_markdown()),
        Command::Problems { markdown: false } => print(&problem::table_as_text()),
    };
    logging::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn serve_demo(listen: SocketAddr, admin: SocketAddr) -> Result<(), String> {
    let plan = demo::plan(listen, admin)?;
    demo::backend::warm_up();
    let welcome = demo::welcome(listen, admin);
    server::run(plan, move || drop(print(&welcome)), end)
}

fn serve(path: &std::path::Path) -> Result<(), String> {
    let loaded_at = SystemTime::now();
    let (config, read) = config::load_and_note(path);
    let config = config.map_err(|mistakes| mistakes.to_string())?;
    for overdue in config.overdue(SystemTime::now()) {
        log::warn!("{overdue}");
    }
    let watched = Some(Watched { path: path.to_owned(), read, loaded_at });
    let ready = format!("tollgate listens on {} (admin http://{}/healthz)\n", config.listeners, config.admin);
    server::run(Plan { config, watched, demo_backend: None }, move || drop(print(&ready)), end)
}

fn check(path: &std::path::Path) -> Result<(), String> {
    let config = config::load(path).map_err(|mistakes| mistakes.to_string())?;
    let overdue = config.overdue(SystemTime::now());
    if !overdue.is_empty() {
        return Err(overdue.iter().map(|overdue| format!("{overdue}\n")).collect());
    }
    print(&config.summary(&path.display().to_string()))
}

fn hash(name: &str, product: &str) -> Result<(), String> {
    const LONGEST_TOKEN: u64 = 16 * 1024;
    let mut token = Vec::new();
    let read = std::io::stdin().take(LONGEST_TOKEN).read_to_end(&mut token);
    read.map_err(|error| format!("cannot read the token from standard input: {error}"))?;
    let token = token.trim_ascii();
    if token.is_empty() {
        return Err("there is no token on standard input; try: printf %s \"$TOKEN\" | tollgate token hash".to_owned());
    }
    print(&format!("{}\n", token_line(name, product, token)))
}

/// A token of 244 random bits, with a prefix that scanners for leaked secrets can look for.
fn new_token() -> String {
    format!("tg_{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

fn token_line(name: &str, product: &str, token: &[u8]) -> String {
    format!("- {{ name: {name}, hash: \"{}\", products: [{product}] }}", Digest::of(token).text())
}

/// Ends the process once nothing is in flight any more.
fn end() {
    logging::flush();
    std::process::exit(0)
}

/// Writes to standard output; a reader that went away is no failure.
fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}")),
        Ok(()) | Err(_) => Ok(()),
    }
}
