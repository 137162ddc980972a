//! What an answer costs under the candidate, as far as a journal can say.

use super::verdict::{Price, Undecided};
use crate::policy::tariff::{Condition, Line, Passed, Step, Tariff};
use crate::policy::trail::Trail;
use crate::telemetry::journal::line::{Decision, RouteRules};

/// The price of a decision's answer, if it has one. With the same prices as then it is what was charged; otherwise it is
/// known where the candidate's price of the backend's status depends on nothing else.
pub fn price(
    decision: &Decision<'_>,
    is_answered: bool,
    trail: &Trail<'_>,
    (then, now): (Option<&RouteRules>, &RouteRules),
) -> Price {
    let Some(tariff) = trail.route.and_then(|route| route.tariff.as_deref()).filter(|_| trail.pays()) else {
        return Price::Known(0);
    };
    let is_same =
        decision.pays && now.price.is_some() && then.and_then(|rules| rules.price.as_ref()) == now.price.as_ref();
    if is_same || (!is_answered && decision.charged == 0) || decision.replayed {
        return Price::Known(decision.charged);
    }
    if !is_answered || (!decision.delivered && decision.charged == 0) {
        return Price::Undecided(Undecided::Price);
    }
    plain(tariff, decision.upstream_status).map_or(Price::Undecided(Undecided::Price), Price::Known)
}

/// The price of answers with a status, if it is the same for all of them.
fn plain(tariff: &Tariff, status: u16) -> Option<u32> {
    let others = tariff.lines_by_status().find(|(known, _)| *known == status).map(|(_, lines)| lines);
    let lines = if status == 200 { tariff.price_lines() } else { others.unwrap_or_default() };
    let is_plain =
        |line: &Line| matches!(line.condition, Condition::Always) && matches!(line.step, Step::Add(_) | Step::Set(_));
    lines.iter().all(is_plain).then(|| tariff.price(status, Passed::default(), tariff.nothing_told()))
}
