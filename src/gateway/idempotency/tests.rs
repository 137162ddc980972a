//! Requests with one key: who leads, who waits, and who pays.

use std::pin::pin;

use futures_util::FutureExt;

use super::kept_answer::sample;
use super::*;

const KEEP: Duration = Duration::from_secs(60);

fn rule(answers: usize, answer_bytes: usize) -> IdempotencyRule {
    let limits = AnswerLimits { answers, bytes: 1 << 20, answer_bytes };
    IdempotencyRule { header: "Idempotency-Key".into(), is_ruled: false, keep: KEEP, limits }
}

fn request(key: u8, request: u8) -> KeyedRequest {
    KeyedRequest { key: Fingerprint::from_bytes([key; 32]), request: Fingerprint::from_bytes([request; 32]) }
}

fn owner() -> Owner {
    Owner { account: "acme".into(), product: "vat".into() }
}

fn answers() -> KeptAnswers {
    KeptAnswers::new(Secret::from_bytes(b"secret"), true)
}

/// How a request goes on that need not wait.
fn enter(answers: &KeptAnswers, wanted: KeyedRequest, now: u64) -> Result<Entered<'_>, Problem> {
    let entered = answers.enter(wanted, move || Duration::from_secs(now), || panic!("it waits"));
    entered.now_or_never().expect("it need not wait")
}

fn first(answers: &KeptAnswers, wanted: KeyedRequest, now: u64) -> Lead<'_> {
    match enter(answers, wanted, now) {
        Ok(Entered::First(lead)) => lead,
        Ok(Entered::Paid(_) | Entered::Due(..)) | Err(_) => panic!("another one was first"),
    }
}

fn keep<'k>(lead: Lead<'k>, body: &[u8], due: u32, now: u64) -> Option<Lead<'k>> {
    lead.keep(sample(body), due, owner(), (&rule(10, 1000), usize::MAX), Duration::from_secs(now))
}

/// The body and the price of the answer that a request gets.
fn got(entered: Result<Entered<'_>, Problem>) -> Option<(Vec<u8>, u32)> {
    match entered.unwrap() {
        Entered::Paid(answer) => Some((answer.body.to_vec(), 0)),
        Entered::Due(answer, due, _) => Some((answer.body.to_vec(), due)),
        Entered::First(_) => None,
    }
}

#[test]
fn an_answer_is_paid_once_and_then_costs_nothing_until_its_end() {
    let answers = answers();
    let lead = keep(first(&answers, request(1, 1), 0), b"one", 3, 0).unwrap();
    lead.paid();
    for now in [0, 59] {
        assert_eq!(got(enter(&answers, request(1, 1), now)), Some((b"one".to_vec(), 0)));
    }
    assert_eq!(enter(&answers, request(1, 2), 59).err(), Some(REUSED));
    assert_eq!(got(enter(&answers, request(2, 2), 59)), None, "another key");
    assert_eq!(got(enter(&answers, request(1, 2), 60)), None, "after its end the key is a new one");
    assert!(answers.state().queues.is_empty(), "nobody is under way");
}

#[test]
fn what_was_not_delivered_is_paid_by_whoever_gets_it() {
    let answers = answers();
    drop(keep(first(&answers, request(1, 1), 0), b"one", 3, 0));
    for _ in 0..3 {
        // It is told what it costs, and is not delivered either.
        assert_eq!(got(enter(&answers, request(1, 1), 1)), Some((b"one".to_vec(), 3)));
    }
    assert!(answers.take_changes(10, Duration::ZERO).is_empty(), "it is not written before it was paid");
    let Ok(Entered::Due(_, 3, lead)) = enter(&answers, request(1, 1), 2) else { panic!("it is due") };
    lead.paid();
    assert_eq!(got(enter(&answers, request(1, 1), 3)), Some((b"one".to_vec(), 0)));
    assert!(matches!(answers.take_changes(10, Duration::ZERO)[..], [Change::Put(_, Entry { due: 0, .. })]));
}

#[test]
fn others_wait_one_at_a_time_until_one_has_an_answer() {
    let answers = answers();
    let waited = std::cell::Cell::new(0);
    let now = || Duration::ZERO;
    let waits = || waited.set(waited.get() + 1);
    let lead = first(&answers, request(1, 1), 0);
    let mut second = pin!(answers.enter(request(1, 1), now, waits));
    let mut third = pin!(answers.enter(request(1, 1), now, waits));
    assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
    assert_eq!((waited.get(), answers.figures.waited.get()), (2, 2));
    assert_eq!(enter(&answers, request(1, 2), 0).err(), Some(REUSED), "another request need not wait to be refused");
    // The first one is refused: the second goes on as it did, and the third waits on.
    drop(lead);
    let Some(Ok(Entered::First(lead))) = second.now_or_never() else { panic!("the second has its turn") };
    assert!(third.as_mut().now_or_never().is_none());
    let lead = keep(lead, b"one", 3, 0).unwrap();
    assert!(third.as_mut().now_or_never().is_none(), "not before it was delivered");
    lead.paid();
    assert_eq!(got(third.now_or_never().unwrap()), Some((b"one".to_vec(), 0)));
    assert!(answers.state().queues.is_empty());
}

