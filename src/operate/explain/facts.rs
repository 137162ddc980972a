//! The facts about each check: what it looked at, whether the configuration asks for anything, and where.
//!
//! One method for each group of checks, in the order of `admit`. What became of a check is
//! `findings.rs`.

use super::dry_run::Ending;
use super::findings::Report;
use super::places::Location;
use super::seen;
use crate::platform::count::counted;
use crate::policy::account::Account;
use crate::policy::check::domain::Domains;
use crate::policy::check::network::Networks;
use crate::policy::check::parameter::Undeclared;
use crate::policy::check::token::token;
use crate::policy::http::head::Framing;
use crate::policy::observer::{CHECKS, Check};
use crate::policy::problem::{Hint, Problem, Row};
use crate::policy::route::Route;
use crate::policy::{AccountInfo, Product};

impl<'p> Report<'_, '_, 'p> {
    pub(super) fn head(&mut self) {
        let framing = match self.dry_run.head.map(|head| head.framing) {
            None => "no well-formed head".to_owned(),
            Some(Framing::None) => "one well-formed head, no body".to_owned(),
            Some(Framing::Length(length)) => format!("one well-formed head, a body of {}", counted(length, "byte")),
            Some(Framing::Chunked) => "one well-formed head, a chunked body".to_owned(),
            Some(Framing::Frames(_)) => "one well-formed head, a body in frames".to_owned(),
        };
        let reason = self.refusal(Check::Head).map_or(framing, |problem| problem.reason.to_owned());
        self.add(Check::Head, true, reason, self.places.of(&["limits"]));
        let several = self.refusal(Check::OneToken).map(|problem| problem.reason.to_owned());
        let one = several.unwrap_or_else(|| "no token is sent twice".to_owned());
        let head = self.dry_run.head.as_ref();
        let has_token = head.is_some_and(|head| token(self.token_places(), head).is_ok());
        self.add(Check::OneToken, has_token, one, self.of_token_places());
        if let Some(rule) = self.dry_run.trail.product.and_then(|product| product.idempotency.as_ref()) {
            let key = self.refusal(Check::OneKey).map(|problem| problem.reason.to_owned());
            let key = key.unwrap_or_else(|| seen::header(&self.dry_run.lines, &rule.header));
            self.add(Check::OneKey, self.has(&rule.header), key, self.of_product(&["idempotency"]));
        }
        let headroom = "known to the running gateway alone";
        self.add(Check::Room, false, headroom, self.places.of(&["limits", "requests"]));
    }

    pub(super) fn preflight(&mut self) {
        let origin = seen::header(&self.dry_run.lines, "Origin");
        let spot = self.of_product(&["routes"]);
        self.add(Check::Preflight, true, format!("a preflight, {origin}"), spot);
    }

    pub(super) fn route(&mut self) {
        let lines = &self.dry_run.lines;
        let route = format!("{} {}", lines.method, lines.path());
        let name = self.dry_run.trail.product.map(|product| &*product.name);
        let spot = match name {
            Some(_) if self.dry_run.trail.route.is_some() => self.of_route(&[]),
            Some(name) => self.places.word(&["products", name, "routes"], &route),
            None => self.places.of(&["products"]),
        };
        let seen = match self.refusal(Check::Route).map(|problem| problem.hint) {
            Some(Hint::Allow(place)) => format!("{route}; the path has {}", self.policy.paths.allow(place)),
            Some(
                Hint::None
                | Hint::RetryAfter(_)
                | Hint::Broken(_)
                | Hint::At { .. }
                | Hint::AtByte(_)
                | Hint::Parameter { .. },
            ) => {
                format!("{route}; no route has the path")
            }
            None => match name {
                Some(name) => format!("{route} is product {name}"),
                None if lines.path() == AccountInfo::PATH => format!("{route} tells an account of its credits"),
                None => format!("{route} is a page of the gateway's own"),
            },
        };
        self.add(Check::Route, true, seen, spot);
    }

