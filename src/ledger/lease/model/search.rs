//! Breadth-first through every state of a world, so that what is found is found on a shortest way.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::action::Action;
use super::check::Wrong;
use super::setup::Setup;
use super::world::World;

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    pub threads: usize,
    pub most_states: usize,
    /// One state of so many is healed; zero heals none.
    pub heal_one_of: u64,
}

/// What a search has seen.
#[derive(Debug)]
pub struct Explored {
    pub states: usize,
    /// The most events from the beginning.
    pub depth: usize,
    /// Whether all states within the bounds were seen.
    pub complete: bool,
    pub healed: usize,
    pub found: Option<Found>,
}

/// A state that must not be, and a shortest way to it.
#[derive(Debug)]
pub struct Found {
    pub wrong: Wrong,
    pub figures: String,
    pub path: Vec<Action>,
}

/// Digests are mixed already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type Seen = HashSet<u64, BuildHasherDefault<AsIs>>;

/// How a state was reached: from which, and by which of its actions.
#[derive(Clone, Copy)]
struct Step {
    parent: u32,
    action: u16,
}

/// A state that is to be looked at.
struct Open {
    index: u32,
    world: World,
}

/// What one thread makes of its share.
#[derive(Default)]
struct Share {
    next: Vec<(u64, Step, World)>,
    healed: usize,
    found: Option<(u32, Wrong, String)>,
}

/// States that are looked at before their successors are put together.
const BATCH: usize = 8_192;

/// Looks at all states within reach.
pub fn explore(setup: &Setup, reach: Reach) -> Explored {
    let world = World::new(setup);
    let mut seen = Seen::default();
    seen.insert(world.digest(setup));
    let mut steps = vec![Step { parent: 0, action: 0 }];
    let mut frontier = vec![Open { index: 0, world }];
    let (mut depth, mut healed) = (0, 0);
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for batch in frontier.chunks(BATCH) {
            for share in shares(batch, setup, reach, &seen) {
                healed += share.healed;
                if let Some((index, wrong, figures)) = share.found {
                    let path = path(setup, &steps, index);
                    let found = Some(Found { wrong, figures, path });
                    return Explored { states: steps.len(), depth, complete: false, healed, found };
                }
                for (digest, step, world) in share.next {
                    if seen.insert(digest) {
                        next.push(Open { index: u32::try_from(steps.len()).unwrap(), world });
                        steps.push(step);
                    }
                }
            }
            if steps.len() > reach.most_states {
                return Explored { states: steps.len(), depth, complete: false, healed, found: None };
            }
        }
        frontier = next;
        depth += usize::from(!frontier.is_empty());
    }
    Explored { states: steps.len(), depth, complete: true, healed, found: None }
}

/// The successors of some states, by several threads.
fn shares(batch: &[Open], setup: &Setup, reach: Reach, seen: &Seen) -> Vec<Share> {
    if reach.threads < 2 || batch.len() < 64 {
        return vec![share(batch, setup, reach, seen)];
    }
    std::thread::scope(|scope| {
        let parts = batch.chunks(batch.len().div_ceil(reach.threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || share(part, setup, reach, seen))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn share(part: &[Open], setup: &Setup, reach: Reach, seen: &Seen) -> Share {
    let mut share = Share::default();
    for Open { index, world } in part {
        let heals = reach.heal_one_of > 0 && world.digest(setup).is_multiple_of(reach.heal_one_of);
        share.healed += usize::from(heals);
        let wrong = world.wrong(setup).or_else(|| heals.then(|| world.heal(setup)).flatten());
        if let Some((wrong, figures)) = wrong {
            share.found = Some((*index, wrong, figures));
            return share;
        }
        for (number, action) in world.actions(setup).into_iter().enumerate() {
            let mut next = world.clone();
            next.apply(action, setup);
            let digest = next.digest(setup);
            if !seen.contains(&digest) {
                let step = Step { parent: *index, action: u16::try_from(number).unwrap() };
                share.next.push((digest, step, next));
            }
        }
    }
    share
}

/// The actions that lead to a state.
fn path(setup: &Setup, steps: &[Step], index: u32) -> Vec<Action> {
    let mut numbers = Vec::new();
    let mut at = index as usize;
    while at != 0 {
        numbers.push(steps[at].action);
        at = steps[at].parent as usize;
    }
    let mut world = World::new(setup);
    let mut actions = Vec::new();
    for number in numbers.into_iter().rev() {
        let action = world.actions(setup)[usize::from(number)];
        world.apply(action, setup);
        actions.push(action);
    }
    actions
}
