//! One lookup: its body, its hold on credits, and the exchange with the backend, within the request's deadline.
//!
//! A lookup with a key may get an answer that is kept (contract, section 14); what is kept is `idempotency.rs`.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use pingora_timeout::timeout;

use super::found::{Found, LookedUp, Lookup};
use super::idempotency::Entered;
use super::idempotency::Lead;
use super::idempotency::kept_answer::KeptAnswer;
use super::idempotency::table::Owner;
use super::{Downstream, Gateway, Unanswered, refusal_log};
use crate::ledger::bill::Bill;
use crate::policy::admit::Admission;
use crate::policy::check::body::TOO_MUCH_WORK;
use crate::policy::credits::Hold;
use crate::policy::idempotency::KeyedRequest;
use crate::policy::lookup::{BodyAwaited, Priced};
use crate::policy::problem::{Problem, Row};
use crate::policy::respond::Context;
use crate::telemetry::request_record::RequestRecord;
use crate::upstream::blame::Asker;
use crate::upstream::exchange::{self, Answer};
use crate::upstream::gate::{Passing, Seat, Waiting};
use crate::upstream::response::READ_BYTES;
use crate::upstream::translate;

impl Gateway {
    /// Body, hold and exchange, within the request's deadline. The hold is returned on every way out except the last.
    pub(super) async fn look_up<'g, D: Downstream>(
        &'g self,
        lookup: Lookup<'_, 'g>,
        admission: Admission<'g>,
        downstream: &mut D,
        record: &mut RequestRecord<'g>,
    ) -> Result<LookedUp<'g>, Unanswered> {
        let Lookup { snapshot, head, context, headroom } = lookup;
        let limits = &snapshot.policy.limits;
        let share = match limits.share_requests {
            false => None,
            true => {
                Some(self.in_flight.enter(admission.principal().account, headroom, self.shares(limits).requests)?)
            }
        };
        let begun = Instant::now();
        let left = admission.deadline().saturating_sub(begun.saturating_duration_since(record.begun()));
        let exchange = async {
            let awaited = admission.await_body(head)?;
            record.body_begins(begun);
            let read = downstream.read_body(awaited.limit()).await;
            record.body_ends(downstream.body().len());
            read?;
            record.body_arrived(downstream.body());
            let priced = self.judge(awaited, downstream.body(), context).await?;
            if let Some(request) = priced.keyed(head, downstream.body(), self.answers.secret()) {
                // Boxed, so that lookups without a key need no memory for it.
                return Box::pin(self.look_up_keyed(lookup, request, priced, downstream, record)).await;
            }
            let (answer, mut bill, _) = self.ask(lookup, priced, downstream, record, false).await?;
            // No charge is written for a client that is known to have disconnected, since it would have to be refunded.
            if bill.is_written_first() && downstream.gone().now_or_never().is_some() {
                return Err(Unanswered::Gone);
            }
            bill.record().await?;
            Ok(LookedUp { found: Found::Asked(answer), bill, lead: None, share: None })
        };
        match timeout(left, exchange).await {
            Ok(outcome) => outcome.map(|looked_up| LookedUp { share, ..looked_up }),
            Err(_) => Err(Problem::new(Row::DeadlineExceeded, "the request's deadline has passed").into()),
        }
    }

    /// Waits for a place among the requests of the upstream, holds the highest price, asks the backend and reads its
    /// answer, as the client gets it; also returns the bill, and whether the client has disconnected meanwhile. With `is_kept` that does not end the exchange, since the answer is
    /// kept for when the request is sent again.
    async fn ask<'g, D: Downstream>(
        &'g self,
        lookup: Lookup<'_, 'g>,
        priced: Priced<'g>,
        downstream: &mut D,
        record: &mut RequestRecord<'g>,
        is_kept: bool,
    ) -> Result<(Answer<'g>, Bill<'g>, bool), Unanswered> {
        let Lookup { snapshot, head, context, .. } = lookup;
        let account = priced.admission().principal().account;
        let mut seat = match snapshot.exchange.gate(priced.admission().product()) {
            None => None,
            Some(gate) => Some(match gate.enter(&account.name, account.weight())? {
                Passing::Seated(seat) => seat,
                // Boxed, so that lookups that do not wait need no memory for it.
                Passing::Waits(waiting) => Box::pin(seated(waiting, downstream, record)).await?,
            }),
        };
        let hold = self.ledger.hold(priced.credit_account(), priced.highest()).await?;
        let paid = priced.paid_with(hold);
        let mut request = Vec::with_capacity(READ_BYTES);
        let body = paid.body(downstream.body());
        exchange::build(&mut request, &paid, head, body, context, &snapshot.settings.upstreams)?;
        let limit = snapshot.policy.limits.response_bytes;
        let judge = |answer: &[u8], kind, status| translate::body(answer, kind, status, paid.tariff(), paid.passed());
        let admission = paid.admission();
        let asked = (admission.product(), admission.route(), Asker::of(&account.name));
        let times = record.asks(context.now);
        let mut is_gone = false;
        let answer = {
            let answer = snapshot.exchange.forward(&self.backends, asked, request, limit, times, judge);
            let mut answer = std::pin::pin!(answer);
            tokio::select! {
                biased;
                answer = &mut answer => answer,
                () = downstream.gone() => {
                    if !is_kept {
                        return Err(Unanswered::Gone);
                    }
                    is_gone = true;
                    answer.await
                }
            }
        };
        record.asked();
        if answer.is_ok() {
            seat.iter_mut().for_each(Seat::answered);
        }
        drop(seat);
        let (answer, price) = answer?;
        record.answer_arrived(&answer.body, answer.content_type.as_deref(), answer.passing.body.is_some());
        let (product, rendition) = (admission.product(), admission.product().media.rendition(&head.lines));
        let answer = answer.rendered(rendition, product, limit)?;
        Ok((answer, Bill::new(&self.ledger, paid.into_hold(), price, context.transaction), is_gone))
    }

    /// A lookup with a key: it gets the answer that is kept, or is the one that asks for it.
    async fn look_up_keyed<'g, D: Downstream>(
        &'g self,
        lookup: Lookup<'_, 'g>,
        request: KeyedRequest,
        priced: Priced<'g>,
        downstream: &mut D,
        record: &mut RequestRecord<'g>,
    ) -> Result<LookedUp<'g>, Unanswered> {
        let (product, transaction) = (priced.admission().product(), lookup.context.transaction);
        let entered = tokio::select! {
            biased;
            entered = self.answers.enter(request, || self.now().monotonic, || record.other_begins()) => entered?,
            () = downstream.gone() => return Err(Unanswered::Gone),
        };
        record.other_ends();
        let (answer, due, lead) = match entered {
            Entered::First(lead) => return self.look_up_first(lookup, lead, priced, downstream, record).await,
            Entered::Paid(answer) => (answer, 0, None),
            Entered::Due(answer, due, lead) => (answer, due, Some(lead)),
        };
        let hold = match (self.ledger.hold(priced.credit_account(), due).await, due) {
            // What costs nothing is delivered, whatever the ledger says.
            (Err(_), 0) => Hold::nothing(),
            (hold, _) => hold?,
        };
        let mut bill = Bill::new(&self.ledger, hold, due, transaction);
        bill.record().await?;
        record.replayed();
        let passed = answer.passed(product);
        Ok(LookedUp { found: Found::Kept(answer, passed), bill, lead, share: None })
    }

    /// The first lookup with a key: its answer is kept before it is delivered, so that whoever did not get it can send the
    /// request again.
    async fn look_up_first<'g, D: Downstream>(
        &'g self,
        lookup: Lookup<'_, 'g>,
        lead: Lead<'g>,
        priced: Priced<'g>,
        downstream: &mut D,
        record: &mut RequestRecord<'g>,
    ) -> Result<LookedUp<'g>, Unanswered> {
        let (product, account) = (priced.admission().product(), priced.admission().principal().account);
        let owner = Owner { account: Arc::clone(&account.name), product: Arc::clone(&product.name) };
        let (answer, mut bill, is_gone) = self.ask(lookup, priced, downstream, record, true).await?;
        let kept = product.idempotency.as_ref().zip(KeptAnswer::of(&answer, product));
        let most_bytes = lookup.snapshot.policy.limits.kept_answer_bytes;
        let lead = kept
            .and_then(|(rule, kept)| lead.keep(kept, bill.price(), owner, (rule, most_bytes), self.now().monotonic));
        if is_gone || (bill.is_written_first() && downstream.gone().now_or_never().is_some()) {
            return Err(Unanswered::Gone);
        }
        bill.record().await?;
        Ok(LookedUp { found: Found::Asked(answer), bill, lead, share: None })
    }

    /// Judges a whole body: here if that is fast enough not to delay others, else on another thread.
    async fn judge<'p>(
        &self,
        awaited: BodyAwaited<'p>,
        body: &[u8],
        context: &Context<'_, '_>,
    ) -> Result<Priced<'p>, Problem> {
        let judged = match awaited.judge_at_once(body) {
            Ok(judged) => judged,
            Err(awaited) => self.judge_apart(awaited, body).await,
        };
        if judged.as_ref().err() == Some(&TOO_MUCH_WORK) {
            self.over_budget.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            refusal_log::over_budget(context, TOO_MUCH_WORK);
        }
        judged
    }

    /// Judges a body on another thread, as soon as one is free. Once begun, it is judged to the end and occupies its
    /// thread until then; the budget limits the time.
    async fn judge_apart<'p>(&self, awaited: BodyAwaited<'p>, body: &[u8]) -> Result<Priced<'p>, Problem> {
        let internal = Problem::new(Row::Internal, "a body could not be judged on a thread of its own");
        let headroom = Arc::clone(&self.judging).acquire_owned().await.map_err(|_| internal)?;
        let apart = awaited.judge_apart(body);
        let judging = tokio::task::spawn_blocking(move || (apart.judge(), headroom));
        let (judged, headroom) = judging.await.map_err(|_| internal)?;
        let mut accepted = judged?;
        let priced = awaited.accept(&mut accepted);
        // Freeing a large document takes long as well.
        drop(tokio::task::spawn_blocking(move || drop((accepted, headroom))));
        Ok(priced)
    }
}

/// Waits until there is room for a request at its upstream, or its client has disconnected.
async fn seated<D: Downstream>(
    waiting: Waiting,
    downstream: &mut D,
    record: &mut RequestRecord<'_>,
) -> Result<Seat, Unanswered> {
    record.other_begins();
    let seat = tokio::select! {
        biased;
        seat = waiting.seated() => seat?,
        () = downstream.gone() => return Err(Unanswered::Gone),
    };
    record.other_ends();
    Ok(seat)
}
