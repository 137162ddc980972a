//! The addresses and domains of a token: a list to edit, one entry a line, shown in the form that requests are compared
//! with, and what a change would refuse before it is made.

use askama::Template;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::token::{find, path};
use crate::ledger::store::records::{Absent, ListEntry, ListMode, TokenList};
use crate::operate::api::client::Asked;
use crate::operate::api::lists::List;
use crate::operate::api::shown::Token;
use crate::portal::answer;
use crate::portal::ask::Refusal;
use crate::portal::form::Values;
use crate::portal::frame::{Frame, Message};
use crate::portal::router::{Page, account};
use crate::portal::visit::{AtAccount, Shown};

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
    preview: Option<Preview>,
}

/// What a draft would do.
struct Preview {
    added: Vec<ListEntry>,
    removed: Vec<ListEntry>,
    kept: usize,
}

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
    let list: List = at.client.ask(&Asked::get(path(&at, &format!("/{}", which.word())))).await?;
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
    preview: Option<Preview>,
    message: Option<Message>,
) -> Shown {
    let token = find(at).await?;
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let title = format!("{} of {}", which.title(), token.name);
    let frame = at.frame("/tokens", title).with(message);
    let page = ListPage { base: at.base(), which, token, mode, absent, text, version, preview, frame };
    Ok(answer::html(status, page.render()?))
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
    if at.form.text("step") == "save" {
        let body = serde_json::to_value(&draft).unwrap_or_default();
        let asked = Asked::change(Method::PUT, path(&at, &format!("/{}", which.word())), at.form.version(), Some(body));
        return match at.client.ask::<Value>(&asked).await {
            Ok(_) => Ok(at.done(&format!("/tokens/{}", at.value(1)), "The list is saved, and in force as of now.")),
            Err(Refusal::Told(told)) if matches!(told.status, 400 | 409 | 412 | 422) => {
                page(&at, which, as_sent, None, Some(with_lines(Message::refused(&told), &lines))).await
            }
            Err(refusal) => Err(refusal.into()),
        };
    }
    let body = json!({ "address": "192.0.2.1", which.word(): draft });
    let asked = Asked::try_out(path(&at, "/test"), body);
    let canonical = match at.client.ask::<crate::operate::api::token_test::TestOutcome>(&asked).await {
        Ok(outcome) => match which {
            Which::Networks => outcome.networks,
            Which::Domains => outcome.domains,
        },
        Err(Refusal::Told(told)) if matches!(told.status, 400 | 409 | 422) => {
            let message = with_lines(Message::refused(&told), &lines);
            return page(&at, which, as_sent, None, Some(message)).await;
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let canonical = canonical.map_or(draft.entries, |list| list.entries);
    let before: List = at.client.ask(&Asked::get(path(&at, &format!("/{}", which.word())))).await?;
    let preview = difference(&before.list.entries, &canonical);
    page(&at, which, (mode, absent, as_text(&canonical), version), Some(preview), None).await
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

fn difference(before: &[ListEntry], after: &[ListEntry]) -> Preview {
    let lacks = |list: &[ListEntry], entry: &ListEntry| list.iter().all(|known| known.value != entry.value);
    Preview {
        added: after.iter().filter(|entry| lacks(before, entry)).cloned().collect(),
        removed: before.iter().filter(|entry| lacks(after, entry)).cloned().collect(),
        kept: after.iter().filter(|entry| !lacks(before, entry)).count(),
    }
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
        let difference = difference(&list, &[entry("2001:db8::/32", "new note"), entry("192.0.2.1/32", "")]);
        assert_eq!((difference.added.len(), difference.removed.len(), difference.kept), (1, 1, 1));
    }

    #[test]
    fn mistakes_name_the_line() {
        let mut message = Message::bad("", "");
        message.items =
            vec!["networks/entries/1/value has host bits; write 10.0.0.0/8.".to_owned(), "name x".to_owned()];
        assert_eq!(with_lines(message, &[2, 5]).items, ["Line 5 has host bits; write 10.0.0.0/8.", "name x"]);
    }
}
