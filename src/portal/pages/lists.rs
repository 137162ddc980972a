//! The addresses and domains of a token: a list to edit, one entry a line, shown in the form that requests are compared
//! with, and what a change would refuse before it is made.

use askama::Template;
use axum::http::Method;
use serde_json::Value;

use super::token::{find, path};
use crate::ledger::store::records::{Absent, ListEntry, ListMode, TokenList};
use crate::operate::api::client::Asked;
use crate::operate::api::lists::List;
use crate::operate::api::preview::ListPreview;
use crate::operate::api::shown::{Time, Token};
use crate::portal::ask::Refusal;
use crate::portal::form::Values;
use crate::portal::frame::{Frame, Message};
use crate::portal::page::{Page, account};
use crate::portal::visit::{AtAccount, Shown, above_form, rendered, status_with};
use crate::portal::words;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Networks,
    Domains,
}

impl Which {
    /// The last part of its paths.
    pub const fn word(self) -> &'static str {
        match self {
            Which::Networks => "networks",
            Which::Domains => "domains",
        }
    }

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Which::Networks => "Addresses",
            Which::Domains => "Domains",
        }
    }
}

/// These pages.
pub fn pages() -> Vec<Page> {
    const NETWORKS: &str = "/accounts/{account}/tokens/{token}/networks";
    const DOMAINS: &str = "/accounts/{account}/tokens/{token}/domains";
    vec![
        account(Method::GET, NETWORKS, |at| edit(at, Which::Networks)),
        account(Method::POST, NETWORKS, |at| save(at, Which::Networks)),
        account(Method::GET, DOMAINS, |at| edit(at, Which::Domains)),
        account(Method::POST, DOMAINS, |at| save(at, Which::Domains)),
        account(Method::POST, "/accounts/{account}/tokens/{token}/networks/confirm", |at| {
            act(at, Which::Networks, "confirm")
        }),
        account(Method::POST, "/accounts/{account}/tokens/{token}/networks/undo", |at| {
            act(at, Which::Networks, "undo")
        }),
        account(Method::POST, "/accounts/{account}/tokens/{token}/domains/confirm", |at| {
            act(at, Which::Domains, "confirm")
        }),
        account(Method::POST, "/accounts/{account}/tokens/{token}/domains/undo", |at| act(at, Which::Domains, "undo")),
    ]
}

#[derive(Template)]
#[template(path = "portal/list.html")]
struct ListPage<'s> {
    frame: Frame<'s>,
    base: String,
    which: Which,
    token: Token,
    mode: ListMode,
    absent: Absent,
    text: String,
    version: String,
    preview: Option<ListPreview>,
    goes_back_at: Option<Time>,
    can_undo_until: Option<Time>,
}

/// For how long a list is on trial.
const TRIAL: &str = "15m";

/// A list as it is edited: an entry a line, its note behind `#`.
fn as_text(entries: &[ListEntry]) -> String {
    let line = |entry: &ListEntry| match &*entry.note {
        "" => format!("{}\n", entry.value),
        note => format!("{}  # {note}\n", entry.value),
    };
    entries.iter().map(line).collect()
}

/// The entries of a text, and the lines that they stand in.
fn of_text(text: &str) -> Vec<(usize, ListEntry)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let entry = |(number, line): (usize, &str)| {
        let (value, note) = line.split_once('#').unwrap_or((line, ""));
        let entry = ListEntry { value: value.trim().to_owned(), note: note.trim().to_owned() };
        (!entry.value.is_empty()).then_some((number, entry))
    };
    lines.filter_map(entry).collect()
}

/// What a form has of a list, and the lines of its entries.
fn drafted(form: &Values, which: Which) -> (TokenList, Vec<usize>) {
    let (lines, entries) = of_text(form.raw("entries")).into_iter().unzip();
    let absent = (which == Which::Domains).then(|| Absent::from_word(form.text("absent")).unwrap_or(Absent::Deny));
    let mode = ListMode::from_word(form.text("mode")).unwrap_or(ListMode::Enforce);
    (TokenList { mode, entries, absent }, lines)
}

async fn edit(at: AtAccount, which: Which) -> Shown {
    let list: List = at.client.ask(&Asked::get(of_list(&at, which, ""))).await?;
    // What a refusal suggests is added to the text, and nothing is done before it is saved.
    let mut entries = list.list.entries.clone();
    let suggested = at.query.given("add").map(|value| ListEntry { value: value.to_owned(), note: String::new() });
    entries.extend(suggested.filter(|new| entries.iter().all(|known| known.value != new.value)));
    let (mode, absent) = (list.list.mode, list.list.absent.unwrap_or(Absent::Deny));
    page(&at, which, (mode, absent, as_text(&entries), list.version.to_string()), None, None).await
}

async fn page(
    at: &AtAccount,
    which: Which,
    (mode, absent, text, version): (ListMode, Absent, String, String),
    preview: Option<ListPreview>,
    message: Option<Message>,
) -> Shown {
    let token = find(at).await?;
    let List { goes_back_at, can_undo_until, .. } = at.client.ask(&Asked::get(of_list(at, which, ""))).await?;
    let status = status_with(message.as_ref());
    let title = format!("{} of {}", which.title(), token.name);
    let frame = at.frame("/tokens", title).with(message);
    let base = at.base();
    let page =
        ListPage { base, which, token, mode, absent, text, version, preview, goes_back_at, can_undo_until, frame };
    rendered(status, &page)
}

