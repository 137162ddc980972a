//! Gateways that sell the credits of the same accounts by lease, with a PostgreSQL between them (contract, section 7: the
//! balance is never below 0, and whoever has credits can use them).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, USER, shared};

use crate::support::{Backend, Gateway, Request, Scratch, VERSIONS, paying, token, until};

/// Several gateways and their database.
struct Fleet<'c> {
    cluster: &'c Cluster,
    database: String,
    backend: Backend,
    accounts: Vec<(&'static str, &'static str)>,
    more: &'static str,
    scratch: Scratch,
}

impl<'c> Fleet<'c> {
    /// `accounts` have credits for each a number that the files say; each has the token of its name.
    fn new(cluster: &'c Cluster, accounts: &[(&'static str, &'static str)], more: &'static str) -> Fleet<'c> {
        let (database, backend, scratch) = (cluster.empty(), Backend::answering_json(), Scratch::new());
        Fleet { cluster, database, backend, accounts: accounts.to_vec(), more, scratch }
    }

    /// Starts a gateway with a journal of this name.
    fn start(&self, journal: &str) -> Gateway {
        let file = self.scratch.path(journal);
        let ledger = format!("{{ file: {}, durability: each }}", file.display());
        let yaml = paying(self.backend.address(), &ledger, &self.accounts);
        let gateway = Gateway::start(&format!(
            "{yaml}enquiry_rate: {{ limit: 1000/s }}\nstore: {{ postgres: {{ hosts: ['{}:{}'], database: {}, user: {USER} }} }}\n\
             cluster: {{ replica_lag: 0s{} }}\n",
            self.cluster.directory.display(),
            self.cluster.port,
            self.database,
            self.more,
        ));
        until("it may sell", || gateway.ask_admin("GET", "/readyz", &[], "").0 == 200);
        gateway
    }

    fn start_all<const N: usize>(&self) -> [Gateway; N] {
        std::array::from_fn(|index| self.start(&format!("{index}.db")))
    }

    /// The database's own sums: granted, allotted, spent and unpaid.
    fn sums(&self) -> [i64; 4] {
        let mut client = self.cluster.connect(USER, &self.database);
        [
            "granted) FROM credit_balance",
            "allotted) FROM credit_balance",
            "spent) FROM credit_lease",
            "credits) FROM credit_unpaid",
        ]
        .map(|sum| {
            let query = sum.replacen(')', "), 0) AS BIGINT)", 1);
            client.query_one(&format!("SELECT CAST(coalesce(sum({query}"), &[]).unwrap().get(0)
        })
    }
}

/// The row of the answer to a lookup; `sold` for a 200.
fn buy(gateway: &Gateway, account: &str) -> String {
    let response = gateway.send(VERSIONS[0], &Request::lookup(account));
    if response.status() == 200 {
        return "sold".to_owned();
    }
    let link = response.json()["error"]["type"].as_str().unwrap().to_owned();
    link.rsplit('/').next().unwrap().to_owned()
}

/// What `GET /account/credits` says: granted, balance, held and spent.
fn credits(gateway: &Gateway, account: &str) -> [u64; 4] {
    let asked = Request::new("GET", "/account/credits").with("Auth-Token", &token(account));
    let told = gateway.send(VERSIONS[0], &asked).json();
    let of = |name: &str| told["credits"][0][name].as_u64().unwrap_or_else(|| panic!("{told}"));
    [of("granted"), of("balance"), of("held"), of("spent")]
}

#[test]
fn three_gateways_sell_the_credits_of_an_account_to_the_last_one_and_no_more() {
    let fleet = Fleet::new(shared(), &[("acme", "60"), ("bee", "5")], "");
    let gateways = fleet.start_all::<3>();
    let outcomes = std::thread::scope(|scope| {
        let buyers = gateways
            .each_ref()
            .map(|gateway| scope.spawn(|| (0..40).map(|_| buy(gateway, "acme")).collect::<Vec<String>>()));
        buyers.map(|buyer| buyer.join().unwrap())
    });
    let mut rows: HashMap<&str, usize> = HashMap::new();
    outcomes.iter().flatten().for_each(|row| *rows.entry(row).or_default() += 1);
    assert_eq!(rows, HashMap::from([("sold", 60), ("credits-insufficient", 60)]));
    // Whoever asks any of them is told the same, once the others have said what they sold.
    for gateway in &gateways {
        until("all was reported", || credits(gateway, "acme") == [60, 0, 0, 60]);
        assert_eq!(credits(gateway, "bee"), [5, 5, 0, 0]);
    }
    assert_eq!(fleet.sums()[2..], [60, 0]);
    drop(gateways);
}