    pub(super) fn caller(&mut self) {
        let (dry_run, lines) = (self.dry_run, self.dry_run.lines);
        let sent = seen::token(self.token_places(), self.dry_run.head.as_ref());
        self.add(Check::Token, true, sent, self.of_token_places());
        let Some(principal) = dry_run.trail.principal else {
            let refused = self.refusal(Check::Principal);
            let nobody = match refused {
                Some(problem) if !self.issuers().is_empty() => problem.reason,
                Some(_) | None => "no token of the configuration has its digest",
            };
            let row = refused.map_or(Row::TokenUnknown, |problem| problem.row);
            self.add_row(Check::Principal, row, true, nobody, self.places.of(&["accounts"]));
            for (check, rows) in CHECKS.iter().filter(|(check, _)| needs_principal(*check)) {
                for row in *rows {
                    self.add_row(*check, *row, true, "", None);
                }
            }
            return;
        };
        let token = principal.token;
        let who = format!("token {} of account {}", token.name, principal.account.name);
        self.add(Check::Principal, true, who, self.of_token("hash"));
        let switched = if token.enabled { "switched on" } else { "switched off" };
        self.add_row(Check::InForce, Row::TokenDisabled, true, switched, self.of_token("disabled"));
        let (expires, when) = seen::expiry(token.expiry, self.asked.now);
        self.add_row(Check::InForce, Row::TokenExpired, expires, when, self.of_token("expires"));
        if self.dry_run.trail.product.is_some() {
            let covers = self.policy.products.iter().filter(|product| token.products.contains(product.index));
            let names: Vec<&str> = covers.map(|product| &*product.name).collect();
            let covers = format!("the token covers {}", names.join(", "));
            self.add(Check::Product, true, covers, self.of_token("products"));
        }
        let from = seen::client(self.policy, self.asked.peer, &lines);
        let watched = dry_run.trail.watched;
        let listed = matches!(token.networks, Networks::Listed(_));
        let from = if token.networks.is_watched() { seen::watched(from, watched.networks) } else { from };
        self.add(Check::Networks, listed, from, self.of_token("networks"));
        let page = seen::page(&lines);
        let listed = matches!(token.domains, Domains::Listed(_));
        let page = if token.domains.is_watched() { seen::watched(page, watched.domains) } else { page };
        self.add(Check::Domains, listed, page, self.of_token("domains"));
        let (limited, rate) = seen::rate(self.policy, principal, dry_run.trail.product, self.asked.now);
        let spot = match self.dry_run.trail.product {
            Some(_) => self.of_terms(principal.account, &["rate", "rates"]),
            None => self.places.of(&["enquiry_rate"]),
        };
        self.add(Check::Rate, limited, rate, spot);
        let Some(product) = self.dry_run.trail.product else { return };
        let (limited, quotas) = seen::quotas(principal, product, self.asked.now);
        let spot = self.of_terms(principal.account, &["quota"]);
        self.add(Check::Quota, limited, quotas, spot);
        let most = principal.account.meter.as_ref().and_then(|meter| meter.in_flight()).map(|(_, most)| most);
        let seen = match most {
            Some(most) => format!("at most {most} at a time; the running gateway alone knows how many there are"),
            None => "the account may have any number in flight".to_owned(),
        };
        let spot = self.of_terms(principal.account, &["concurrency"]);
        self.add(Check::Concurrency, most.is_some(), seen, spot);
    }

    /// Where it is written what an account may use: the first of some keys that is, in its plan or in itself.
    fn of_terms(&self, account: &Account, keys: &[&str]) -> Option<Location> {
        let at = |key: &&str| match account.plan() {
            Some(plan) => self.places.of(&["plans", plan, key]),
            None => self.account.as_ref()?.of_account(&[key]),
        };
        let first = keys.first().and_then(at);
        keys.iter().filter_map(at).find(|location| location.written).or(first)
    }

    /// Where it is written in which places a token can be.
    fn of_token_places(&self) -> Option<Location> {
        self.of_product(&["token_in"]).filter(|spot| spot.written).or_else(|| self.of_product(&["token_headers"]))
    }

    /// Whether the request has a header: a check of one that it may leave out applies to nothing else.
    fn has(&self, name: &str) -> bool {
        self.dry_run.lines.values(name).next().is_some()
    }

    /// What a page of the gateway's own looks at.
    pub(super) fn page(&mut self) {
        let accept = seen::header(&self.dry_run.lines, "Accept");
        self.add(Check::Accept, self.has("Accept"), accept, None);
    }

