//! Single transactions of the centre, where the model has amounts of one credit only.

use super::super::message::{Acquired, Answer, Ask, Body, Counters, Epoch, Identity, Key, NodeId, Outcome, Refusal};
use super::super::message::{Fence, Request};
use super::super::terms::Terms;
use super::{Balance, Centre, RowState};

const CREDITS: Key = Key { owner: 1, period: 0 };
const QUOTA: Key = Key { owner: 2, period: 20_260 };

/// A centre with so many credits, and nodes that have joined.
fn centre(granted: u64, nodes: u64) -> Centre {
    let mut centre = Centre::default();
    centre.grant(CREDITS, granted);
    for id in 0..nodes {
        let result = serve(&mut centre, id, Body::Join);
        assert!(matches!(result, Ok(Outcome::Joined(_))), "{result:?}");
    }
    centre
}

fn serve_in(centre: &mut Centre, id: u64, epoch: Epoch, body: Body) -> Result<Outcome, Refusal> {
    let identity = Identity { id: NodeId(id), incarnation: 0 };
    let request = Request { identity, epoch, number: 7, body };
    let Answer { to, number, result } = centre.serve(&request, 99, &Terms::default());
    assert_eq!((to, number), (NodeId(id), 7));
    result
}

fn serve(centre: &mut Centre, id: u64, body: Body) -> Result<Outcome, Refusal> {
    let epoch = centre.cluster.epoch;
    serve_in(centre, id, epoch, body)
}

fn acquire(centre: &mut Centre, id: u64, key: Key, want: u64, floor: u64) -> Acquired {
    match serve(centre, id, Body::Acquire(vec![Ask { key, want, floor, again: false }])) {
        Ok(Outcome::Acquired(acquired)) => acquired[0],
        other => panic!("{other:?}"),
    }
}

