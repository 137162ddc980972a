//! Turns, shares and refusals of a queue without time and threads, and random schedules.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn name(text: &str) -> Arc<str> {
    text.into()
}

fn weight(weight: u32) -> Weight {
    Weight::new(weight).unwrap()
}

/// A queue whose requests are known by what the caller calls them.
fn queue(limit: u32, max_queue: u32) -> FairQueue<&'static str> {
    FairQueue::new(limit, max_queue)
}

/// Lets a request in that has to wait, and turns nobody away for it.
fn wait(queue: &mut FairQueue<&'static str>, account: &str, weight_of: u32, waiter: &'static str) -> Ticket {
    match queue.enter(&name(account), weight(weight_of), Duration::ZERO, |_| waiter) {
        Entered::Waits(ticket, None) => ticket,
        other => panic!("{waiter}: {other:?}"),
    }
}

/// Takes seats for an account without waiting.
fn take(queue: &mut FairQueue<&'static str>, account: &str, count: usize) -> Vec<Charge> {
    let mut taken = Vec::new();
    for _ in 0..count {
        match queue.enter(&name(account), Weight::default(), Duration::ZERO, |_| "") {
            Entered::Seated(charge) => taken.push(charge),
            other => panic!("{account}: {other:?}"),
        }
    }
    taken
}

/// Who is seated one after the other, each leaving after as long as was guessed.
fn order(queue: &mut FairQueue<&'static str>, mut first: (&str, Charge)) -> Vec<&'static str> {
    let mut seen = Vec::new();
    let mut holder: Arc<str> = name(first.0);
    loop {
        queue.leave(&holder, first.1, Duration::from_micros(first.1.0));
        let Some(Seated { account, waiter, charge }) = queue.seat_next(Duration::ZERO) else { return seen };
        seen.push(waiter);
        (holder, first.1) = (account, charge);
    }
}

#[test]
fn accounts_take_turns_whatever_order_their_requests_came_in() {
    for (weights, expected) in [
        // The noisy one holds the seat, and has had its turn.
        ([1, 1, 1], ["b1", "c1", "a1", "a2", "a3", "a4"]),
        // Three times the weight: three turns for one.
        ([3, 1, 1], ["b1", "c1", "a1", "a2", "a3", "a4"]),
    ] {
        let mut queue = queue(1, 100);
        let [charge] = take(&mut queue, "a", 1)[..] else { panic!("one seat") };
        for waiter in ["a1", "a2", "a3", "a4"] {
            wait(&mut queue, "a", weights[0], waiter);
        }
        wait(&mut queue, "b", weights[1], "b1");
        wait(&mut queue, "c", weights[2], "c1");
        assert_eq!(order(&mut queue, ("a", charge)), expected, "{weights:?}");
        assert_eq!((queue.in_flight(), queue.waiting(), queue.accounts.len()), (0, 0, 0));
    }
}

#[test]
fn turns_are_in_proportion_to_weights() {
    let mut queue = queue(1, 100);
    let [charge] = take(&mut queue, "first", 1)[..] else { panic!("one seat") };
    for _ in 0..12 {
        wait(&mut queue, "a", 3, "a");
        wait(&mut queue, "b", 1, "b");
    }
    let order = order(&mut queue, ("first", charge));
    // As long as both have some, three in four are of the one with three times the weight.
    let of_a = order.iter().take(16).filter(|waiter| **waiter == "a").count();
    assert_eq!(of_a, 12, "{order:?}");
}

#[test]
fn who_was_idle_has_saved_nothing_up_and_owes_nothing_for_free_seats() {
    let mut queue = queue(4, 100);
    // Alone, an account can have all seats as long as it likes.
    for _ in 0..100 {
        for charge in take(&mut queue, "busy", 3) {
            queue.leave(&name("busy"), charge, 50 * MS);
        }
        take(&mut queue, "other", 1).into_iter().for_each(|charge| queue.leave(&name("other"), charge, MS));
    }
    let charges = take(&mut queue, "busy", 4);
    for _ in 0..10 {
        wait(&mut queue, "busy", 1, "busy");
        wait(&mut queue, "late", 1, "late");
    }
    let mut seen = Vec::new();
    for charge in charges {
        queue.leave(&name("busy"), charge, Duration::from_micros(charge.0));
        seen.push(queue.seat_next(Duration::ZERO).unwrap().waiter);
    }
    let late = seen.iter().filter(|waiter| **waiter == "late").count();
    assert!((2..=3).contains(&late), "{seen:?}");
}

#[test]
fn when_all_places_are_taken_the_newest_of_the_deepest_queue_is_turned_away() {
    let mut queue = queue(1, 4);
    take(&mut queue, "noisy", 1);
    for waiter in ["n1", "n2", "n3"] {
        wait(&mut queue, "noisy", 1, waiter);
    }
    wait(&mut queue, "heavy", 4, "h1");
    let mut enter = |account: &str, of: u32, waiter: &'static str| match queue.enter(
        &name(account),
        weight(of),
        Duration::ZERO,
        |_| waiter,
    ) {
        Entered::Waits(_, Some(TurnedAway { waiter, .. })) => Some(waiter),
        Entered::TurnedAway(_) => Some(waiter),
        other => panic!("{other:?}"),
    };
    for (account, of, waiter, turned_away) in [
        // Its own would be the deepest queue.
        ("noisy", 1, "n4", "n4"),
        ("quiet", 1, "q1", "n3"),
        ("other", 1, "o1", "n2"),
        // One each: the one that comes last is as deep as any.
        ("third", 1, "t1", "t1"),
        // Two at a weight of four are less than one at a weight of one. Of equals, the one with the last name.
        ("heavy", 4, "h2", "q1"),
        ("heavy", 4, "h3", "o1"),
        // Four at a weight of four are as much as one.
        ("heavy", 4, "h4", "h4"),
    ] {
        assert_eq!(enter(account, of, waiter), Some(turned_away), "{waiter}");
    }
    assert_eq!(queue.waiting(), 4);
}