    pub(super) fn headers(&mut self) {
        let lines = self.dry_run.lines;
        let accept = seen::header(&lines, "Accept");
        self.add(Check::Accept, self.has("Accept"), accept, self.of_product(&["accept"]));
        let rules = match self.dry_run.trail.product {
            Some(product) => {
                self.content_and_deadline(product);
                &product.headers
            }
            None => &self.policy.echoed,
        };
        for rule in rules {
            let spot = self.of_product(&["headers", &rule.name]);
            let sent = self.has(&rule.name);
            self.add_row(Check::Header(&rule.name), rule.row, sent, seen::header(&lines, &rule.name), spot);
        }
    }

    fn content_and_deadline(&mut self, product: &'p Product) {
        let lines = self.dry_run.lines;
        if self.dry_run.trail.route.is_some_and(|route| route.body.is_some()) {
            let mut content = seen::header(&lines, "Content-Type");
            if lines.values("content-encoding").next().is_some() {
                content = format!("{content}, {}", seen::header(&lines, "Content-Encoding"));
            }
            let spot = self.of_product(&["content_type"]);
            self.add(Check::ContentType, true, content, spot);
        }
        let (asks, deadline) = match &product.deadline.header {
            Some(header) => (self.has(header), seen::header(&lines, header)),
            None => (false, format!("clients have no say; {} s", product.deadline.default.as_secs())),
        };
        self.add(Check::Deadline, asks, deadline, self.of_product(&["deadline"]));
        self.parameters();
    }

    /// The parameters of the path and the query, by the rows that their rules have.
    fn parameters(&mut self) {
        let Some(route) = self.dry_run.trail.route else { return };
        let refused = self.refusal(Check::Parameters);
        let flaw = refused.map(|problem| match problem.hint {
            Hint::Parameter { index, .. } => {
                let name = route.parameters.get(usize::from(index)).map(|rule| &*rule.name);
                name.map_or_else(|| problem.reason.to_owned(), |name| format!("{name}: {}", problem.reason))
            }
            Hint::None | Hint::RetryAfter(_) | Hint::Allow(_) | Hint::Broken(_) | Hint::At { .. } | Hint::AtByte(_) => {
                problem.reason.to_owned()
            }
        });
        let applies = !route.parameters.is_empty() || route.undeclared == Undeclared::Refuse;
        let names: Vec<&str> = route.parameters.iter().map(|rule| &*rule.name).collect();
        let kept = match names.as_slice() {
            [] => "the route has no rules for parameters".to_owned(),
            names => format!("{} keep their rules", names.join(", ")),
        };
        let mut rows: Vec<Row> = route.parameters.iter().map(|rule| rule.row).chain([Row::ParameterInvalid]).collect();
        rows.sort_unstable();
        rows.dedup();
        let spot = self.of_route(&["parameters"]).filter(|spot| spot.written).or_else(|| self.of_route(&["query"]));
        for row in rows {
            let is_it = refused.is_some_and(|problem| problem.row == row);
            let seen = flaw.clone().filter(|_| is_it).unwrap_or_else(|| kept.clone());
            self.add_row(Check::Parameters, row, applies, seen, spot.clone());
        }
    }

    pub(super) fn body(&mut self) {
        let (Some(product), Some(route)) = (self.dry_run.trail.product, self.dry_run.trail.route) else { return };
        let bytes = self.asked.body.len();
        let (limit, has_body) = route.body.as_ref().map_or((0, false), |rule| (rule.max_bytes, true));
        let size = format!("{} of at most {limit}", counted(bytes, "byte"));
        let applies = has_body || bytes > 0;
        self.add_row(Check::BodySize, Row::BodyTooLarge, applies, size, self.of_route(&["body", "max"]));
        let late = matches!(self.refusal(Check::BodySize), Some(problem) if problem.row == Row::RequestTimeout);
        if late {
            let reason = "the head states more bytes than there are";
            self.add_row(
                Check::BodySize,
                Row::RequestTimeout,
                true,
                reason,
                self.places.of(&["limits", "body_timeout"]),
            );
        }
        let spot = self.of_route(&["body"]);
        self.add_row(Check::Body, Row::BodyEmpty, has_body, counted(bytes, "byte"), spot.clone());
        let document = self.refusal(Check::Body).filter(|problem| problem.row == Row::BodyMalformed);
        let one = if product.media.formats.are_several() { "one document" } else { "one JSON document" };
        let document = document.map_or_else(|| one.to_owned(), malformed);
        self.add_row(Check::Body, Row::BodyMalformed, has_body, document, spot);
        let Some(schema) = route.body.as_ref().and_then(|rule| rule.schema.as_ref()) else { return };
        let wording = self.wording();
        for row in schema.own_rows() {
            let slug = &*wording.words(row).slug;
            let spot = self.places.element(&["products", &product.name, "body", "problems"], "problem", slug);
            self.add_row(Check::Body, row, true, self.at_field(route, row), spot);
        }
        let spot = self.of_route(&["body", "schema"]);
        self.add_row(Check::Body, Row::BodyInvalid, true, self.at_field(route, Row::BodyInvalid), spot);
    }

