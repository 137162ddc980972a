//! Notices on the status page: notes, and maintenance with its times. They are the status recorder's, whose pages change
//! at once; that somebody has asked for one is in the audit, and happens once for each `Idempotency-Key`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{FieldError, Kind, Problem};
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use super::shown::Time;
use crate::ledger::store::Writing;
use crate::operate::status_recorder::{Recorder, Refused};
use crate::platform::clock::unix_seconds;
use crate::site::status::notice::{self, MAX_NOTICES, Moment, NoticeBody, Shown, Wanted};

/// A notice that is to be published.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewStatusNotice")]
pub struct NewNotice {
    /// What clients should know, in one line.
    #[schemars(length(min = 1, max = 1000))]
    pub text: String,
    /// The product that it is about. Default: all of them.
    #[serde(default)]
    pub product: Option<String>,
    /// When maintenance begins. Default: it is a note, which is there from now until it is closed.
    #[serde(default)]
    pub from: Option<Time>,
    /// When maintenance ends.
    #[serde(default)]
    pub to: Option<Time>,
}

/// All notices.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StatusNotices")]
pub struct Notices {
    /// Those of the configuration as well, which have no number.
    pub items: Vec<Shown>,
}

fn recorder<B>(call: &Call<B>) -> Result<Recorder, Problem> {
    let detail = "No gateway runs here; `tollgate status` opens the ledger.";
    call.api.recorder.clone().ok_or_else(|| Problem::new(Kind::StoreUnavailable, detail))
}

fn not_done(why: Refused) -> Problem {
    match why {
        Refused::Unknown => Problem::not_found("notice"),
        why => Problem::new(Kind::Conflict, format!("Nothing was published: {why}.")),
    }
}

/// All notices, the newest first.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Notices>, Problem> {
    let items = recorder(&call)?.list().await.map_err(not_done)?;
    Ok(Reply::of(Notices { items }))
}

/// Publishes a notice.
pub async fn publish(call: Call<NewNotice>) -> Result<Reply<Notices>, Problem> {
    let recorder = recorder(&call)?;
    let body = call.body.clone();
    let moment = |time: Time| Moment(u64::try_from(time.0.div_euclid(1000)).unwrap_or_default());
    let (from, to) = (body.from.map(moment), body.to.map(moment));
    let wanted = if from.is_some() || to.is_some() { Wanted::Maintenance } else { Wanted::Note };
    let by = Some(call.caller.actor.clone());
    let said = NoticeBody { text: body.text.clone(), product: body.product.clone(), from, to, by };
    let checked = notice::notice(wanted, said, unix_seconds());
    let notice = checked.map_err(|why| Problem::body(vec![FieldError::new("", why, "see the OpenAPI document")]))?;
    let open = recorder.list().await.map_err(not_done)?;
    if open.iter().filter(|known| known.id.is_some() && known.stage != "past").count() >= MAX_NOTICES {
        return Err(Problem::new(Kind::Conflict, "As many notices are open as there can be. Close some first."));
    }
    let noted = move |writing: &mut Writing<'_>| writing.note("status.publish", None, "status page", None, Some(&body));
    if !call.write(noted).await.map_err(refused)?.replayed {
        recorder.add(notice).await.map_err(not_done)?;
    }
    let items = recorder.list().await.map_err(not_done)?;
    Ok(Reply::of(Notices { items }))
}

/// Closes a notice: a note is over, maintenance ends or is cancelled.
pub async fn close(call: Call<NoBody>) -> Result<Reply<Notices>, Problem> {
    let recorder = recorder(&call)?;
    let id: i64 = call.value(0).parse().map_err(|_| Problem::not_found("notice"))?;
    let closed = recorder.close(id).await.map_err(not_done)?;
    let text = closed.text.to_string();
    let noted = move |writing: &mut Writing<'_>| writing.note("status.close", None, "status page", None, Some(&text));
    call.write(noted).await.map_err(refused)?;
    let items = recorder.list().await.map_err(not_done)?;
    Ok(Reply::of(Notices { items }))
}