#[test]
fn a_queue_says_when_it_has_drained_by_its_own_pace() {
    let mut queue = queue(1, 3000);
    let mut charge = take(&mut queue, "noisy", 1)[0];
    for _ in 0..2000 {
        wait(&mut queue, "noisy", 1, "n");
    }
    // Before anything is measured, a seat is thought to be held for 10 ms.
    let waits = |queue: &FairQueue<_>, account: &str, at| queue.retry_after(&name(account), at);
    assert_eq!(waits(&queue, "noisy", Duration::ZERO), Duration::from_secs(20));
    assert_eq!(waits(&queue, "nobody", Duration::ZERO), Duration::from_secs(1));
    // It is served ten times in a second.
    let mut at = Duration::ZERO;
    for _ in 0..1000 {
        at += 100 * MS;
        queue.leave(&name("noisy"), charge, 100 * MS);
        charge = queue.seat_next(at).unwrap().charge;
    }
    // 1000 are left, which is longer than anybody is told.
    assert_eq!(waits(&queue, "noisy", at), Duration::from_secs(60));
    for _ in 0..800 {
        at += 100 * MS;
        queue.leave(&name("noisy"), charge, 100 * MS);
        charge = queue.seat_next(at).unwrap().charge;
    }
    let told = waits(&queue, "noisy", at);
    assert!((19 * MS * 1000..21 * MS * 1000).contains(&told), "{told:?} for 200 at 10 a second");
}

#[test]
fn accounts_that_are_ahead_are_remembered_up_to_a_number() {
    let mut queue = queue(1_000_000, 1);
    let accounts: Vec<Arc<str>> = (0..2 * MAX_REMEMBERED).map(|number| name(&number.to_string())).collect();
    take(&mut queue, "first", 1);
    for account in &accounts {
        let Entered::Seated(charge) = queue.enter(account, Weight::default(), Duration::ZERO, |_| "") else {
            panic!("a free seat");
        };
        queue.leave(account, charge, MS);
    }
    assert_eq!((queue.accounts.len(), queue.remembered.len()), (MAX_REMEMBERED + 1, MAX_REMEMBERED));
}

/// One account of a simulation that always wants more: its weight, and how long its requests take.
type Greedy = (u32, u64);

