//! The command line, and the only file that may end the process.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{CommandFactory, Parser, Subcommand};
use tollgate::cli::secret::{new_token, token_line};
use tollgate::cli::{
    accounts, alerts, audit, billing, cluster, credits, init, keys, lists, portal as people, refusals, shadow, stage,
    test, tokens, usage,
};
use tollgate::config::argument::{ConfigFile, VARIABLE};
use tollgate::config::findings::Findings;
use tollgate::config::yaml::{Mistakes, Place, Warning};
use tollgate::config::{self, Config};
use tollgate::operate::admin::answers::Reloaded;
use tollgate::operate::admin::answers::Upgraded;
use tollgate::operate::admin::client::{self, Client};
use tollgate::operate::admin::openapi;
use tollgate::operate::api;
use tollgate::operate::failure::Failure;
use tollgate::operate::output;
use tollgate::operate::reload::WatchedConfig;
use tollgate::operate::replay;
use tollgate::operate::server::{self, Plan};
use tollgate::operate::store_feed::{self, AccountConflict};
use tollgate::operate::upgrade::Predecessor;
use tollgate::operate::{demo, explain};
use tollgate::platform::clock::unix_milliseconds;
use tollgate::platform::count::{counted, either};
use tollgate::platform::logging;
use tollgate::policy::problem;
use tollgate::portal;

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
  tollgate init                              write a first configuration for your own backend
  tollgate check --config gateway.yaml       show every mistake with its line, or a summary
  tollgate run --config gateway.yaml         serve; SIGTERM stops it after requests in flight
  tollgate reload --config gateway.yaml      load a changed configuration now, or say why not
  tollgate upgrade --config gateway.yaml     replace the program without losing a request
  tollgate explain --config gateway.yaml /v1/lookup -X POST
                                             show why a request gets its answer
  tollgate test --config gateway.yaml        run the tests of a configuration
  tollgate token new --config gateway.yaml   make a token for all products, with its configuration line
  tollgate credits grant --config gateway.yaml acme vat 1000 --key invoice-17
  tollgate keys create --config gateway.yaml ann --operator admin
                                             the first key of the management API
  tollgate tokens create --config gateway.yaml acme web --product vat
                                             a token of an account of the store
  printf %s \"$TOKEN\" | tollgate token hash --product vat
                                             print the line of an existing token

Environment:
  TOLLGATE_CONFIG        the configuration file, if --config is not given; default:
                         /etc/tollgate/gateway.yaml
  TOLLGATE_API_KEY       a key of the management API, for accounts, tokens, lists, keys, usage,
                         refusals and audit; without
                         one they use the store's file on this machine
  TOLLGATE_API_URL       the management API to ask, where no --api names one
  TOLLGATE_ADMIN_TOKEN   the token of admin_token, for commands that talk to a running gateway: reload,
                         upgrade, shadow, stage, credits and status";

const EXPLAIN_EXAMPLES: &str = "Examples:
  tollgate explain --config gateway.yaml /v1/lookup -H \"Authorization: Bearer $TOKEN\" \\
      -H 'Content-Type: application/json' -d '{\"number\":\"DE811907980\"}' --from 203.0.113.9
  tollgate explain --config gateway.yaml /account/credits -H \"Auth-Token: $TOKEN\" --at 2027-07-01 --json

The exit status is 0 if the request would pass, 3 if it would be refused, 1 if the configuration has mistakes,
and 2 if the arguments have mistakes.";

