//! Members of an account, and invitations to it: finding them, inviting somebody, changing and removing members. A link
//! of an invitation is in one answer, when it is made, and nowhere else.

use schemars::JsonSchema;
use serde::Deserialize;

use super::caller::operator;
use super::people::{INVITATION_MS, Invitation, InvitationBody, Member, NewInvitation};
use super::problem::Problem;
use super::refusal::{refused, refused_as};
use super::route::{Call, NoBody, ROOT, Reply};
use super::shown::Page;
use crate::ledger::store::people::{self, TicketInfo, TicketKind};
use crate::ledger::store::records::Role;
use crate::ledger::store::tickets::{self, TicketDraft};
use crate::ledger::store::{Outcome, accounts, memberships};

/// Another role of a member.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberChange {
    /// What the member may do: owner, member or viewer.
    pub role: Role,
}

/// The members of an account.
pub async fn list(call: Call<NoBody>) -> Result<Reply<Page<Member>>, Problem> {
    let account = call.value(0).to_owned();
    let found = call.api.store.read(move |connection| {
        accounts::get(connection, &account)?;
        memberships::list(connection, &account)
    });
    let (after, limit) = (call.query.after(), call.query.limit());
    let found = found.await.map_err(refused)?.into_iter();
    let found = found.filter(|member| after.is_none_or(|after| *member.user_id > *after)).map(Member::from);
    Ok(Reply::of(Page::of(found.collect(), limit, |member| member.user.clone())))
}

/// Gives a member another role.
pub async fn update(call: Call<MemberChange>) -> Result<Reply<Member>, Problem> {
    let (account, user, version) = (call.value(0).to_owned(), call.value(1).to_owned(), call.version());
    let role = call.body.role;
    let outcome = call.write(move |writing| memberships::set_role(writing, &account, &user, version, role)).await;
    shown(outcome.map_err(refused_as::<people::Member, Member>)?)
}

/// Removes a member.
pub async fn remove(call: Call<NoBody>) -> Result<Reply<Member>, Problem> {
    let (account, user, version) = (call.value(0).to_owned(), call.value(1).to_owned(), call.version());
    let outcome = call.write(move |writing| memberships::remove(writing, &account, &user, version)).await;
    shown(outcome.map_err(refused_as::<people::Member, Member>)?)
}

fn shown(outcome: Outcome<people::Member>) -> Result<Reply<Member>, Problem> {
    let Outcome { value, replayed, .. } = outcome;
    let version = value.row_version;
    Ok(Reply::versioned(value.into(), version).again(replayed))
}

/// Invites somebody to an account.
pub async fn invite(call: Call<InvitationBody>) -> Result<Reply<NewInvitation>, Problem> {
    let account = call.value(0).to_owned();
    make(&call, Some(account)).await
}

/// Invites somebody to be an operator.
pub async fn invite_operator(call: Call<InvitationBody>) -> Result<Reply<NewInvitation>, Problem> {
    make(&call, None).await
}

async fn make(call: &Call<InvitationBody>, account_id: Option<String>) -> Result<Reply<NewInvitation>, Problem> {
    let InvitationBody { email, role } = call.body.clone();
    let draft = TicketDraft {
        kind: TicketKind::Invite,
        email,
        account_id,
        role: Some(role),
        // An owner of one account says nothing about whose an address is, which counts in others as well.
        proves: operator(call.caller.role).is_some(),
        ends_at: call.at_ms.saturating_add(INVITATION_MS),
    };
    let outcome = call.write(move |writing| tickets::invite(writing, &draft)).await.map_err(refused)?;
    let (made, replayed) = (NewInvitation::from(outcome.value), outcome.replayed);
    let location = match &made.invitation.account {
        Some(account) => format!("{ROOT}/accounts/{account}/invitations"),
        None => format!("{ROOT}/invitations"),
    };
    Ok(Reply::of(made).at(location).again(replayed))
}

/// Invitations to an account that wait.
pub async fn invitations(call: Call<NoBody>) -> Result<Reply<Page<Invitation>>, Problem> {
    let account = call.value(0).to_owned();
    waiting(&call, Some(account)).await
}

/// Invitations to be an operator that wait.
pub async fn invitations_of_operators(call: Call<NoBody>) -> Result<Reply<Page<Invitation>>, Problem> {
    waiting(&call, None).await
}

async fn waiting(call: &Call<NoBody>, account: Option<String>) -> Result<Reply<Page<Invitation>>, Problem> {
    let now_ms = call.at_ms;
    let found = call.api.store.read(move |connection| {
        if let Some(account) = &account {
            accounts::get(connection, account)?;
        }
        tickets::invitations(connection, account.as_deref(), now_ms)
    });
    let (after, limit) = (call.query.after(), call.query.limit());
    let found = found.await.map_err(refused)?.into_iter();
    let found = found.filter(|ticket| after.is_none_or(|after| *ticket.id > *after)).map(Invitation::from);
    Ok(Reply::of(Page::of(found.collect(), limit, |invitation| invitation.id.clone())))
}

/// Ends an invitation to an account.
pub async fn withdraw(call: Call<NoBody>) -> Result<Reply<Invitation>, Problem> {
    let (account, id) = (call.value(0).to_owned(), call.value(1).to_owned());
    end(&call, Some(account), id).await
}

/// Ends an invitation to be an operator.
pub async fn withdraw_of_operators(call: Call<NoBody>) -> Result<Reply<Invitation>, Problem> {
    let id = call.value(0).to_owned();
    end(&call, None, id).await
}

async fn end(call: &Call<NoBody>, account: Option<String>, id: String) -> Result<Reply<Invitation>, Problem> {
    let version = call.version();
    let outcome = call.write(move |writing| tickets::withdraw(writing, account.as_deref(), &id, version)).await;
    let Outcome { value, replayed, .. } = outcome.map_err(refused_as::<TicketInfo, Invitation>)?;
    Ok(Reply::versioned(value.into(), tickets::VERSION).again(replayed))
}