/// The milliseconds for which each account held seats, out of so many seats, until a time.
fn simulate(accounts: &[Greedy], limit: u32, until: Duration) -> Vec<u64> {
    let mut queue: FairQueue<usize> = FairQueue::new(limit, 10_000);
    let names: Vec<Arc<str>> = (0..accounts.len()).map(|number| name(&number.to_string())).collect();
    let mut held = vec![0; accounts.len()];
    // What ends when, with the account and its charge.
    let mut ends = BinaryHeap::new();
    let mut charges = Vec::new();
    let begin = |number: usize, charge, now, ends: &mut BinaryHeap<_>, charges: &mut Vec<Charge>| {
        charges.push(charge);
        ends.push(Reverse((now + Duration::from_millis(accounts[number].1), number, charges.len() - 1)));
    };
    for number in 0..accounts.len() {
        for _ in 0..2 * limit {
            match queue.enter(&names[number], weight(accounts[number].0), Duration::ZERO, |_| number) {
                Entered::Seated(charge) => begin(number, charge, Duration::ZERO, &mut ends, &mut charges),
                Entered::Waits(..) => {}
                Entered::TurnedAway(_) => panic!("there is room"),
            }
        }
    }
    while let Some(Reverse((now, number, index))) = ends.pop() {
        if now > until {
            return held;
        }
        held[number] += accounts[number].1;
        queue.leave(&names[number], charges[index], Duration::from_millis(accounts[number].1));
        // It is asked for again at once.
        let again = queue.enter(&names[number], weight(accounts[number].0), now, |_| number);
        assert!(matches!(again, Entered::Waits(_, None)));
        while let Some(Seated { waiter, charge, .. }) = queue.seat_next(now) {
            begin(waiter, charge, now, &mut ends, &mut charges);
        }
        assert_eq!(queue.in_flight(), limit, "a seat is free while others wait");
    }
    held
}

#[test]
fn accounts_that_want_everything_share_the_time_of_the_seats_by_weight() {
    for accounts in [
        &[(1, 20), (1, 20)][..],
        &[(1, 20), (2, 20), (5, 20)],
        // However long each request takes.
        &[(1, 10), (1, 200)],
        &[(1, 7), (3, 50), (10, 120), (1, 300)],
        &[(100, 20), (1, 20), (1, 20)],
    ] {
        for limit in [1, 4, 16] {
            let held = simulate(accounts, limit, Duration::from_secs(240));
            let all: u64 = held.iter().sum();
            let weights: u32 = accounts.iter().map(|(weight, _)| weight).sum();
            for ((weight, _), held) in accounts.iter().zip(&held) {
                let (share, due) = (*held as f64 / all as f64, f64::from(*weight) / f64::from(weights));
                assert!((share / due - 1.0).abs() < 0.05, "{accounts:?}, {limit}: {held} of {all}, due {due}");
            }
        }
    }
}

/// A step of a schedule; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Enter(u8),
    Leave(u16, u8),
    Cancel(u16),
    Limit(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        // Account 0 is noisy.
        4 => Just(Step::Enter(0)),
        4 => (0_u8..8).prop_map(Step::Enter),
        6 => (any::<u16>(), any::<u8>()).prop_map(|(which, held)| Step::Leave(which, held)),
        1 => any::<u16>().prop_map(Step::Cancel),
        1 => (1_u32..8).prop_map(Step::Limit),
    ];
    proptest::collection::vec(step, 1..400)
}

/// A schedule, and what has to hold at every step of it.
struct Schedule {
    queue: FairQueue<u8>,
    names: Vec<Arc<str>>,
    now: Duration,
    seats: Vec<(u8, Charge)>,
    waiting: Vec<(u8, Ticket)>,
}

const MAX_WAITING: u32 = 12;

impl Schedule {
    fn new() -> Schedule {
        let names = (0..8).map(|number| name(&number.to_string())).collect();
        let queue = FairQueue::new(3, MAX_WAITING);
        Schedule { queue, names, now: Duration::ZERO, seats: Vec::new(), waiting: Vec::new() }
    }

    fn weight(account: u8) -> u32 {
        [1, 1, 1, 2, 2, 5, 10, 100][usize::from(account)]
    }

    /// How many requests of an account wait, relative to its weight.
    fn depth(&self, account: u8, more: usize) -> f64 {
        let waiting = self.waiting.iter().filter(|(of, _)| *of == account).count() + more;
        waiting as f64 / f64::from(Schedule::weight(account))
    }

