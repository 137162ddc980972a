//! The candidate that judges beside the configuration in force: what it has found, and whether it comes into force. It is
//! started by `tollgate shadow start` on the machine that has its file.

use super::in_force::InForce;
use super::problem::{Kind, Problem};
use super::refusal::refused;
use super::route::{Call, NoBody, Reply};
use crate::ledger::store::Writing;
use crate::operate::reload::shadow::Wanted;
use crate::operate::shadow::ShadowDocument;

fn document<B>(call: &Call<B>) -> Result<ShadowDocument, Problem> {
    match &call.api.in_force {
        InForce::Gateway(gateway, _) => Ok(ShadowDocument::of(gateway.shadows())),
        InForce::Configuration(_) => {
            let detail = "No gateway runs here; `tollgate shadow` asks one that does.";
            Err(Problem::new(Kind::StoreUnavailable, detail))
        }
    }
}

/// What it has found.
pub async fn show(call: Call<NoBody>) -> Result<Reply<ShadowDocument>, Problem> {
    document(&call).map(Reply::of)
}

/// Puts it in force.
pub async fn promote(call: Call<NoBody>) -> Result<Reply<ShadowDocument>, Problem> {
    end(call, Wanted::Promote, "shadow.promote").await
}

/// Lets it go.
pub async fn let_go(call: Call<NoBody>) -> Result<Reply<ShadowDocument>, Problem> {
    end(call, Wanted::Drop, "shadow.drop").await
}

async fn end(call: Call<NoBody>, wanted: Wanted, action: &'static str) -> Result<Reply<ShadowDocument>, Problem> {
    let file = document(&call)?.config.unwrap_or_default();
    let fixed = "The configuration is part of the program. It cannot change.";
    let reloader = call.api.reloader.clone().ok_or_else(|| Problem::new(Kind::Conflict, fixed))?;
    reloader.shadow(wanted).await.map_err(|why| Problem::new(Kind::Conflict, why.to_string()))?;
    let noted = move |writing: &mut Writing<'_>| writing.note(action, None, "configuration", None, Some(&file));
    if let Err(why) = call.write(noted).await {
        log::error!(
            target: "tollgate::shadow",
            "{action} was done by {}, and the history cannot say so: {why}",
            call.caller.actor
        );
        return Err(refused(why));
    }
    document(&call).map(Reply::of)
}