#[test]
fn the_last_credits_are_usable_on_every_gateway() {
    let fleet = Fleet::new(shared(), &[("acme", "400")], "");
    let gateways = fleet.start_all::<3>();
    // One has a lease that it needs, by what it sells; then another one gets all the rest.
    for _ in 0..20 {
        assert_eq!(buy(&gateways[0], "acme"), "sold");
    }
    let begun = Instant::now();
    for sold in 0..380 {
        assert_eq!(buy(&gateways[1 + sold % 2], "acme"), "sold", "{sold} after {:?}", begun.elapsed());
    }
    for gateway in &gateways {
        assert_eq!(buy(gateway, "acme"), "credits-insufficient");
    }
}

#[test]
fn a_grant_of_an_operator_is_for_all_gateways_and_what_is_on_lease_can_be_taken_back() {
    let fleet = Fleet::new(shared(), &[("acme", "10")], "");
    let [one, other] = fleet.start_all::<2>();
    for _ in 0..4 {
        assert_eq!(buy(&one, "acme"), "sold");
    }
    let change = |gateway: &Gateway, kind: &str, key: &str, amount: i64| {
        let body = json!({ "amount": amount, "by": "ann", "why": "invoice 17" }).to_string();
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        let (status, body) =
            gateway.ask_admin("POST", &format!("/accounts/acme/credits/phone/{kind}"), &headers, &body);
        (status, serde_json::from_str::<Value>(&body).unwrap_or_default())
    };
    assert_eq!(change(&one, "grants", "a", 5).0, 201);
    let (status, again) = change(&other, "grants", "a", 5);
    assert_eq!((status, &again["again"]), (200, &Value::Bool(true)));
    assert_eq!(change(&other, "grants", "a", 6).0, 422);
    until("what was sold is known", || credits(&other, "acme") == [15, 11, 0, 4]);
    // The first gateway has some of them on lease.
    assert_eq!(change(&other, "adjustments", "b", -12).0, 409);
    let (status, taken) = change(&other, "adjustments", "c", -11);
    assert_eq!(status, 201, "{taken}");
    for gateway in [&one, &other] {
        assert_eq!(buy(gateway, "acme"), "credits-insufficient");
        assert_eq!(credits(gateway, "acme"), [4, 0, 0, 4]);
    }
}

#[test]
fn a_gateway_that_is_killed_and_starts_again_gives_back_what_it_had_on_lease() {
    let fleet = Fleet::new(shared(), &[("acme", "50")], "");
    let [mut one, other] = fleet.start_all::<2>();
    for _ in 0..10 {
        assert_eq!(buy(&one, "acme"), "sold");
    }
    one.kill();
    let again = fleet.start("0.db");
    let mut sold = 10;
    while buy(&other, "acme") == "sold" {
        sold += 1;
    }
    assert_eq!(sold, 50, "nothing is lost, and nothing is sold twice");
    assert_eq!(buy(&again, "acme"), "credits-insufficient");
    until("all was reported", || fleet.sums() == [50, 50, 50, 0]);
}

#[test]
fn a_gateway_starts_again_without_an_account_that_it_has_sold_to() {
    let mut fleet = Fleet::new(shared(), &[("acme", "50"), ("bee", "50")], "");
    let mut one = fleet.start("0.db");
    assert_eq!((buy(&one, "acme"), buy(&one, "bee")), ("sold".to_owned(), "sold".to_owned()));
    one.kill();
    fleet.accounts.retain(|(name, _)| *name != "acme");
    let again = fleet.start("0.db");
    assert_eq!(buy(&again, "bee"), "sold");
    until("what it had on lease is returned", || fleet.sums()[1..3] == [2, 2] || fleet.sums()[2] == 2);
    assert_eq!(credits(&again, "bee"), [50, 48, 0, 2]);
}

