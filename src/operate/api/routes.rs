//! The route table: every operation of the API, one row each. The router, the OpenAPI document and the test
//! that walks through all of them as everybody are made of it.

use axum::http::Method;

use super::caller::{Member, Operator, Scope, Who};
use super::query::{AFTER, Kind, LIMIT, Parameter, SHEET_LIMIT};
use super::route::{BODY_BYTES, Effect, Media, Route, Row};
use super::{
    accounts, alerts, audit, billing, conflicts, credits, find, import, keys, limits, lists, members, nodes, notices,
    plans, preview, shadow, sources, token_test, tokens, usage, users,
};

const NAME: Parameter = Parameter { name: "name", kind: Kind::Text, about: "Only those whose name begins with this." };
const ACCOUNT_STATE: Parameter = Parameter {
    name: "state",
    kind: Kind::Word(&["active", "suspended", "closed"]),
    about: "Only those in this state.",
};
const TOKEN_STATE: Parameter = Parameter {
    name: "state",
    kind: Kind::Word(&["enabled", "disabled", "revoked"]),
    about: "Only those in this state.",
};
const PLAN: Parameter = Parameter { name: "plan", kind: Kind::Text, about: "Only those with this plan." };
const VALUE: Parameter = Parameter { name: "value", kind: Kind::Text, about: "The entry that is to be removed." };
const CONFIRM_WITHIN: Parameter = Parameter {
    name: "confirm_within",
    kind: Kind::Text,
    about: "The list before comes back unless the change is confirmed within this time: 1m to 24h, as in 15m.",
};
const ACTION: Parameter =
    Parameter { name: "action", kind: Kind::Text, about: "Only actions that begin with this, as in token.rotate." };
const ACTOR: Parameter = Parameter { name: "actor", kind: Kind::Text, about: "Only what this one has done." };
const SINCE: Parameter = Parameter { name: "since", kind: Kind::Time, about: "Only rows of this time or later." };
const UNTIL: Parameter = Parameter { name: "until", kind: Kind::Time, about: "Only rows before this time." };

const PAGE: &[Parameter] = &[LIMIT, AFTER];
const ACCOUNTS: &[Parameter] = &[LIMIT, AFTER, NAME, ACCOUNT_STATE, PLAN];
const TOKENS: &[Parameter] = &[LIMIT, AFTER, NAME, TOKEN_STATE];
const AUDIT: &[Parameter] = &[LIMIT, AFTER, ACTION, ACTOR, SINCE, UNTIL];
const BY: Parameter =
    Parameter { name: "by", kind: Kind::Word(&["hour", "day"]), about: "What is added up. Default: hour." };
const OF_ACCOUNT: Parameter =
    Parameter { name: "account", kind: Kind::Text, about: "Only the account of this name, also one of a file." };
const OF_TOKEN: Parameter = Parameter { name: "token", kind: Kind::Text, about: "Only the token of this name." };
const OF_PRODUCT: Parameter = Parameter { name: "product", kind: Kind::Text, about: "Only this product." };
const OUTCOME: Parameter =
    Parameter { name: "outcome", kind: Kind::Text, about: "Only this problem, or `answered` for answers." };
const OF_PROBLEM: Parameter = Parameter { name: "problem", kind: Kind::Text, about: "Only this problem." };
const USAGE: &[Parameter] = &[LIMIT, AFTER, BY, OF_ACCOUNT, OF_TOKEN, OF_PRODUCT, OUTCOME, SINCE, UNTIL];
const USAGE_SHEET: &[Parameter] = &[SHEET_LIMIT, AFTER, BY, OF_ACCOUNT, OF_TOKEN, OF_PRODUCT, OUTCOME, SINCE, UNTIL];
const ACCOUNT_USAGE: &[Parameter] = &[LIMIT, AFTER, BY, OF_TOKEN, OF_PRODUCT, OUTCOME, SINCE, UNTIL];
const ACCOUNT_USAGE_SHEET: &[Parameter] = &[SHEET_LIMIT, AFTER, BY, OF_TOKEN, OF_PRODUCT, OUTCOME, SINCE, UNTIL];
const REFUSALS: &[Parameter] = &[LIMIT, AFTER, OF_ACCOUNT, OF_TOKEN, OF_PRODUCT, OF_PROBLEM, SINCE, UNTIL];
const ACCOUNT_REFUSALS: &[Parameter] = &[LIMIT, AFTER, OF_TOKEN, OF_PRODUCT, OF_PROBLEM, SINCE, UNTIL];
const ALERT_KIND: Parameter =
    Parameter { name: "kind", kind: Kind::Word(&["low-balance", "token-ends"]), about: "Only those of this kind." };
