//! What all nodes of a cluster agree on: times, and the rules of the protocol by name.

/// Milliseconds of one machine's own clock that never goes back and counts suspended time (`CLOCK_BOOTTIME`). Times of
/// two machines are never compared.
pub type Time = u64;

/// The terms of a cluster. All times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long an identity may sell after it sent the last heartbeat that was acknowledged.
    pub ttl: Time,
    /// The longest that a request can hold credits.
    pub longest_request: Time,
    /// What the janitor waits in addition.
    pub margin: Time,
    /// How far the rates of two clocks may differ, in percent.
    pub clock_error_percent: u64,
    /// The most that a replica which can be promoted lags behind: commits that are older survive a failover.
    pub lag: Time,
    /// Below so many times the highest price for each node, a balance counts as low.
    pub low_factor: u64,
    pub rules: Rules,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            ttl: 120_000,
            longest_request: 60_000,
            margin: 5_000,
            clock_error_percent: 2,
            lag: 10_000,
            low_factor: 8,
            rules: Rules::default(),
        }
    }
}

impl Terms {
    /// How long the janitor must have seen the same heartbeat of an identity before it fences it: until then, even a
    /// slow clock has ended the identity, and its last request is over.
    pub fn fence_after(&self) -> Time {
        if !self.keep(Rule::FenceAfterTheLastRequest) {
            return self.ttl;
        }
        self.ttl + (self.ttl * self.clock_error_percent).div_ceil(100) + self.longest_request + self.margin
    }

    /// Whether a rule is in force.
    pub fn keep(&self, rule: Rule) -> bool {
        self.rules.keep(rule)
    }
}

/// Which rules are in force: all of them. Tests break one at a time, and show what goes wrong without it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    #[cfg(test)]
    pub broken: Option<Rule>,
}

impl Rules {
    #[cfg(not(test))]
    fn keep(self, _: Rule) -> bool {
        true
    }

    #[cfg(test)]
    fn keep(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }
}

/// The rules of the protocol. `docs/decisions/credits-by-leases.md` has what each of them prevents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    // Acquisition and counters.
    /// Credits are sold only after their acquisition was acknowledged.
    SellAfterTheAcknowledgement,
    /// What was taken is believed from the answer to a write, never from a read.
    BelieveWritesOnly,
    /// An answer counts only while its request is the one that the node waits for.
    OnlyTheAnswerThatIsWaitedFor,
    /// Counters are sent as totals, and merged by maximum.
    TotalsNotDifferences,
    /// Credits are returned in memory and in the journal before the centre is informed.
    ReturnAtHomeFirst,
    /// An acquisition gets at most half of what is available, but never less than the highest price.
    AtMostHalf,
    /// An acquisition that finds too little asks the other holders to return what no request holds.
    Recall,
    /// While little is available, a node returns what is left over after each request.
    DirectMode,
    // The time of an identity.
    /// An identity that is expired grants no new holds.
    ExpiredSellsNothing,
    /// An identity that is expired is never live again.
    ExpiredStaysExpired,
    /// The time of an identity counts from the sending of a heartbeat, not from its acknowledgement.
    TimeFromTheSending,
    /// The janitor waits for the time of an identity, the difference of the clocks and the longest request.
    FenceAfterTheLastRequest,
    /// A fence compares the heartbeat that the janitor counted with the one in the row.
    FenceComparesTheHeartbeat,
    /// The janitor's count begins anew in each epoch.
    CountAnewInEachEpoch,
    // The end of an identity.
    /// An identity retires only when no request holds any of its credits.
    RetireWithoutHolds,
    /// An identity sells nothing from the sending of its last word on.
    LastWordEndsSelling,
    /// A restart retires the identity of its journal and begins a new one.
    NewIdentityAfterRestart,
    /// An identity that was fenced or is retired cannot report.
    EndedReportsNothing,
    /// Charges beyond the lease are made only where credits are available; the rest is written down as unpaid.
    LateChargesNeedRoom,
    /// At an upgrade, the successor takes over what requests of the predecessor hold.
    HandOverHolds,
    /// The centre refuses requests of a process whose successor has written already.
    OnlyTheNewestIncarnation,
    // Failovers.
    /// A transaction that sees another timeline of the server begins a new epoch.
    EpochForEachTimeline,
    /// Epochs are told apart by a nonce as well, since two replicas can be promoted to the same timeline.
    NonceOfTheEpoch,
    /// No acquisition succeeds until all live identities have declared their counters, or have ended.
    ClosedUntilAllHaveDeclared,
    /// A join of an identity that has a row already counts as its declaration only in the epoch that it names.
    JoinInTheEpochThatItNames,
    /// Reports of an identity that has not declared its counters in this epoch are refused.
    DeclareBeforeReport,
    /// Declared counters are merged by maximum.
    DeclareByMaximum,
    /// An identity that has ended does not declare.
    TheEndedDoNotDeclare,
    /// In a new epoch, charges of an identity that has ended wait until all others have declared.
    LateChargesWaitForTheOpening,
    /// A new identity takes leases only when its row is older than the lag of a replica.
    NewIdentityWaitsForTheReplica,
}