    /// Nobody had more by its weight than the one that was turned away.
    fn assert_deepest(&self, turned_away: u8, newcomer: u8) {
        let depth = |account: u8| self.depth(account, usize::from(account == newcomer));
        for other in 0..8 {
            assert!(depth(turned_away) >= depth(other), "{turned_away} for {other}");
        }
    }

    fn enter(&mut self, account: u8) {
        let name = Arc::clone(&self.names[usize::from(account)]);
        let had_room = self.queue.in_flight() < self.queue.limit();
        match self.queue.enter(&name, weight(Schedule::weight(account)), self.now, |_| account) {
            Entered::Seated(charge) => {
                assert!(had_room);
                self.seats.push((account, charge));
            }
            Entered::Waits(ticket, turned_away) => {
                assert!(!had_room);
                if let Some(TurnedAway { waiter, .. }) = turned_away {
                    assert_ne!(waiter, account);
                    self.assert_deepest(waiter, account);
                    let newest = self.waiting.iter().rposition(|(of, _)| *of == waiter).unwrap();
                    self.waiting.remove(newest);
                }
                self.waiting.push((account, ticket));
            }
            Entered::TurnedAway(retry_after) => {
                assert!(!had_room && self.waiting.len() >= 12);
                assert!((SHORTEST_RETRY..=LONGEST_RETRY).contains(&retry_after));
                self.assert_deepest(account, account);
            }
        }
    }

    fn seat_all(&mut self) {
        while let Some(Seated { account, waiter, charge }) = self.queue.seat_next(self.now) {
            assert_eq!(account, self.names[usize::from(waiter)]);
            // Of one account, the oldest is first.
            let oldest = self.waiting.iter().position(|(of, _)| *of == waiter).unwrap();
            self.waiting.remove(oldest);
            self.seats.push((waiter, charge));
            assert!(self.queue.in_flight() <= self.queue.limit());
        }
    }

    fn run(&mut self, step: &Step) {
        self.now += MS;
        match *step {
            Step::Enter(account) => self.enter(account),
            Step::Leave(which, held) if !self.seats.is_empty() => {
                let (account, charge) = self.seats.swap_remove(usize::from(which) % self.seats.len());
                let name = Arc::clone(&self.names[usize::from(account)]);
                self.queue.leave(&name, charge, u32::from(held) * MS);
            }
            Step::Cancel(which) if !self.waiting.is_empty() => {
                let (account, ticket) = self.waiting.remove(usize::from(which) % self.waiting.len());
                let name = Arc::clone(&self.names[usize::from(account)]);
                assert_eq!(self.queue.cancel(&name, ticket, self.now).unwrap().waiter, account);
                assert!(self.queue.cancel(&name, ticket, self.now).is_none());
            }
            Step::Limit(limit) => self.queue.set_limit(limit),
            Step::Leave(..) | Step::Cancel(_) => {}
        }
        self.seat_all();
        self.assert_books();
    }

    fn assert_books(&self) {
        let queue = &self.queue;
        assert_eq!(queue.in_flight() as usize, self.seats.len());
        assert_eq!(queue.waiting(), self.waiting.len());
        assert!(queue.waiting() <= MAX_WAITING as usize);
        assert!(queue.waiting() == 0 || queue.in_flight() >= queue.limit(), "a seat is free while others wait");
        let waits: u64 =
            queue.accounts.values().filter(|known| !known.queue.is_empty()).map(|known| known.weight).sum();
        assert_eq!(queue.waiting_weight, waits);
        let with_queue = queue.accounts.values().filter(|known| !known.queue.is_empty()).count();
        assert_eq!((queue.turns.len(), queue.depths.len()), (with_queue, with_queue));
        let idle = queue.accounts.values().filter(|known| known.is_idle()).count();
        assert_eq!(queue.remembered.len(), idle);
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_books_are_right_and_nobody_is_turned_away_for_another_with_more(steps in steps()) {
        let mut schedule = Schedule::new();
        steps.iter().for_each(|step| schedule.run(step));
        // Nobody is forgotten: all that wait get their seats once others leave.
        while !schedule.seats.is_empty() {
            schedule.run(&Step::Leave(0, 10));
        }
        prop_assert!(schedule.waiting.is_empty());
        prop_assert!(schedule.queue.accounts.is_empty());
    }
}