const ALERT_STATE: Parameter =
    Parameter { name: "state", kind: Kind::Word(&["open", "over"]), about: "Only those that still hold, or are over." };
const ALERTS: &[Parameter] = &[LIMIT, AFTER, OF_ACCOUNT, ALERT_KIND, ALERT_STATE];
const ACCOUNT_ALERTS: &[Parameter] = &[LIMIT, AFTER, ALERT_KIND, ALERT_STATE];
const USER_KIND: Parameter = Parameter { name: "kind", kind: Kind::Word(&["operators"]), about: "Only operators." };
const USERS: &[Parameter] = &[LIMIT, AFTER, USER_KIND];
const ENTRIES: &[Parameter] = &[LIMIT, AFTER, SINCE, UNTIL];

/// Everybody with a key reads; what is an account's, its own keys alone.
const READERS: Who = Who::both(Operator::Auditor, Member::Viewer);
/// Operators who change things, and members of the account.
const EDITORS: Who = Who::both(Operator::Support, Member::Member);
/// Operators, and members of the account: what has addresses of clients.
const MEMBERS: Who = Who::both(Operator::Auditor, Member::Member);
/// Those who make keys and invite members.
const OWNERS: Who = Who::both(Operator::Admin, Member::Owner);

fn row(method: Method, path: &'static str, id: &'static str, summary: &'static str, scope: Scope, who: Who) -> Row {
    let effect = Effect::Read;
    let media = Media::Json;
    Row { method, path, id, summary, scope, who, effect, query: &[], body_bytes: BODY_BYTES, has_version: false, media }
}

/// A row that shows.
fn shows(path: &'static str, id: &'static str, summary: &'static str, who: Who) -> Row {
    row(Method::GET, path, id, summary, Scope::Read, who)
}

/// A row that makes something.
fn makes(path: &'static str, id: &'static str, summary: &'static str, scope: Scope, who: Who) -> Row {
    Row { effect: Effect::Create, ..row(Method::POST, path, id, summary, scope, who) }.versioned()
}

/// A row that does something to what exists.
fn acts(path: &'static str, id: &'static str, summary: &'static str, scope: Scope, who: Who) -> Row {
    Row { effect: Effect::Act, ..row(Method::POST, path, id, summary, scope, who) }.versioned()
}

impl Row {
    fn versioned(self) -> Row {
        Row { has_version: true, ..self }
    }

    fn with(self, query: &'static [Parameter]) -> Row {
        Row { query, ..self }
    }

    fn unversioned(self) -> Row {
        Row { has_version: false, ..self }
    }

    fn by(self, method: Method) -> Row {
        Row { method, effect: Effect::Change, ..self }
    }
}

/// The whole table.
///
/// # Errors
/// When a row has a type without a schema.
pub fn all() -> Result<Vec<Route>, String> {
    let parts = [of_accounts()?, of_tokens()?, of_lists()?, around_lists()?, of_credits()?];
    let others = [of_usage()?, of_alerts()?, of_keys()?, of_members()?, of_users()?, of_the_rest()?];
    Ok(parts.into_iter().chain(others).flatten().collect())
}

fn of_accounts() -> Result<Vec<Route>, String> {
    use Scope::Accounts;
    let support = Who::operators(Operator::Support);
    const ONE: &str = "/accounts/{account}";
    Ok(vec![
        shows("/accounts", "listAccounts", "Accounts by name; with an account's key, that account.", READERS)
            .with(ACCOUNTS)
            .serves(accounts::list)?,
        makes("/accounts", "createAccount", "Make an account.", Accounts, support).serves(accounts::create)?,
        Row {
            effect: Effect::Import,
            body_bytes: import::BODY_BYTES,
            ..acts(
                "/accounts/import",
                "importAccounts",
                "Import accounts and plans from an export of a store, or say what an import would do.",
                Accounts,
                Who::operators(Operator::Admin),
            )
            .unversioned()
        }
        .serves(import::run)?,
        shows(ONE, "getAccount", "One account.", READERS).versioned().serves(accounts::get)?,
        acts(ONE, "changeAccount", "Change what is said of an account; what is left out stays.", Accounts, support)
            .by(Method::PATCH)
            .serves(accounts::update)?,
        acts(
            "/accounts/{account}/suspend",
            "suspendAccount",
            "Refuse all tokens of an account, until it is resumed.",
            Accounts,
            support,
        )
        .serves(accounts::suspend)?,
        acts("/accounts/{account}/resume", "resumeAccount", "End a suspension.", Accounts, support)
            .serves(accounts::resume)?,
        acts(
            "/accounts/{account}/close",
            "closeAccount",
            "Close an account for good: its tokens and keys are revoked, its name stays taken.",
            Accounts,
            support,
        )
        .serves(accounts::close)?,
    ])
}

