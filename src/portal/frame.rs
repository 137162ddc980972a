//! The frame of every page of the portal: the operator's brand, the menu of an account or of operators, messages.

use axum::http::StatusCode;

use super::person::SignedIn;
use crate::ledger::store::records::Role;
use crate::operate::api::problem::Told;
use crate::site::brand::Site;

/// A link of a menu.
#[derive(Debug)]
pub struct MenuLink {
    pub title: &'static str,
    pub path: String,
    pub is_current: bool,
}

/// What is said above the text of a page.
#[derive(Clone, Debug)]
pub struct Message {
    pub title: String,
    pub text: String,
    /// What is wrong with single fields.
    pub items: Vec<String>,
    /// Whether something went wrong.
    pub is_bad: bool,
    /// The status of a page that says this above a form.
    pub status: StatusCode,
}

impl Message {
    /// Something was done.
    pub fn done(text: impl Into<String>) -> Message {
        Message { title: text.into(), text: String::new(), items: Vec::new(), is_bad: false, status: StatusCode::OK }
    }

    /// Something was not done.
    pub fn bad(title: impl Into<String>, text: impl Into<String>) -> Message {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Message { title: title.into(), text: text.into(), items: Vec::new(), is_bad: true, status }
    }

    /// What the API says of a form.
    pub fn refused(told: &Told) -> Message {
        let items = told.errors.iter().map(|error| {
            let field = error.at.trim_start_matches(['/', '?']);
            format!("{field} {}; {}.", error.problem, error.fix).trim_start().to_owned()
        });
        let items: Vec<String> = items.collect();
        let text = if items.is_empty() { told.detail.clone() } else { String::new() };
        let (title, text) = match told.status {
            412 => {
                let text = "Nothing was saved. What is there now is shown below: look at it, and change it again.";
                ("Somebody else has changed this meanwhile", text.to_owned())
            }
            403 => ("You may not do this", "It takes a higher role. Ask an owner of the account.".to_owned()),
            503 => ("The store cannot be used at the moment", text),
            _ => ("Nothing was changed", text),
        };
        let status = if told.status == 403 { StatusCode::FORBIDDEN } else { StatusCode::UNPROCESSABLE_ENTITY };
        Message { title: title.to_owned(), text, items, is_bad: true, status }
    }
}

/// What the frame needs to know about a page.
#[derive(Debug)]
pub struct Frame<'s> {
    pub site: &'s Site,
    pub title: String,
    /// How the one who has signed in is called.
    pub person: Option<&'s str>,
    /// The session's word in forms.
    pub csrf: &'s str,
    /// Where the brand leads.
    pub home: String,
    /// The account or the desk that the menu is of.
    pub heading: String,
    pub menu: Vec<MenuLink>,
    /// An operator looks at the page of a customer.
    pub is_looking: bool,
    /// There are several accounts to choose from, or a desk to go back to.
    pub can_switch: bool,
    pub messages: Vec<Message>,
}

/// The pages of an account, in the order of its menu: path below the account's, title.
const OF_ACCOUNT: [(&str, &str); 9] = [
    ("", "Overview"),
    ("/tokens", "Tokens"),
    ("/usage", "Usage"),
    ("/refusals", "Refusals"),
    ("/credits", "Credits"),
    ("/alerts", "Alerts"),
    ("/members", "Members"),
    ("/keys", "Keys"),
    ("/audit", "History"),
];

/// Whether a role may see a page of the menu, as the API has it: refusals and history have the addresses of clients and of
/// colleagues, which those who may only look are not told.
pub fn may_see(role: Role, path: &str) -> bool {
    role != Role::Viewer || !matches!(path, "/refusals" | "/audit")
}

/// The pages of operators.
const AT_DESK: [(&str, &str); 9] = [
    ("/operator", "Accounts"),
    ("/operator/refusals", "Refusals"),
    ("/operator/usage", "Usage"),
    ("/operator/plans", "Plans"),
    ("/operator/users", "Users"),
    ("/operator/keys", "Keys"),
    ("/operator/status", "Status"),
    ("/operator/shadow", "Shadow"),
    ("/operator/audit", "History"),
];

impl<'s> Frame<'s> {
    /// The frame of a page without a menu.
    pub fn new(site: &'s Site, person: Option<&'s SignedIn>, title: impl Into<String>) -> Frame<'s> {
        Frame {
            site,
            title: title.into(),
            person: person.map(|person| &*person.name),
            csrf: person.map_or("", |person| &person.csrf),
            home: "/".to_owned(),
            heading: String::new(),
            menu: Vec::new(),
            is_looking: false,
            can_switch: person
                .is_some_and(|person| person.memberships.len() + usize::from(person.operator.is_some()) > 1),
            messages: Vec::new(),
        }
    }

    /// The same below an account's menu; `section` is the path of the menu's link.
    pub fn at_account(self, account: &str, name: &str, role: Role, section: &'static str) -> Frame<'s> {
        let link = |(path, title): (&'static str, &'static str)| MenuLink {
            title,
            path: format!("/accounts/{account}{path}"),
            is_current: path == section,
        };
        let may_see = |(path, _): &(&'static str, &'static str)| may_see(role, path);
        let menu = OF_ACCOUNT.into_iter().filter(may_see).map(link).collect();
        Frame { heading: name.to_owned(), menu, is_looking: !role.is_of_account(), ..self }
    }

    /// The same below the menu of operators.
    pub fn at_desk(self, section: &'static str) -> Frame<'s> {
        let link = |(path, title): (&'static str, &'static str)| MenuLink {
            title,
            path: path.to_owned(),
            is_current: path == section,
        };
        Frame { heading: "Operators".to_owned(), menu: AT_DESK.into_iter().map(link).collect(), ..self }
    }

    /// The same with something above its text.
    pub fn with(mut self, message: impl IntoIterator<Item = Message>) -> Frame<'s> {
        self.messages.extend(message);
        self
    }

    /// The link to the style sheet, which changes when it does.
    pub fn style(&self) -> String {
        format!("/assets/style.css?{}{}", self.version(), self.site.style_tag)
    }

    /// The version of the program, for links to its own files.
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The logo's link, if there is one.
    pub fn logo(&self) -> Option<String> {
        self.site.logo.as_ref().map(|logo| format!("/assets/logo?{}", logo.tag))
    }
}