#[test]
fn whoever_gives_up_waiting_leaves_the_queue() {
    let answers = answers();
    let lead = first(&answers, request(1, 1), 0);
    for _ in 0..3 {
        let mut waiting = Box::pin(answers.enter(request(1, 1), || Duration::ZERO, || {}));
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    assert_eq!(answers.state().queues[&request(1, 1).key].requests, 1);
    drop(lead);
    assert!(answers.state().queues.is_empty());
    drop(first(&answers, request(1, 2), 0));
}

#[test]
fn what_costs_nothing_is_there_for_others_at_once() {
    let answers = answers();
    let lead = first(&answers, request(1, 1), 0);
    let mut second = pin!(answers.enter(request(1, 1), || Duration::ZERO, || {}));
    assert!(second.as_mut().now_or_never().is_none());
    assert!(keep(lead, b"free", 0, 0).is_none());
    assert_eq!(got(second.now_or_never().unwrap()), Some((b"free".to_vec(), 0)));
    assert!(matches!(answers.take_changes(10, Duration::ZERO)[..], [Change::Put(..)]));
}

#[test]
fn a_large_answer_is_not_kept() {
    let answers = answers();
    assert!(keep(first(&answers, request(1, 1), 0), &[0; 1001], 3, 0).is_none());
    assert_eq!((answers.size(Duration::ZERO), answers.figures.too_large.get()), ((0, 0), 1));
    assert_eq!(got(enter(&answers, request(1, 1), 0)), None);
}

#[test]
fn what_goes_before_its_time_goes_from_the_store_as_well() {
    let answers = answers();
    let of_three = rule(3, 1000);
    for key in 0..5 {
        let lead = first(&answers, request(key, 1), 0);
        let now = Duration::from_secs(u64::from(key));
        assert!(lead.keep(sample(b"x"), 0, owner(), (&of_three, usize::MAX), now).is_none());
    }
    assert_eq!((answers.size(Duration::ZERO).0, answers.figures.dropped_of_account.get()), (3, 2));
    let mut changes: Vec<(u8, bool)> = answers
        .take_changes(10, Duration::ZERO)
        .iter()
        .map(|change| match change {
            Change::Put(key, _) => (key.bytes()[0], true),
            Change::Removed(key) => (key.bytes()[0], false),
        })
        .collect();
    changes.sort_unstable();
    assert_eq!(changes, [(0, false), (1, false), (2, true), (3, true), (4, true)]);
    // Those that cannot be written are noted again.
    answers.return_changes(&[Change::Removed(request(9, 1).key)]);
    assert!(matches!(answers.take_changes(10, Duration::ZERO)[..], [Change::Removed(_)]));
    assert!(answers.take_changes(10, Duration::ZERO).is_empty());
    // What has ended is removed from the store by its time.
    assert_eq!(answers.size(Duration::from_secs(1000)), (0, 0));
    assert!(answers.take_changes(10, Duration::from_secs(1000)).is_empty());
}

#[test]
fn what_another_process_has_written_is_known_and_not_written_again() {
    let answers = answers();
    let entry = Entry {
        owner: owner(),
        request: request(1, 1).request,
        answer: Arc::new(sample(b"theirs")),
        due: 0,
        ends: Duration::from_secs(60),
    };
    answers.learn(request(1, 1).key, entry, rule(3, 1000).limits, usize::MAX, Duration::ZERO);
    assert_eq!(got(enter(&answers, request(1, 1), 0)), Some((b"theirs".to_vec(), 0)));
    assert_eq!(enter(&answers, request(1, 2), 0).err(), Some(REUSED));
    assert!(answers.take_changes(10, Duration::ZERO).is_empty());
}

/// Ten thousand keys of one account are kept within its limits, and of a thousand accounts within the limit of all.
#[test]
fn many_keys_need_no_more_memory_than_there_is_for_them() {
    let answers = answers();
    let limits = rule(1000, 1000);
    let most = 1 << 21;
    for number in 0..20_000_u32 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let wanted = KeyedRequest { key: Fingerprint::from_bytes(bytes), request: Fingerprint::from_bytes(bytes) };
        let account = if number < 10_000 { "acme".to_owned() } else { format!("account-{}", number % 1000) };
        let owner = Owner { account: account.into(), product: "vat".into() };
        let now = Duration::from_millis(u64::from(number));
        let lead = first(&answers, wanted, 0);
        assert!(lead.keep(sample(&[0; 100]), 0, owner, (&limits, most), now).is_none());
        let (count, bytes) = answers.size(Duration::ZERO);
        assert!(bytes <= most && (number >= 10_000 || count <= 1000), "{count} answers of {bytes} bytes");
    }
    assert_eq!(answers.figures.dropped_of_account.get(), 9000);
    assert!(answers.figures.dropped_of_all.get() > 0 && answers.state().queues.is_empty());
}