fn of_tokens() -> Result<Vec<Route>, String> {
    use Scope::Tokens;
    const ALL: &str = "/accounts/{account}/tokens";
    const ONE: &str = "/accounts/{account}/tokens/{token}";
    Ok(vec![
        shows(ALL, "listTokens", "The tokens of an account, in the order in which they were made.", READERS)
            .with(TOKENS)
            .serves(tokens::list)?,
        makes(ALL, "createToken", "Make a token, which this answer alone shows.", Tokens, EDITORS)
            .serves(tokens::create)?,
        shows(ONE, "getToken", "One token, without its secret.", READERS).versioned().serves(tokens::get)?,
        acts(ONE, "changeToken", "Change what is said of a token; what is left out stays.", Tokens, EDITORS)
            .by(Method::PATCH)
            .serves(tokens::update)?,
        Row {
            effect: Effect::Renew,
            ..acts(
                "/accounts/{account}/tokens/{token}/rotate",
                "rotateToken",
                "Make a token that takes this one's place, and let this one end after an overlap.",
                Tokens,
                EDITORS,
            )
        }
        .serves(tokens::rotate)?,
        acts("/accounts/{account}/tokens/{token}/enable", "enableToken", "Let a token be used again.", Tokens, EDITORS)
            .serves(tokens::enable)?,
        acts(
            "/accounts/{account}/tokens/{token}/disable",
            "disableToken",
            "Refuse a token, until it is enabled again.",
            Tokens,
            EDITORS,
        )
        .serves(tokens::disable)?,
        acts("/accounts/{account}/tokens/{token}/revoke", "revokeToken", "Revoke a token for good.", Tokens, EDITORS)
            .serves(tokens::revoke)?,
        Row {
            effect: Effect::Try,
            method: Method::POST,
            body_bytes: lists::BODY_BYTES,
            ..shows(
                "/accounts/{account}/tokens/{token}/test",
                "testToken",
                "Judge a request that is not sent, with a draft of the token's lists if there is one.",
                READERS,
            )
        }
        .serves(token_test::run)?,
        shows(
            "/accounts/{account}/tokens/{token}/sources",
            "listTokenSources",
            "Where a token was used from in the last seven days, most requests first.",
            MEMBERS,
        )
        .serves(sources::list)?,
    ])
}

fn of_lists() -> Result<Vec<Route>, String> {
    use Scope::Lists;
    const NETWORKS: &str = "/accounts/{account}/tokens/{token}/networks";
    const DOMAINS: &str = "/accounts/{account}/tokens/{token}/domains";
    const NETWORK: &str = "/accounts/{account}/tokens/{token}/networks/entries";
    const DOMAIN: &str = "/accounts/{account}/tokens/{token}/domains/entries";
    let whole = |row: Row| Row { body_bytes: lists::BODY_BYTES, ..row.by(Method::PUT) };
    Ok(vec![
        shows(NETWORKS, "getNetworks", "The networks that a token may be used from.", READERS)
            .versioned()
            .serves(lists::networks)?,
        whole(acts(NETWORKS, "putNetworks", "Put a whole list of networks.", Lists, EDITORS))
            .serves(lists::put_networks)?,
        acts(NETWORK, "addNetwork", "Add a network, or give one another note.", Lists, EDITORS)
            .serves(lists::add_network)?,
        acts(NETWORK, "removeNetwork", "Remove a network.", Lists, EDITORS)
            .by(Method::DELETE)
            .with(&[VALUE, CONFIRM_WITHIN])
            .serves(lists::remove_network)?,
        shows(DOMAINS, "getDomains", "The domains whose pages may use a token.", READERS)
            .versioned()
            .serves(lists::domains)?,
        whole(acts(DOMAINS, "putDomains", "Put a whole list of domains.", Lists, EDITORS))
            .serves(lists::put_domains)?,
        acts(DOMAIN, "addDomain", "Add a domain, or give one another note.", Lists, EDITORS)
            .serves(lists::add_domain)?,
        acts(DOMAIN, "removeDomain", "Remove a domain.", Lists, EDITORS)
            .by(Method::DELETE)
            .with(&[VALUE, CONFIRM_WITHIN])
            .serves(lists::remove_domain)?,
    ])
}

