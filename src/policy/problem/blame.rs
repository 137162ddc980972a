//! Whether a refusal counts against the availability of a product.
//!
//! The table's `fault` says who has to fix a problem. This decides whether a request that ended in
//! it counts as a failure of the service. What counts against us is every 500 and 503, and a 408
//! that the client did not cause. Everything else is a request that was refused as it should be,
//! which counts neither way: a flood of refusals must not make an outage look small.

use std::time::Duration;

use super::Row;

/// Whether a refusal counts against us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    Ours,
    Clients,
}

/// How a request has spent its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// From the end of its head to the refusal.
    pub in_all: Duration,
    /// Of that, until its body was there; `None` if it never was, or nobody waited for it.
    pub on_body: Option<Duration>,
}

impl Spent {
    /// Whether the client had the larger part of the time: its body came that slowly, or never.
    fn was_mostly_the_clients(self) -> bool {
        self.on_body.is_none_or(|on_body| on_body > self.in_all / 2)
    }
}

/// Whose a refusal is.
pub fn blame(row: Row, spent: Spent) -> Blame {
    match row {
        // Providing enough capacity is our responsibility, whoever uses it up.
        Row::Overloaded => Blame::Ours,
        // Clients have one service, and its backend is part of it.
        Row::UpstreamUnavailable | Row::UpstreamFailed | Row::CreditsUnavailable => Blame::Ours,
        // Our own faults, a ledger that cannot be written among them.
        Row::Internal => Blame::Ours,
        // The deadline may be short, but it is one that the product offers.
        Row::DeadlineExceeded => {
            if spent.was_mostly_the_clients() {
                Blame::Clients
            } else {
                Blame::Ours
            }
        }
        // The client did not send its own request in time.
        Row::RequestTimeout => Blame::Clients,
        // The request is not one that could be answered, or not by this client.
        Row::MalformedRequest
        | Row::EndpointUnknown
        | Row::TokenMissing
        | Row::TokenUnknown
        | Row::TokenDisabled
        | Row::TokenExpired
        | Row::ProductMismatch
        | Row::IpNotAllowed
        | Row::DomainNotAllowed
        | Row::RateExceeded
        | Row::QuotaExceeded
        | Row::ConcurrencyExceeded
        | Row::AcceptUnsupported
        | Row::ContentTypeUnsupported
        | Row::TimeoutInvalid
        | Row::ParameterInvalid
        | Row::ReferenceIdInvalid
        | Row::AddMetadataInvalid
        | Row::BodyTooLarge
        | Row::BodyEmpty
        | Row::BodyMalformed
        | Row::BodyInvalid
        | Row::IdempotencyKeyReused
        | Row::CreditsInsufficient => Blame::Clients,
        // A rule about the client's body or headers, whichever status the operator has given it.
        Row::Own(_) => Blame::Clients,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::problem::{Status, TABLE};

    const fn spent(in_all: u64, on_body: Option<u64>) -> Spent {
        let on_body = match on_body {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => None,
        };
        Spent { in_all: Duration::from_secs(in_all), on_body }
    }

    #[test]
    fn every_500_and_503_counts_against_us_and_nothing_but_a_408_may() {
        for definition in &TABLE {
            for time in [spent(15, None), spent(15, Some(0)), spent(15, Some(14))] {
                let blame = blame(definition.row, time);
                match definition.status {
                    Status::InternalServerError | Status::ServiceUnavailable => {
                        assert_eq!(blame, Blame::Ours, "{}", definition.slug);
                    }
                    Status::RequestTimeout => {}
                    Status::BadRequest
                    | Status::Unauthorized
                    | Status::Forbidden
                    | Status::NotFound
                    | Status::NotAcceptable
                    | Status::UnsupportedMediaType
                    | Status::TooManyRequests => assert_eq!(blame, Blame::Clients, "{}", definition.slug),
                }
            }
        }
        assert_eq!(blame(Row::Own(0), spent(1, Some(0))), Blame::Clients, "an own row is about the client's request");
    }

    #[test]
    fn a_408_counts_against_us_unless_the_client_caused_it() {
        for (row, time, expected, when) in [
            (
                Row::RequestTimeout,
                spent(5, None),
                Blame::Clients,
                "the head or the body did not arrive in its allowance",
            ),
            (Row::DeadlineExceeded, spent(15, Some(0)), Blame::Ours, "no answer from a backend that had all the time"),
            (Row::DeadlineExceeded, spent(2, Some(0)), Blame::Ours, "the same with the shortest Timeout-Seconds"),
            (Row::DeadlineExceeded, spent(15, None), Blame::Clients, "the body never came within the deadline"),
            (Row::DeadlineExceeded, spent(15, Some(14)), Blame::Clients, "the body left the backend a second"),
            (Row::DeadlineExceeded, spent(15, Some(7)), Blame::Ours, "the backend had the larger part"),
        ] {
            assert_eq!(blame(row, time), expected, "{when}");
        }
    }
}