/// The path of the API for a list, and what is below it.
fn of_list(at: &AtAccount, which: Which, rest: &str) -> String {
    path(at, &format!("/{}{rest}", which.word()))
}

async fn save(at: AtAccount, which: Which) -> Shown {
    let (draft, lines) = drafted(&at.form, which);
    let (mode, absent) = (draft.mode, draft.absent.unwrap_or(Absent::Deny));
    let version = at.form.text("version").to_owned();
    let as_sent = (mode, absent, at.form.raw("entries").to_owned(), version.clone());
    if draft.entries.is_empty() && draft.mode != ListMode::Any {
        let text = "A list without entries would let nobody pass. Write an entry, or choose no restriction.";
        return page(&at, which, as_sent, None, Some(Message::bad("Nothing was saved", text))).await;
    }
    let body = serde_json::to_value(&draft).unwrap_or_default();
    let preview = Asked::try_out(of_list(&at, which, "/preview"), body.clone());
    let preview: ListPreview = match at.client.ask(&preview).await {
        Ok(preview) => preview,
        Err(refusal) => {
            let message = with_lines(above_form(refusal, &[])?, &lines);
            return page(&at, which, as_sent, None, Some(message)).await;
        }
    };
    let canonical = (mode, absent, as_text(&preview.draft.entries), version);
    if at.form.text("step") != "save" {
        return page(&at, which, canonical, Some(preview), None).await;
    }
    // Whoever would be locked out is shown, and nothing is saved before somebody has said that this is meant.
    if preview.refused.iter().any(|source| !source.already) && !at.form.has("sure") {
        let text = "It would refuse what was in use in the last 7 days. Look at the sources below, add those that should \
                    go on, or tick the box and save again.";
        return page(&at, which, canonical, Some(preview), Some(Message::bad("Nothing was saved yet", text))).await;
    }
    let goes_back = at.form.has("on_trial");
    let mut body = body;
    if let (true, Some(members)) = (goes_back, body.as_object_mut()) {
        members.insert("confirm_within".to_owned(), TRIAL.into());
    }
    let asked = Asked::change(Method::PUT, of_list(&at, which, ""), at.form.version(), Some(body));
    match at.client.ask::<Value>(&asked).await {
        Ok(_) if goes_back => {
            let message =
                "The list is in force as of now. Confirm it below, or the list before comes back in 15 minutes.";
            Ok(at.done(&format!("/tokens/{}/{}", at.value(1), which.word()), message))
        }
        Ok(_) => {
            let message = "The list is saved, and in force as of now. For 10 minutes you can undo this.";
            Ok(at.done(&format!("/tokens/{}/{}", at.value(1), which.word()), message))
        }
        Err(refusal) => {
            let message = with_lines(above_form(refusal, &[])?, &lines);
            page(&at, which, as_sent, None, Some(message)).await
        }
    }
}

/// Confirms a list that is on trial, or undoes the last change.
async fn act(at: AtAccount, which: Which, act: &'static str) -> Shown {
    let asked = Asked::change(Method::POST, of_list(&at, which, &format!("/{act}")), "*", None);
    let message = if act == "undo" { "The list before is back, as of now." } else { "The list stays as it is." };
    let there = format!("/tokens/{}/{}", at.value(1), which.word());
    match at.client.ask::<Value>(&asked).await {
        Ok(_) => Ok(at.done(&there, message)),
        Err(Refusal::Told(told)) if matches!(told.status, 404 | 409 | 412) => Ok(at.done(&there, &told.detail)),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Says the lines of the text in place of the indexes of the API's entries.
fn with_lines(mut message: Message, lines: &[usize]) -> Message {
    for item in &mut message.items {
        let Some((_, rest)) = item.split_once("entries/") else { continue };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let line = digits.parse::<usize>().ok().and_then(|index| lines.get(index));
        let words = rest.split_once(' ').map(|(_, words)| words.to_owned());
        if let (Some(line), Some(words)) = (line, words) {
            *item = format!("Line {line} {words}");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_is_shown() {
        let entry = |value: &str, note: &str| ListEntry { value: value.to_owned(), note: note.to_owned() };
        let list = [entry("203.0.113.0/24", "office"), entry("2001:db8::/32", "")];
        let text = as_text(&list);
        assert_eq!(text, "203.0.113.0/24  # office\n2001:db8::/32\n");
        let read = of_text(&format!("\n# offices\n{text}"));
        assert_eq!(read, [(3, list[0].clone()), (4, list[1].clone())]);
    }

    #[test]
    fn mistakes_name_the_line() {
        let mut message = Message::bad("", "");
        message.items =
            vec!["networks/entries/1/value has host bits; write 10.0.0.0/8.".to_owned(), "name x".to_owned()];
        assert_eq!(with_lines(message, &[2, 5]).items, ["Line 5 has host bits; write 10.0.0.0/8.", "name x"]);
    }
}