/// What can be done with a list beside changing it.
fn around_lists() -> Result<Vec<Route>, String> {
    use Scope::Lists;
    let tries = |path, id, summary| Row {
        effect: Effect::Try,
        method: Method::POST,
        body_bytes: lists::BODY_BYTES,
        ..shows(path, id, summary, MEMBERS)
    };
    const PREVIEW: &str = "Say what a draft would change, and whom of the last seven days it would refuse.";
    const CONFIRM: &str = "Keep a list that is on trial.";
    const UNDO: &str = "Put the list back that was there before the last change, for 10 minutes after it.";
    Ok(vec![
        tries("/accounts/{account}/tokens/{token}/networks/preview", "previewNetworks", PREVIEW)
            .serves(preview::networks)?,
        acts("/accounts/{account}/tokens/{token}/networks/confirm", "confirmNetworks", CONFIRM, Lists, EDITORS)
            .serves(lists::confirm_networks)?,
        acts("/accounts/{account}/tokens/{token}/networks/undo", "undoNetworks", UNDO, Lists, EDITORS)
            .serves(lists::undo_networks)?,
        tries("/accounts/{account}/tokens/{token}/domains/preview", "previewDomains", PREVIEW)
            .serves(preview::domains)?,
        acts("/accounts/{account}/tokens/{token}/domains/confirm", "confirmDomains", CONFIRM, Lists, EDITORS)
            .serves(lists::confirm_domains)?,
        acts("/accounts/{account}/tokens/{token}/domains/undo", "undoDomains", UNDO, Lists, EDITORS)
            .serves(lists::undo_domains)?,
    ])
}

fn of_credits() -> Result<Vec<Route>, String> {
    use Scope::Credits;
    let admin = Who::operators(Operator::Admin);
    Ok(vec![
        shows("/accounts/{account}/limits", "getLimits", "Rates and quotas of an account as they are now.", READERS)
            .serves(limits::get)?,
        shows("/accounts/{account}/credits", "getCredits", "The balances of an account.", READERS)
            .serves(credits::balances)?,
        shows(
            "/accounts/{account}/credits/{product}/entries",
            "listCreditEntries",
            "The ledger's rows of one balance, the oldest first.",
            READERS,
        )
        .with(ENTRIES)
        .serves(credits::entries)?,
        makes("/accounts/{account}/credits/{product}/grants", "grantCredits", "Give credits.", Credits, admin)
            .unversioned()
            .serves(credits::grant)?,
        makes(
            "/accounts/{account}/credits/{product}/adjustments",
            "adjustCredits",
            "Correct what was given, up or down, never below what is available.",
            Credits,
            admin,
        )
        .unversioned()
        .serves(credits::adjust)?,
    ])
}

fn of_usage() -> Result<Vec<Route>, String> {
    let operators = Who::operators(Operator::Auditor);
    let members = Who::both(Operator::Auditor, Member::Member);
    let sheet = |row: Row| Row { media: Media::Csv, ..row };
    const OF_ONE: &str = "/accounts/{account}/usage.csv";
    Ok(vec![
        shows("/usage", "listUsage", "What accounts have used, by the hour or by the day.", operators)
            .with(USAGE)
            .serves(usage::list)?,
        sheet(shows("/usage.csv", "listUsageAsCsv", "The same as CSV, for spreadsheets.", operators))
            .with(USAGE_SHEET)
            .serves(usage::sheet_of_all)?,
        shows("/accounts/{account}/usage", "listAccountUsage", "What an account has used.", READERS)
            .with(ACCOUNT_USAGE)
            .serves(usage::list_of_account)?,
        sheet(shows(OF_ONE, "listAccountUsageAsCsv", "The same as CSV, for spreadsheets.", READERS))
            .with(ACCOUNT_USAGE_SHEET)
            .serves(usage::sheet_of_account)?,
        shows("/billing", "getBilling", "How far usage was sent for billing, and why not further.", operators)
            .serves(billing::get)?,
        shows(
            "/refusals",
            "listRefusals",
            "Requests that were refused, the newest first, and what mends it.",
            operators,
        )
        .with(REFUSALS)
        .serves(usage::refusals)?,
        shows("/accounts/{account}/refusals", "listAccountRefusals", "Refused requests of an account.", members)
            .with(ACCOUNT_REFUSALS)
            .serves(usage::refusals_of_account)?,
    ])
}

