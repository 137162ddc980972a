//! File descriptors: how many the process may have, and how they are divided.
//!
//! A process without free descriptors can neither accept a client nor connect to an upstream, and
//! cannot answer. Therefore the limit is raised at the start, and configured limits that need more
//! are reduced: clients beyond them get `overloaded` while there are still descriptors for that
//! answer. Which request is refused is decided in `gateway.rs`.

use std::{fmt, io};

use crate::policy::Limits;

/// The most connections to the admin listener: operators, probes, and scrapers of metrics.
const OPERATORS_CONNECTIONS: usize = 64;

/// Connections to the management API: people and programs that manage accounts.
const API_CONNECTIONS: usize = 64;

/// Descriptors for everything that is not a connection of a client, an operator or to an upstream:
/// listeners, runtimes, the ledger, and files of the configuration.
const SPARE: u64 = 96;

/// The fewest descriptors, beside the spare ones, with which the process starts.
const FEWEST: u64 = 32;

/// The most idle connections to all upstreams together.
const IDLE_UPSTREAM_CONNECTIONS: usize = 4096;

/// The most connections beyond the limit whose request is still read before it is refused; further
/// ones get `overloaded` at once, since even reading costs memory and time.
const CONNECTIONS_HEARD_OUT: usize = 1024;

/// How many descriptors the process may have.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    limit: u64,
}

/// How the descriptors are divided, in connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Connections of clients that are served.
    pub connections: usize,
    /// Connections beyond them whose request is read before it is refused.
    pub heard_out: usize,
    /// Requests at a time, since each can have a connection to an upstream.
    pub requests: usize,
    /// Connections to upstreams that are kept for the next request.
    pub idle_upstream: usize,
    /// Connections to the admin listener.
    pub operators: usize,
    /// Connections to the management API.
    pub api: usize,
}

impl Shares {
    fn total(&self) -> usize {
        let Shares { connections, heard_out, requests, idle_upstream, operators, api } = *self;
        [connections, heard_out, requests, idle_upstream, operators, api].into_iter().fold(0, usize::saturating_add)
    }

    fn wanted(connections: usize, requests: usize) -> Shares {
        Shares {
            connections,
            heard_out: CONNECTIONS_HEARD_OUT,
            requests,
            idle_upstream: IDLE_UPSTREAM_CONNECTIONS,
            operators: OPERATORS_CONNECTIONS,
            api: API_CONNECTIONS,
        }
    }
}

/// Why a process cannot serve with its file descriptors.
#[derive(Debug)]
pub enum DescriptorsError {
    /// The system does not say how many it may have.
    Unknown(io::Error),
    /// It may have so many.
    TooFew(u64),
}

impl fmt::Display for DescriptorsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DescriptorsError::Unknown(error) => {
                write!(formatter, "cannot find out how many file descriptors the process may have: {error}")
            }
            DescriptorsError::TooFew(limit) => write!(
                formatter,
                "the process may have {limit} file descriptors, which is too few; allow it {} or more",
                SPARE + FEWEST
            ),
        }
    }
}

impl std::error::Error for DescriptorsError {}

impl Descriptors {
    /// Raises the process's limit as far as the system allows.
    ///
    /// # Errors
    /// That there are too few to serve anybody.
    pub fn claim() -> Result<Descriptors, DescriptorsError> {
        let limit = rlimit::increase_nofile_limit(u64::MAX).map_err(DescriptorsError::Unknown)?;
        if limit < SPARE + FEWEST {
            return Err(DescriptorsError::TooFew(limit));
        }
        Ok(Descriptors { limit })
    }

    /// A message for the operator, if the configured limits need more descriptors than there are.
    pub fn shortage(self, limits: &Limits) -> Option<String> {
        let (wanted, shares) = (Shares::wanted(limits.connections, limits.requests), self.shares(limits));
        (shares != wanted).then(|| {
            format!(
                "the process may have {} file descriptors, and limits.connections and limits.requests need {}; \
                 {} connections and {} requests at a time will be served, and further ones get overloaded",
                self.limit,
                SPARE.saturating_add(u64::try_from(wanted.total()).unwrap_or(u64::MAX)),
                shares.connections,
                shares.requests
            )
        })
    }

    /// The share of each use under these limits: as configured if there are enough, and otherwise
    /// as many clients as leave room for the connections to upstreams that serve them.
    pub fn shares(self, limits: &Limits) -> Shares {
        self.split(Shares::wanted(limits.connections, limits.requests))
    }

    fn split(self, wanted: Shares) -> Shares {
        let room = usize::try_from(self.limit.saturating_sub(SPARE)).unwrap_or(usize::MAX);
        if wanted.total() <= room {
            return wanted;
        }
        let heard_out = wanted.heard_out.min(room / 8);
        let idle_upstream = wanted.idle_upstream.min(room / 8);
        let operators = wanted.operators.min(room / 16);
        let api = wanted.api.min(room / 16);
        let requests = wanted.requests.min(room / 4);
        let taken = [heard_out, idle_upstream, operators, api, requests].into_iter().fold(0, usize::saturating_add);
        let connections = wanted.connections.min(room.saturating_sub(taken));
        Shares { connections, heard_out, requests, idle_upstream, operators, api }
    }
}

#[cfg(test)]
mod tests {
    use super::{Descriptors, SPARE, Shares};

    fn shares(limit: u64, connections: usize, requests: usize) -> Shares {
        Descriptors { limit }.split(Shares::wanted(connections, requests))
    }

    #[test]
    fn what_fits_is_left_as_it_was_configured() {
        for limit in [SPARE + 10_000 + 1024 + 10_000 + 4096 + 64 + 64, u64::MAX] {
            let (connections, requests) = (10_000, 10_000);
            let expected =
                Shares { connections, heard_out: 1024, requests, idle_upstream: 4096, operators: 64, api: 64 };
            assert_eq!(shares(limit, 10_000, 10_000), expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_and_leaves_something_for_every_use() {
        for limit in [SPARE + 32, 256, 1024, 4096, 20_000] {
            for (connections, requests) in [(10_000, 10_000), (10_000, 100), (100, 1_000_000), (usize::MAX, usize::MAX)]
            {
                let shares = shares(limit, connections, requests);
                assert!(shares.total() as u64 + SPARE <= limit, "{limit}: {shares:?}");
                let Shares { connections, heard_out, requests, idle_upstream, operators, api } = shares;
                assert!(
                    [connections, heard_out, requests, idle_upstream, operators, api].iter().all(|share| *share > 0),
                    "{shares:?}"
                );
            }
        }
    }
}