    /// Where a body breaks the rule of a row.
    fn at_field(&self, route: &Route, row: Row) -> String {
        let problem = self.refusal(Check::Body).filter(|problem| problem.row == row);
        let Some(problem) = problem else { return "the schema's rules are kept".to_owned() };
        let Hint::Broken(broken) = problem.hint else { return problem.reason.to_owned() };
        let schema = route.body.as_ref().and_then(|rule| rule.schema.as_ref());
        let named = broken.iter().filter_map(|breach| {
            let schema = schema?;
            let field = breach.field.and_then(|place| schema.field_names().nth(usize::from(place)));
            let rule = schema.rule_words().nth(usize::from(breach.rule))?;
            Some(format!("{} {rule}", field.as_deref().unwrap_or("the body")))
        });
        let mut named: Vec<String> = named.collect();
        if named.is_empty() {
            return problem.reason.to_owned();
        }
        if broken.has_more() {
            named.push("and more".to_owned());
        }
        named.join("; ")
    }

    pub(super) fn credits(&mut self) {
        let Some(product) = self.dry_run.trail.product else { return };
        if let Some(rule) = &product.idempotency {
            let seen = match self.has(&rule.header) {
                true => "a first request with its key; the running gateway alone knows which were used".to_owned(),
                false => format!("no {}, so that the request is a lookup of its own", rule.header),
            };
            self.add(Check::Idempotency, self.has(&rule.header), seen, self.of_product(&["idempotency"]));
        }
        let account = self.dry_run.trail.principal.map(|principal| principal.account);
        let credit_account = account.and_then(|account| account.credit_accounts.of(product.balance));
        let held = match &self.dry_run.ending {
            Ending::Forwarded(paid) => paid.held(),
            Ending::Refused(_) | Ending::Preflight(_) | Ending::Enquiry(_) | Ending::Page(..) => None,
        };
        let tariff = self.dry_run.trail.route.and_then(|route| route.tariff.as_ref());
        let told = match (credit_account, tariff, held) {
            (_, None, _) => "lookups of the product cost nothing".to_owned(),
            (None, Some(_), _) => "the account pays nothing for it".to_owned(),
            (Some(credit_account), Some(_), Some(held)) => format!(
                "{held} would be held; the account began with {}, and the ledger has what is left",
                credit_account.first_grant
            ),
            (Some(credit_account), Some(_), None) => format!(
                "more would be held than the {} that the account began with; the ledger has what it was granted since",
                credit_account.first_grant
            ),
        };
        let spot = match credit_account {
            Some(_) => self
                .account
                .as_ref()
                .and_then(|account| account.of_account(&["credits", self.policy.balance_name(product)])),
            None => self.of_route(&["credits"]),
        };
        let applies = credit_account.is_some() && tariff.is_some();
        self.add(Check::Credits, applies, told, spot);
    }
}

/// Why a body is no document, and from where on.
fn malformed(problem: Problem) -> String {
    match problem.hint {
        Hint::At { line, column } => format!("{}: line {line}, column {column}", problem.reason),
        Hint::AtByte(byte) => format!("{}: byte {byte}", problem.reason),
        Hint::None | Hint::RetryAfter(_) | Hint::Allow(_) | Hint::Broken(_) | Hint::Parameter { .. } => {
            problem.reason.to_owned()
        }
    }
}

/// Whether nothing can be said of a check while it is not known who is asking.
fn needs_principal(check: Check<'_>) -> bool {
    (Check::InForce.position()..=Check::Concurrency.position()).contains(&check.position())
}