fn of_alerts() -> Result<Vec<Route>, String> {
    const SETTINGS: &str = "/accounts/{account}/alerts/settings";
    let operators = Who::operators(Operator::Auditor);
    Ok(vec![
        shows(
            "/alerts",
            "listAlerts",
            "What was told of low balances and of tokens about to end, the newest first.",
            operators,
        )
        .with(ALERTS)
        .serves(alerts::list)?,
        shows("/accounts/{account}/alerts", "listAccountAlerts", "What was told of an account.", READERS)
            .with(ACCOUNT_ALERTS)
            .serves(alerts::list_of_account)?,
        shows(SETTINGS, "getAlertSettings", "What an account wants to be told.", READERS)
            .versioned()
            .serves(alerts::settings)?,
        acts(SETTINGS, "setAlertSettings", "Set what an account wants to be told.", Scope::Alerts, EDITORS)
            .by(Method::PUT)
            .serves(alerts::put_settings)?,
    ])
}

fn of_keys() -> Result<Vec<Route>, String> {
    use Scope::Keys;
    let admin = Who::operators(Operator::Admin);
    const OF_ACCOUNT: &str = "/accounts/{account}/keys";
    Ok(vec![
        row(Method::GET, "/keys", "listKeys", "The keys of operators.", Keys, admin).with(PAGE).serves(keys::list)?,
        makes("/keys", "createKey", "Make a key of an operator, which this answer alone shows.", Keys, admin)
            .serves(keys::create)?,
        row(Method::GET, "/keys/{key}", "getKey", "One key of operators.", Keys, admin)
            .versioned()
            .serves(keys::get)?,
        acts("/keys/{key}/revoke", "revokeKey", "Revoke a key of operators for good.", Keys, admin)
            .serves(keys::revoke)?,
        row(Method::GET, OF_ACCOUNT, "listAccountKeys", "The keys of an account.", Keys, OWNERS)
            .with(PAGE)
            .serves(keys::list_of_account)?,
        makes(OF_ACCOUNT, "createAccountKey", "Make a key of an account, which this answer alone shows.", Keys, OWNERS)
            .serves(keys::create_of_account)?,
        row(Method::GET, "/accounts/{account}/keys/{key}", "getAccountKey", "One key of an account.", Keys, OWNERS)
            .versioned()
            .serves(keys::get_of_account)?,
        acts(
            "/accounts/{account}/keys/{key}/revoke",
            "revokeAccountKey",
            "Revoke a key of an account for good.",
            Keys,
            OWNERS,
        )
        .serves(keys::revoke_of_account)?,
    ])
}

fn of_members() -> Result<Vec<Route>, String> {
    use Scope::Members;
    const ALL: &str = "/accounts/{account}/members";
    const ONE: &str = "/accounts/{account}/members/{user}";
    const WAITING: &str = "/accounts/{account}/invitations";
    const INVITATION: &str = "/accounts/{account}/invitations/{invitation}";
    Ok(vec![
        shows(ALL, "listMembers", "The people of an account.", READERS).with(PAGE).serves(members::list)?,
        makes(ALL, "inviteMember", "Invite somebody, by a link that this answer alone shows.", Members, OWNERS)
            .unversioned()
            .serves(members::invite)?,
        acts(ONE, "changeMember", "Give a member another role; the last owner stays one.", Members, OWNERS)
            .by(Method::PATCH)
            .serves(members::update)?,
        acts(ONE, "removeMember", "Remove a member, unless it is the last owner.", Members, OWNERS)
            .by(Method::DELETE)
            .serves(members::remove)?,
        shows(WAITING, "listAccountInvitations", "Invitations to an account that wait.", READERS)
            .with(PAGE)
            .serves(members::invitations)?,
        acts(INVITATION, "withdrawAccountInvitation", "End an invitation to an account.", Members, OWNERS)
            .by(Method::DELETE)
            .serves(members::withdraw)?,
    ])
}

