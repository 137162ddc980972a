//! The bounds of a world, and which faults it has.

use super::super::terms::{Rule, Rules, Terms};

/// How often something may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    pub ticks: u8,
    pub crashes: u8,
    pub disk_losses: u8,
    pub failovers: u8,
    /// Messages that are lost.
    pub losses: u8,
    pub hand_overs: u8,
    pub drains: u8,
}

/// A world to be explored.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub nodes: usize,
    /// Keys, of which each second one is a quota.
    pub keys: u32,
    /// Credits of each key.
    pub granted: u64,
    /// The most that an identity takes of a key.
    pub most_taken: u64,
    /// Identities that a node can have, one after the other.
    pub identities: u64,
    /// The most requests in flight of one node.
    pub holds: usize,
    pub budget: Budget,
    /// Messages of which a node has given up can still arrive.
    pub delays: bool,
    /// Charges reach the journal later than their answers the client.
    pub batch: bool,
    /// An answer promises that no failover loses its commit.
    pub synchronous: bool,
    /// What a failover returns to can be of any age: a backup.
    pub backup: bool,
    /// Nodes ask for credits also when there are none.
    pub asks_in_vain: bool,
    /// Nodes return credits although nobody asks them to.
    pub returns: bool,
    /// Nodes have joined a while ago.
    pub joined: bool,
    /// Their first requests to join, which they have given up, can still arrive.
    pub joins_late: bool,
    pub terms: Terms,
}

impl Setup {
    /// Two nodes that share two credits, without any fault. Times are so short that each rule about them is tight: a
    /// tick is the time to live, the longest request and the lag.
    pub const PLAIN: Setup = Setup {
        name: "plain",
        nodes: 2,
        keys: 1,
        granted: 2,
        most_taken: 2,
        identities: 1,
        holds: 1,
        budget: Budget { ticks: 0, crashes: 0, disk_losses: 0, failovers: 0, losses: 0, hand_overs: 0, drains: 0 },
        delays: false,
        batch: false,
        synchronous: false,
        backup: false,
        asks_in_vain: false,
        returns: false,
        joined: true,
        joins_late: false,
        terms: Terms {
            ttl: 1,
            longest_request: 1,
            margin: 0,
            clock_error_percent: 0,
            lag: 0,
            low_factor: 0,
            rules: Rules { broken: None },
        },
    };

    pub fn with(self, change: impl FnOnce(&mut Setup)) -> Setup {
        let mut setup = self;
        change(&mut setup);
        setup
    }

    pub fn without(self, rule: Rule) -> Setup {
        self.with(|setup| setup.terms.rules.broken = Some(rule))
    }
}