const REPLAY_EXAMPLES: &str = "Examples:
  tollgate replay --config candidate.yaml journal
  tollgate replay --config candidate.yaml --json journal/decisions-20261125T0*.jsonl.zst
  zstdcat journal/*.zst | jq -c 'select(.account == \"acme\" or .journal or .rules_of)' |
      tollgate replay --config candidate.yaml -

The exit status is 0 if nothing that is decided would be refused or charged otherwise, 3 if something would be, 1 if
the configuration has mistakes or no decision could be read, and 2 if the arguments have mistakes.";

const CHECK_HELP: &str = "Each finding is a line `file:line:column: key: message` on standard error, with the line of
the file below it; a warning has `warning: ` before its message. The exit status is 0 if a gateway would start, else 1.

With --json there is one document on standard output, of version 1: `config`, `good`, the counts `mistakes` and
`warnings`, `findings`, and `summary` (null unless good). A finding has `severity` (mistake or warning), `file`, `line`,
`column`, `key` (null if it is about the whole file) and `message`.";

/// The exit status of `explain` and `tokens test` if the request would be refused.
const REFUSED: u8 = 3;

/// The exit status of `replay` if a decision would be another one.
const DIFFERS: u8 = 3;

/// The exit status if arguments are missing or wrong, as the parser of the command line has it.
const WRONG_ARGUMENTS: u8 = 2;

#[derive(Subcommand)]
enum Command {
    /// Try out the gateway: serve a built-in configuration in front of a built-in lookup.
    Demo {
        /// The address for clients.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// The address of the admin listener.
        #[arg(long, default_value = "127.0.0.1:9901")]
        admin: SocketAddr,
        /// The address of the portal. Default: 127.0.0.1:9092 if clients connect to 127.0.0.1:8080, else there is none.
        #[arg(long)]
        portal: Option<SocketAddr>,
        /// Another host name by which the admin listener is reached, beside its address and localhost.
        #[arg(long = "admin-host", value_name = "NAME")]
        admin_hosts: Vec<Box<str>>,
    },
    /// Write a first configuration for your backend, from a few answers or from its OpenAPI document.
    #[command(after_help = init::EXAMPLES)]
    Init(Box<init::Command>),
    /// Serve a configuration.
    Run(ConfigFile),
    /// Check a configuration: a summary, or every mistake with its line and column.
    #[command(after_help = CHECK_HELP)]
    Check {
        #[command(flatten)]
        file: ConfigFile,
        /// Print a JSON document instead, with or without findings.
        #[arg(long)]
        json: bool,
        /// Exit with 1 also if there are only warnings.
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Make a running gateway reload its configuration and reopen its access log. If the configuration has mistakes,
    /// this shows them and nothing changes.
    Reload(ConfigFile),
    /// Make a running gateway hand over to a new process of the program, which takes over its sockets and reads the
    /// configuration again; no connection is refused meanwhile. If the new process cannot serve, the old one continues,
    /// and this says why.
    Upgrade(ConfigFile),
    /// Run the tests of a configuration, or make one of a request. Nothing is sent.
    #[command(after_help = test::EXAMPLES)]
    Test(test::Command),
    /// Explain what would happen to a request: every check with its result, what it looked at and the configuration
    /// line that decided, and the answer. Nothing is sent.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(explain::Command),
    /// Judge the decisions of a journal again under another configuration: who would be refused or charged otherwise, by
    /// row, account and price, with examples. Nothing is sent.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(replay::Command),
    /// Judge live requests by a candidate beside the configuration in force, without effect; then promote or drop it.
    #[command(subcommand, after_help = shadow::EXAMPLES)]
    Shadow(shadow::Command),
    /// See and end the stage of a changed configuration, which is in force for a share of the accounts first
    /// (`staged_reload`).
    #[command(subcommand, after_help = stage::EXAMPLES)]
    Stage(stage::Command),
    /// Grant, adjust, show and export the credits of accounts, with or without a running gateway.
    #[command(subcommand)]
    Credits(credits::Command),
    /// List, make, change, suspend and close the accounts of the store, whether the gateway runs or not.
    #[command(subcommand)]
    Accounts(accounts::Command),
    /// List, make, rotate, disable and revoke the tokens of an account of the store.
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Show and change the networks and domains of a token of the store.
    #[command(subcommand)]
    Lists(lists::Command),
    /// List, make and revoke keys of the management API.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Invite somebody to the Self Service Portal.
    #[command(subcommand)]
    Portal(people::Command),
    /// Show who has changed what in the store, and check that nothing is missing.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Show what accounts have used, by the hour or by the day, also as CSV.
    Usage(usage::Command),
    /// Show which requests were refused in the last days, and what mends it.
    Refusals(refusals::Command),
    /// Show which balances are low and which tokens are about to end, and whether that was told.
    Alerts(alerts::Command),
    /// Show how far usage was sent for billing, and why not further.
    Billing(billing::Command),
    /// Ask the gateways that share the store.
    Cluster(cluster::Command),
    /// Publish notes and planned maintenance on the status page.
    #[command(subcommand)]
    Status(tollgate::cli::status::Command),
    /// Print the JSON Schema of the configuration, for editors.
    Schema {
        /// The kind of file to describe.
        #[arg(long = "of", value_enum, default_value_t)]
        kind: config::schema::Kind,
        /// Print a reference of every key in Markdown instead.
        #[arg(long, conflicts_with = "kind")]
        markdown: bool,
    },
    /// Print a script for shell completion.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual, or write one page for each command.
    Man {
        /// Write the pages into this directory.
        #[arg(long, value_name = "DIRECTORY")]
        into: Option<PathBuf>,
    },
    /// Make a token, or the digest of one, for the configuration.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the OpenAPI document of the management API, which serves it at /api/v1/openapi.json too.
    ApiOpenapi,
    /// Print the OpenAPI document of the admin API; the admin listener also serves it at /openapi.json.
    AdminOpenapi,
    /// List every problem a client can get, in order of precedence.
    Problems {
        /// Print a Markdown table.
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
        /// Print a JSON document.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a random token, and print it with its line for the configuration.
    New {
        /// The name of the token, as in logs.
        #[arg(long, default_value = "new")]
        name: String,
        #[command(flatten)]
        covers: Covers,
    },
    /// Print the configuration line of a token that is read from standard input.
    Hash {
        /// The name of the token, as in logs.
        #[arg(long, default_value = "new")]
        name: String,
        #[command(flatten)]
        covers: Covers,
    },
}

/// The products that a token covers.
#[derive(clap::Args)]
struct Covers {
    /// A product that it covers; may be repeated.
    #[arg(long = "product", value_name = "NAME")]
    products: Vec<String>,
    /// The configuration file: the token covers all of its products, unless --product is given.
    #[arg(short, long, env = VARIABLE, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Covers {
    /// The names of the products, which must be in the configuration if there is one.
    fn names(self) -> Result<Vec<String>, Failure> {
        let Some(path) = self.config else {
            if self.products.is_empty() {
                return Err(
                    "say what the token covers: --config FILE for all products of a configuration, or --product NAME"
                        .into(),
                );
            }
            return Ok(self.products);
        };
        let config = config::load(&path)?;
        let known: Vec<String> = config.policy.products.iter().map(|product| product.name.to_string()).collect();
        if let Some(unknown) = self.products.iter().find(|name| !known.contains(name)) {
            return Err(
                format!("{unknown} is not a product of {}, which has {}", path.display(), known.join(", ")).into()
            );
        }
        Ok(if self.products.is_empty() { known } else { self.products })
    }
}

fn main() -> ExitCode {
    logging::start();
    let mut code = ExitCode::SUCCESS;
    let outcome = match Arguments::parse().command {
        Command::Demo { listen, admin, portal, admin_hosts } => serve_demo(listen, admin, portal, admin_hosts),
        Command::Init(command) => init::run(*command, &mut std::io::stdout().lock()),
        Command::Run(file) => serve(&file.config),
        Command::Check { file, json, deny_warnings } => check(&file.config, json, deny_warnings),
        Command::Reload(file) => reload(&file.config),
        Command::Upgrade(file) => upgrade(&file.config),
        Command::Explain(command) => explain::run(command).and_then(|(text, refused)| {
            if refused {
                code = ExitCode::from(REFUSED);
            }
            print(&text)
        }),
        Command::Test(command) => test::run(command, &mut std::io::stdout().lock()),
        Command::Replay(command) => replay::run(command).and_then(|(text, differs)| {
            if differs {
                code = ExitCode::from(DIFFERS);
            }
            print(&text)
        }),
        Command::Shadow(command) => shadow::run(command, &mut std::io::stdout().lock()),
        Command::Stage(command) => stage::run(command, &mut std::io::stdout().lock()),
        Command::Credits(command) => credits::run(command, &mut std::io::stdout().lock()),
        Command::Accounts(command) => accounts::run(command, &mut std::io::stdout().lock()),
        Command::Tokens(command) => tokens::run(command, &mut std::io::stdout().lock()).map(|refused| {
            if refused {
                code = ExitCode::from(REFUSED);
            }
        }),
        Command::Lists(command) => lists::run(command, &mut std::io::stdout().lock()),
        Command::Keys(command) => keys::run(command, &mut std::io::stdout().lock()),
        Command::Portal(command) => people::run(command, &mut std::io::stdout().lock()),
        Command::Audit(command) => audit::run(command, &mut std::io::stdout().lock()),
        Command::Alerts(command) => alerts::run(command, &mut std::io::stdout().lock()),
        Command::Billing(command) => billing::run(&command, &mut std::io::stdout().lock()),
        Command::Cluster(command) => cluster::run(&command, &mut std::io::stdout().lock()),
        Command::Usage(command) => usage::run(command, &mut std::io::stdout().lock()),
        Command::Refusals(command) => refusals::run(command, &mut std::io::stdout().lock()),
        Command::Schema { markdown: true, .. } => print(&config::reference::markdown()),
        Command::Schema { kind, markdown: false } => print(&format!("{:#}\n", config::schema::of(kind).as_value())),
        Command::Completions { shell } => completions(shell),
        Command::Man { into } => manual(into.as_deref()),
        Command::Status(command) => tollgate::cli::status::run(command, &mut std::io::stdout().lock()),
        Command::Token(TokenCommand::New { name, covers }) => covers.names().and_then(|products| {
            let token = new_token();
            print(&format!("token: {token}\n{}\n", token_line(&name, &products, token.as_bytes())))
        }),
        Command::Token(TokenCommand::Hash { name, covers }) => {
            covers.names().and_then(|products| hash(&name, &products))
        }
        Command::ApiOpenapi => {
            api::openapi::whole().map_err(Failure::from).and_then(|document| print(&format!("{document:#}\n")))
        }
        Command::AdminOpenapi => print(&format!("{:#}\n", openapi::document())),
        Command::Problems { json: true, .. } => print(&problem::table_as_json()),
        Command::Problems { markdown: true, .. } => print(&problem::table_as_markdown()),
        Command::Problems { .. } => print(&problem::table_as_text()),
    };
    logging::flush();
    match outcome {
        Ok(()) => code,
        Err(Failure::Printed) => ExitCode::FAILURE,
        Err(failure) => {
            complain(&format!("{}\n", failure.to_string().trim_end()));
            if let Failure::Arguments(_) = failure { ExitCode::from(WRONG_ARGUMENTS) } else { ExitCode::FAILURE }
        }
    }
}

/// Writes to the standard error output. Nobody can be told that nobody reads it.
fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn serve_demo(
    listen: SocketAddr,
    admin: SocketAddr,
    portal: Option<SocketAddr>,
    admin_hosts: Vec<Box<str>>,
) -> Result<(), Failure> {
    let portal = portal.or_else(|| (listen == DEMO_LISTEN).then_some(DEMO_PORTAL));
    let addresses = demo::Addresses::new(listen, admin, admin_hosts)?;
    let (written, words) = match portal.map(|portal| fill_demo(&addresses, portal)).transpose() {
        Ok(filled) => filled.unzip(),
        Err(why) => (None, Some(format!("\nThere is no portal: {why}\n"))),
    };
    let plan = demo::plan(&addresses, written, portal::router::router)?;
    demo::backend::warm_up();
    let welcome = demo::welcome(listen, admin) + &words.unwrap_or_default();
    server::run(plan, move || drop(print(&welcome)), end)
}

/// Where clients of the demo connect, and where its portal is then.
const DEMO_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DEMO_PORTAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9092);

/// Makes what the demo's portal shows, anew with each start, and says how to sign in.
fn fill_demo(addresses: &demo::Addresses, portal: SocketAddr) -> Result<(PathBuf, String), Failure> {
    let directory = std::env::temp_dir().join(format!("tollgate-demo-{}", portal.port()));
    if directory.exists() {
        std::fs::remove_dir_all(&directory)
            .map_err(Failure::system(format!("cannot remove {} of an earlier start", directory.display())))?;
    }
    std::fs::create_dir_all(&directory).map_err(Failure::system(format!("cannot make {}", directory.display())))?;
    let path = demo::write(&directory, addresses, portal)?;
    let policy = Arc::new(config::load(&path)?.policy);
    let filled = tollgate::portal::demo::fill(&directory.join(demo::STORE), policy, unix_milliseconds())?;
    let words = format!(
        "\nPortal, with made-up customers; each link lets you choose a password, once:\n\
         \x20 http://{portal}{}   as a customer\n\
         \x20 http://{portal}{}   as an operator\n",
        filled.customer_path, filled.operator_path
    );
    Ok((path, words))
}

fn serve(path: &std::path::Path) -> Result<(), Failure> {
    let predecessor = Predecessor::of_this_process()?;
    let line = predecessor.as_ref().map(Predecessor::line).transpose()?;
    let outcome = serve_after(path, predecessor);
    if let (Err(why), Some(line)) = (&outcome, line) {
        Predecessor::give_up(&line, &why.to_string());
    }
    outcome
}

fn serve_after(path: &std::path::Path, predecessor: Option<Predecessor>) -> Result<(), Failure> {
    let loaded_at = SystemTime::now();
    let (config, read) = config::load_and_note(path, None);
    let config = config?;
    for overdue in config.overdue(SystemTime::now()) {
        log::warn!("{overdue}");
    }
    for warning in config.warnings.iter().take(config::MOST_WARNINGS) {
        log::warn!("{warning}");
    }
    let watched = Some(WatchedConfig { path: path.to_owned(), read, loaded_at });
    let ready = format!("tollgate listens on {} (admin http://{}/healthz)\n", config.listeners, config.admin);
    let plan = Plan { config, watched, demo_backend: None, portal: portal::router::router, predecessor };
    server::run(plan, move || drop(print(&ready)), end)
}

fn check(path: &std::path::Path, json: bool, deny_warnings: bool) -> Result<(), Failure> {
    let name = path.display().to_string();
    let loaded = config::load(path).and_then(|config| with_store(&name, config)).and_then(test::tested);
    let findings = Findings::new(&name, loaded, SystemTime::now(), deny_warnings);
    if json {
        print(&findings.as_json())?;
        return if findings.is_good() { Ok(()) } else { Err(Failure::Printed) };
    }
    let text = findings.as_text();
    match findings.summary() {
        None => Err(text.into()),
        Some(summary) => {
            complain(&text);
            print(summary)
        }
    }
}

/// A configuration with the accounts of its store, as a gateway would have it.
fn with_store(name: &str, mut config: Config) -> Result<Config, Mistakes> {
    const MOST_TOLD: usize = 20;
    let Some(store) = &config.store else { return Ok(config) };
    let taken = store_feed::take_in(store, &mut config.policy);
    let conflicts = taken.map_err(|why| Mistakes::of_key(name, "store", &why))?;
    let place = Place { file: Arc::from(name), line: 1, column: 1, path: "store".into() };
    let warning = |what: String| Warning { place: place.clone(), what };
    for AccountConflict { account, why } in conflicts.accounts.iter().take(MOST_TOLD) {
        let what =
            format!("has the account {account}, which is not in force as it is written: it {}", why.join("; it "));
        config.warnings.push(warning(what));
    }
    let more = conflicts.count.saturating_sub(MOST_TOLD);
    if more > 0 {
        let are = either(&more, "is not in force as it is", "are not in force as they are");
        config.warnings.push(warning(format!("has {} that {are} written", counted(more, "more account"))));
    }
    Ok(config)
}

fn upgrade(path: &std::path::Path) -> Result<(), Failure> {
    let config = config::load(path)?;
    let client = Client::new(&config, "the running version of the gateway cannot upgrade itself; restart it");
    let Upgraded { process, .. } = client.post(&format!("/upgrade?{}", of_file(path)?), None, &())?;
    print(&format!("process {process} serves now; its predecessor ends after its last request\n"))
}

fn reload(path: &std::path::Path) -> Result<(), Failure> {
    let config = config::load(path)?;
    let client = Client::new(&config, "the running version of the gateway does not support this; send it SIGHUP");
    let Reloaded { detail, .. } = client.post(&format!("/reload?{}", of_file(path)?), None, &())?;
    print(&format!("{}\n", detail.trim_end()))
}

/// The query parameter that makes a gateway with another configuration file refuse.
fn of_file(path: &std::path::Path) -> Result<String, Failure> {
    let whole = path.canonicalize().map_err(Failure::system(format!("cannot find {}", path.display())))?;
    Ok(format!("config={}", client::encoded(&whole.to_string_lossy())))
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tollgate", &mut script);
    print(&String::from_utf8_lossy(&script))
}

fn manual(directory: Option<&std::path::Path>) -> Result<(), Failure> {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(Arguments::command()).render(&mut page);
        return rendered.map_err(Failure::Output).and_then(|()| print(&String::from_utf8_lossy(&page)));
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory))
        .map_err(Failure::system(format!("cannot write the manual into {}", directory.display())))
}

fn hash(name: &str, products: &[String]) -> Result<(), Failure> {
    const LONGEST_TOKEN: u64 = 16 * 1024;
    let mut token = Vec::new();
    let read = std::io::stdin().take(LONGEST_TOKEN).read_to_end(&mut token);
    read.map_err(Failure::system("cannot read the token from standard input"))?;
    let token = token.trim_ascii();
    if token.is_empty() {
        return Err("standard input has no token; try: printf %s \"$TOKEN\" | tollgate token hash --product vat".into());
    }
    print(&format!("{}\n", token_line(name, products, token)))
}

/// Ends the process once no request is in flight.
fn end() {
    logging::flush();
    std::process::exit(0)
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), Failure> {
    output::say(&mut std::io::stdout().lock(), text)
}