fn of_users() -> Result<Vec<Route>, String> {
    use Scope::Members;
    let admin = Who::operators(Operator::Admin);
    const ONE: &str = "/users/{user}";
    const INVITATION: &str = "/invitations/{invitation}";
    let shows = |path, id, summary| row(Method::GET, path, id, summary, Members, admin);
    Ok(vec![
        shows("/users", "listUsers", "Users of the portal, in the order in which they were made.")
            .with(USERS)
            .serves(users::list)?,
        makes(
            "/users",
            "inviteOperator",
            "Invite an operator, by a link that this answer alone shows.",
            Members,
            admin,
        )
        .unversioned()
        .serves(members::invite_operator)?,
        shows(ONE, "getUser", "One user of the portal.").versioned().serves(users::get)?,
        acts(ONE, "changeUser", "Change what a user is called and may do as an operator.", Members, admin)
            .by(Method::PATCH)
            .serves(users::update)?,
        acts(
            "/users/{user}/disable",
            "disableUser",
            "Sign a user out everywhere, and let them sign in no more.",
            Members,
            admin,
        )
        .serves(users::disable)?,
        acts("/users/{user}/enable", "enableUser", "Let a user sign in again.", Members, admin)
            .serves(users::enable)?,
        makes(
            "/users/{user}/reset",
            "resetUser",
            "Take away a user's password, one-time passwords and sessions, and make a link to choose a new password.",
            Members,
            admin,
        )
        .unversioned()
        .serves(users::reset)?,
        shows("/invitations", "listInvitations", "Invitations to be an operator that wait.")
            .with(PAGE)
            .serves(members::invitations_of_operators)?,
        acts(INVITATION, "withdrawInvitation", "End an invitation to be an operator.", Members, admin)
            .by(Method::DELETE)
            .serves(members::withdraw_of_operators)?,
    ])
}

fn of_the_rest() -> Result<Vec<Route>, String> {
    let operators = Who::operators(Operator::Auditor);
    let members = Who::both(Operator::Auditor, Member::Member);
    let (support, admin) = (Who::operators(Operator::Support), Who::operators(Operator::Admin));
    Ok(vec![
        shows("/plans", "listPlans", "The plans that accounts can name.", READERS).with(PAGE).serves(plans::list)?,
        shows("/plans/{plan}", "getPlan", "One plan.", READERS).versioned().serves(plans::get)?,
        Row {
            effect: Effect::Try,
            method: Method::POST,
            ..shows("/find", "findAccounts", "Find accounts by a name, a domain, an address or a token.", operators)
        }
        .serves(find::run)?,
        shows("/notices", "listNotices", "Notes and maintenance of the status page.", operators)
            .serves(notices::list)?,
        makes("/notices", "publishNotice", "Publish a note or maintenance.", Scope::Accounts, support)
            .unversioned()
            .serves(notices::publish)?,
        acts("/notices/{notice}/close", "closeNotice", "Close a notice.", Scope::Accounts, support)
            .unversioned()
            .serves(notices::close)?,
        shows("/shadow", "getShadow", "What the candidate has found that judges beside the configuration.", operators)
            .serves(shadow::show)?,
        acts("/shadow/promote", "promoteShadow", "Put the candidate in force.", Scope::Accounts, admin)
            .unversioned()
            .serves(shadow::promote)?,
        acts("/shadow/drop", "dropShadow", "Let the candidate go.", Scope::Accounts, admin)
            .unversioned()
            .serves(shadow::let_go)?,
        shows("/conflicts", "listConflicts", "What of the store is not in force, and why.", operators)
            .serves(conflicts::list)?,
        shows("/nodes", "listNodes", "Which gateways have the store, and which version each has in force.", operators)
            .serves(nodes::list)?,
        shows("/audit", "listAudit", "Who has done what, the newest first.", operators)
            .with(AUDIT)
            .serves(audit::list)?,
        shows("/audit/check", "checkAudit", "Whether the audit is as it was written.", operators)
            .serves(audit::check)?,
        shows("/accounts/{account}/audit", "listAccountAudit", "Who has done what to an account.", members)
            .with(AUDIT)
            .serves(audit::list_of_account)?,
    ])
}