#[test]
fn what_is_on_lease_is_sold_while_the_database_is_away_and_nothing_else() {
    let cluster = Cluster::start();
    let fleet = Fleet::new(&cluster, &[("acme", "5000"), ("bee", "50")], "");
    let gateway = fleet.start("0.db");
    // Demand of some seconds, by which the lease is made.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        assert_eq!(buy(&gateway, "acme"), "sold");
        std::thread::sleep(Duration::from_millis(20));
    }
    cluster.kill();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        assert_eq!(buy(&gateway, "acme"), "sold", "{:?} after the database was killed", begun.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    let refused = gateway.send(VERSIONS[0], &Request::lookup("bee"));
    refused.assert_problem("credits-unavailable");
    gateway
        .send(VERSIONS[0], &Request::new("GET", "/account/credits").with("Auth-Token", &token("bee")))
        .assert_problem("credits-unavailable");
    assert!(gateway.metric::<f64>("tollgate_credits_unavailable_total") >= 1.0);
    cluster.start_again();
    until("it can be sold again", || buy(&gateway, "bee") == "sold");
    assert_eq!(fleet.sums()[3], 0);
}

#[test]
fn an_upgrade_takes_over_what_is_on_lease_while_requests_are_served() {
    let fleet = Fleet::new(shared(), &[("acme", "3000")], "");
    let [mut one, other] = fleet.start_all::<2>();
    assert_eq!(buy(&one, "acme"), "sold");
    let (mut client, stop, address) = (one.connect(), AtomicBool::new(false), one.address());
    let (status, body) = std::thread::scope(|scope| {
        let buyer = scope.spawn(|| {
            let mut statuses: HashMap<u16, usize> = HashMap::new();
            while !stop.load(Ordering::Relaxed) {
                client.reconnect(address);
                client.request(&Request::lookup("acme"));
                *statuses.entry(client.response().status()).or_default() += 1;
            }
            statuses
        });
        let upgraded = one.upgrade();
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        let statuses = buyer.join().unwrap();
        assert!(statuses[&200] > 0 && statuses.len() == 1, "{statuses:?}");
        upgraded
    });
    assert_eq!(status, 200, "{body}");
    let identities = one.metric::<f64>("tollgate_lease_identities_total");
    assert_eq!(identities, 0.0, "the successor goes on with the identity of the process before");
    while buy(&one, "acme") == "sold" {}
    assert_eq!(buy(&other, "acme"), "credits-insufficient");
    until("all was reported", || fleet.sums() == [3000, 3000, 3000, 0]);
}

#[test]
fn a_cluster_that_cannot_be_one_is_a_mistake() {
    let paying = paying("127.0.0.1:9".parse().unwrap(), "{ file: ledger.db }", &[("acme", "1")]);
    let gateway = Gateway::start(&paying);
    let store = "store: { postgres: { hosts: [db.example.com], database: tollgate, user: tollgate } }\n";
    for (yaml, what) in [
        (format!("{paying}cluster: {{}}\n"), "needs a database that gateways share"),
        (format!("{paying}store: {{ sqlite: store.db }}\ncluster: {{}}\n"), "needs a database that gateways share"),
        (
            format!("{}{store}cluster: {{}}\n", paying.replace("{ file: ledger.db }", "{ volatile: true }")),
            "needs a ledger in a file",
        ),
        (format!("{paying}{store}cluster: {{ time_to_live: 5s }}\n"), "a duration from 10s to 1h"),
        (format!("{paying}{store}cluster: {{ replica_lag: 11m }}\n"), "a duration from 0s to 10m"),
    ] {
        let output = gateway.fails_to_start(&yaml);
        assert!(output.contains(what), "{yaml}\n{output}");
    }
}