fn report(centre: &mut Centre, id: u64, key: Key, counters: (u64, u64, u64), answered: &[Key]) -> Counters {
    let (taken, returned, spent) = counters;
    let leases = vec![(key, Counters { taken, returned, spent })];
    match serve(centre, id, Body::Report { draining: false, leases, answered: answered.to_vec(), all: false }) {
        Ok(Outcome::Reported(rows)) => rows[0].1,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_acquisition_gets_at_most_half_and_at_least_its_floor() {
    for (available, want, floor, got) in [
        (100, 10, 1, 10),
        (100, 80, 1, 50),
        (100, 80, 60, 60),
        (100, 5, 20, 20),
        (1, 1, 1, 1),
        (9, 100, 10, 0),
        (0, 1, 1, 0),
    ] {
        let mut centre = centre(available, 1);
        let acquired = acquire(&mut centre, 0, CREDITS, want, floor);
        let expected = (got, got, available - got);
        let case = format!("{want} wanted, at least {floor}, of {available}");
        assert_eq!((acquired.got, acquired.taken, acquired.available), expected, "{case}");
        assert_eq!(centre.balances.get(CREDITS).unwrap().allotted, got, "{case}");
    }
}

#[test]
fn too_little_recalls_what_others_hold_until_they_have_answered() {
    let mut centre = centre(10, 3);
    assert_eq!(acquire(&mut centre, 0, CREDITS, 9, 9).got, 9);
    assert_eq!(acquire(&mut centre, 1, CREDITS, 1, 1).got, 1);
    // Two others hold some.
    assert_eq!(acquire(&mut centre, 2, CREDITS, 5, 5).recalled, 2);
    assert_eq!(centre.recalled(NodeId(0)).collect::<Vec<_>>(), [CREDITS]);
    report(&mut centre, 0, CREDITS, (9, 6, 0), &[CREDITS]);
    let again = Ask { key: CREDITS, want: 5, floor: 7, again: true };
    let answer = serve(&mut centre, 2, Body::Acquire(vec![again]));
    assert!(matches!(&answer, Ok(Outcome::Acquired(all)) if all[0].got == 0 && all[0].recalled == 1), "{answer:?}");
    assert_eq!(acquire(&mut centre, 2, CREDITS, 5, 5).got, 5);
}

#[test]
fn a_total_that_arrives_twice_or_late_changes_nothing() {
    let mut centre = centre(10, 1);
    acquire(&mut centre, 0, CREDITS, 5, 5);
    for (counters, expected) in
        [((5, 0, 2), (0, 2, 5)), ((5, 1, 3), (1, 3, 4)), ((5, 0, 2), (1, 3, 4)), ((5, 1, 3), (1, 3, 4))]
    {
        let row = report(&mut centre, 0, CREDITS, counters, &[]);
        let allotted = centre.balances.get(CREDITS).unwrap().allotted;
        assert_eq!((row.returned, row.spent, allotted), expected, "{counters:?}");
    }
    assert_eq!(centre.nodes.get(NodeId(0)).unwrap().beat, 4);
}

#[test]
fn a_failover_closes_the_epoch_until_all_have_declared_or_ended() {
    let mut centre = centre(10, 3);
    acquire(&mut centre, 0, CREDITS, 4, 4);
    let old = centre.cluster.epoch;
    centre.server_timeline = 2;
    let new = Epoch { number: 2, nonce: 99 };
    assert_eq!(serve_in(&mut centre, 0, old, Body::Join), Err(Refusal::Epoch(new)));
    // A fence or a request of the old epoch changes nothing.
    let fence = Fence { id: NodeId(1), beat: 0, epoch: old };
    assert!(!centre.fence(&fence, 100, &Terms::default()));
    let counters = Counters { taken: 6, returned: 1, spent: 2 };
    assert_eq!(serve_in(&mut centre, 0, old, Body::Declare(vec![(CREDITS, counters)])), Err(Refusal::Epoch(new)));
    let declared = serve(&mut centre, 0, Body::Declare(vec![(CREDITS, counters)]));
    assert_eq!(declared, Ok(Outcome::Declared(vec![(CREDITS, counters)])));
    assert_eq!(centre.balances.get(CREDITS), Some(&Balance { granted: 10, allotted: 5, deficit: 0 }));
    let ask = || Body::Acquire(vec![Ask { key: CREDITS, want: 1, floor: 1, again: false }]);
    assert_eq!(serve(&mut centre, 0, ask()), Err(Refusal::Closed));
    assert_eq!(serve(&mut centre, 1, Body::Declare(Vec::new())), Ok(Outcome::Declared(Vec::new())));
    assert_eq!(serve(&mut centre, 0, ask()), Err(Refusal::Closed));
    assert!(centre.fence(&Fence { id: NodeId(2), beat: 0, epoch: new }, 100, &Terms::default()));
    assert!(serve(&mut centre, 0, ask()).is_ok());
}

#[test]
fn the_end_of_an_identity_charges_what_fits_and_releases_the_rest() {
    let mut centre = centre(10, 2);
    acquire(&mut centre, 0, CREDITS, 5, 5);
    let last = |spent| vec![(CREDITS, Counters { taken: 5, returned: 0, spent })];
    assert_eq!(serve(&mut centre, 0, Body::Retire(last(3))), Ok(Outcome::Ended { settled: true }));
    assert_eq!(centre.balances.get(CREDITS).unwrap().allotted, 3);
    assert_eq!(centre.nodes.get(NodeId(0)).unwrap().state, RowState::Retired);
    // A fenced identity: two of its five late charges find no room.
    acquire(&mut centre, 1, CREDITS, 5, 5);
    let fence = Fence { id: NodeId(1), beat: 0, epoch: centre.cluster.epoch };
    assert!(centre.fence(&fence, 1, &Terms::default()));
    serve(&mut centre, 2, Body::Join).unwrap();
    assert_eq!(acquire(&mut centre, 2, CREDITS, 4, 4).got, 4);
    for _ in 0..2 {
        assert_eq!(serve(&mut centre, 1, Body::Late(last(5))), Ok(Outcome::Ended { settled: true }));
        assert_eq!(centre.leases.get((CREDITS, NodeId(1))), Some(&Counters { taken: 8, returned: 5, spent: 3 }));
        assert_eq!(centre.unpaid.get((CREDITS, NodeId(1))), Some(&2));
    }
    let report = Body::Report { draining: false, leases: Vec::new(), answered: Vec::new(), all: false };
    assert_eq!(serve(&mut centre, 1, report), Err(Refusal::Ended));
}

#[test]
fn an_old_backup_is_healed_by_declarations_and_its_excess_is_a_deficit() {
    let mut backup = centre(10, 1);
    acquire(&mut backup, 0, CREDITS, 8, 8);
    backup.server_timeline = 2;
    serve(&mut backup, 0, Body::Join).unwrap_err();
    let spent = Counters { taken: 8, returned: 0, spent: 8 };
    serve(&mut backup, 0, Body::Declare(vec![(CREDITS, spent)])).unwrap();
    // An identity that joined after the backup, with credits that were granted after it.
    let unknown = Counters { taken: 6, returned: 0, spent: 1 };
    serve(&mut backup, 5, Body::Declare(vec![(CREDITS, unknown)])).unwrap();
    assert_eq!(backup.balances.get(CREDITS), Some(&Balance { granted: 10, allotted: 14, deficit: 4 }));
    assert_eq!(acquire(&mut backup, 0, CREDITS, 1, 1).got, 0);
    // The operator grants again what the backup did not have.
    backup.grant(CREDITS, 6);
    assert_eq!(backup.balances.get(CREDITS), Some(&Balance { granted: 16, allotted: 14, deficit: 0 }));
}

#[test]
fn a_quota_is_leased_like_credits_and_ends_with_its_period() {
    let mut centre = centre(10, 2);
    centre.set_limit(QUOTA, 100);
    assert_eq!(acquire(&mut centre, 0, QUOTA, 80, 1).got, 50);
    // A lower limit takes effect where nothing is leased yet.
    centre.set_limit(QUOTA, 60);
    assert_eq!(acquire(&mut centre, 1, QUOTA, 80, 1).got, 5);
    centre.close_period(QUOTA);
    assert_eq!(acquire(&mut centre, 1, QUOTA, 1, 1).got, 0);
    assert!(centre.leases.is_empty() && centre.recalls.is_empty());
    // A report that is late.
    let leases = vec![(QUOTA, Counters { taken: 50, returned: 3, spent: 7 })];
    let late = serve(&mut centre, 0, Body::Report { draining: false, leases, answered: Vec::new(), all: false });
    assert_eq!(late, Ok(Outcome::Reported(Vec::new())));
    assert_eq!(centre.balances.get(QUOTA), None);
}
