//! Pools without a network: admission, refusals, and what survives a change of the configuration.

use super::servers::ServerState;
use super::*;
use crate::upstream::settings::{self as policy, AddedHeaders, BreakerRule, EjectionRule};

fn upstream(name: &str, servers: &[&str]) -> Upstream {
    let server = |text: &&str| policy::Server::at(Address::parse(text).unwrap());
    Upstream {
        name: name.into(),
        servers: servers.iter().map(server).collect(),
        resolve_every: Duration::from_secs(30),
        host: "lookup.internal".into(),
        tls: None,
        connect_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(60),
        slow_after: Duration::from_secs(5),
        added: AddedHeaders::default(),
        health: None,
        ejection: EjectionRule { failures: 1, time: Duration::from_secs(3600) },
        breaker: BreakerRule::NEVER,
        concurrency_limit: None,
    }
}

fn running(upstreams: &[Upstream]) -> Upstreams<SocketAddr> {
    Upstreams::new(upstreams, |_, address, _| address)
}

const SOME: Problem = Problem::new(Row::UpstreamFailed, "some problem");

fn standing(pool: &Pool<SocketAddr>) -> Vec<(String, ServerState)> {
    let now = pool.clock.now();
    pool.roster
        .load()
        .servers()
        .iter()
        .map(|server| (server.address.to_string(), server.standing(Asker::NOBODY, now)))
        .collect()
}

#[test]
fn a_name_without_addresses_is_unavailable_until_it_has_some() {
    let upstreams = running(&[upstream("u", &["lookup.internal:80"])]);
    let pool = upstreams.pool(0).unwrap();
    let problem = pool.enter(Asker::NOBODY).unwrap().next_server().map(|server| server.address).unwrap_err();
    assert_eq!((problem.row, problem.hint), (Row::UpstreamUnavailable, Hint::RetryAfter(1)));
    assert_eq!(upstreams.as_json()["upstreams"][0]["servers"][0]["state"], "unresolved");
    let address = |last| SocketAddr::from(([10, 0, 0, last], 80));
    assert!(pool.resolve(0, [address(1), address(2)].into()));
    assert!(!pool.resolve(0, [address(1), address(2)].into()), "nothing new");
    assert_eq!(pool.enter(Asker::NOBODY).unwrap().next_server().unwrap().peer, address(1));
    // The second server is ejected, and stays ejected when the first one is removed.
    let mut passage = pool.enter(Asker::NOBODY).unwrap();
    assert_eq!(passage.next_server().unwrap().peer, address(2));
    passage.unreachable(SOME);
    drop(passage);
    assert!(pool.resolve(0, [address(2), address(3)].into()));
    let [two, three] = &standing(pool)[..] else { panic!("two servers") };
    assert_eq!(
        (two, three),
        (&("10.0.0.2:80".into(), ServerState::Ejected), &("10.0.0.3:80".into(), ServerState::Healthy))
    );
}

#[test]
fn an_address_of_two_servers_is_one() {
    let upstreams = running(&[upstream("u", &["a.internal:80", "10.0.0.1:80"])]);
    let pool = upstreams.pool(0).unwrap();
    let addresses = [1, 2].map(|last| SocketAddr::from(([10, 0, 0, last], 80)));
    pool.resolve(0, addresses.into());
    assert_eq!(standing(pool).len(), 2);
}

#[test]
fn what_stays_keeps_its_state_when_the_configuration_changes() {
    let breaker = BreakerRule { failures: 1, open_for: Duration::from_secs(3600), ..BreakerRule::NEVER };
    let with_breaker = Upstream { breaker, ..upstream("b", &["10.0.0.1:80"]) };
    let named = upstream("n", &["lookup.internal:80"]);
    let before = running(&[upstream("a", &["10.0.0.1:80", "10.0.0.2:80"]), with_breaker.clone(), named.clone()]);
    before.pool(2).unwrap().resolve(0, [SocketAddr::from(([10, 0, 0, 9], 80))].into());
    for index in [0, 1] {
        let mut passage = before.pool(index).unwrap().enter(Asker::NOBODY).unwrap();
        passage.next_server().unwrap();
        passage.unreachable(SOME);
    }
    assert!(before.pool(1).unwrap().enter(Asker::NOBODY).is_err(), "the breaker is open");
    let in_flight = before.pool(0).unwrap().enter(Asker::NOBODY).map(|mut passage| {
        passage.next_server().unwrap();
        passage
    });

    let a = upstream("a", &["10.0.0.3:80", "10.0.0.2:80", "10.0.0.1:80"]);
    let after = before.renewed(&[named, a, with_breaker.clone()]);
    let standings = standing(after.pool(1).unwrap());
    let [(_, three), (_, two), (_, one)] = &standings[..] else { panic!("three servers") };
    assert_eq!((one, two, three), (&ServerState::Ejected, &ServerState::Healthy, &ServerState::Healthy));
    assert_eq!(after.pool(1).unwrap().roster.load().servers()[1].in_flight(), 1, "its request goes on");
    drop(in_flight);
    assert_eq!(after.pool(1).unwrap().roster.load().servers()[1].in_flight(), 0);
    assert!(after.pool(2).unwrap().enter(Asker::NOBODY).is_err(), "the breaker is still open");
    assert_eq!(standing(after.pool(0).unwrap()).len(), 1, "the name keeps its addresses");
    // A changed rule makes a new breaker, and a changed name a new upstream.
    let other = Upstream { breaker: BreakerRule::NEVER, ..with_breaker };
    assert!(before.renewed(std::slice::from_ref(&other)).pool(0).unwrap().enter(Asker::NOBODY).is_ok());
    let renamed = Upstream { name: "c".into(), ..upstream("a", &["10.0.0.1:80"]) };
    assert_eq!(standing(before.renewed(&[renamed]).pool(0).unwrap())[0].1, ServerState::Healthy);
}

#[test]
fn a_request_that_was_given_up_counts_only_if_the_server_was_slow() {
    for (slow_after, standing_then) in [(3600, ServerState::Healthy), (0, ServerState::Ejected)] {
        let slow_after = Duration::from_secs(slow_after);
        let upstreams = running(&[Upstream { slow_after, ..upstream("u", &["10.0.0.1:80", "10.0.0.2:80"]) }]);
        let pool = upstreams.pool(0).unwrap();
        // The second account's turn at the same server is the third request.
        for account in 1..=3 {
            pool.enter(Asker::numbered(account)).unwrap().next_server().unwrap();
            if account < 3 {
                assert_eq!(standing(pool)[0].1, ServerState::Healthy, "one account alone ejects nobody");
            }
        }
        assert_eq!(standing(pool)[0].1, standing_then);
        assert_eq!(pool.roster.load().servers()[0].in_flight(), 0);
    }
}

#[test]
fn statuses_and_retries_count() {
    let upstreams = running(&[upstream("u", &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"])]);
    let pool = upstreams.pool(0).unwrap();
    let mut passage = pool.enter(Asker::NOBODY).unwrap();
    passage.next_server().unwrap();
    passage.unreachable(SOME);
    passage.next_server().unwrap();
    passage.answered(Verdict::of_status(500));
    drop(passage);
    assert_eq!(pool.tally.retries.get(), 1);
    assert_eq!(pool.tally.ejections.get(), 1);
    let third = SocketAddr::from(([10, 0, 0, 3], 80));
    for account in 1..=2 {
        let mut passage = pool.enter(Asker::numbered(account)).unwrap();
        while passage.next_server().unwrap().peer != third {}
        passage.answered(Verdict::of_status(503));
    }
    let standings: Vec<ServerState> = standing(pool).into_iter().map(|(_, standing)| standing).collect();
    assert_eq!(standings, [ServerState::Ejected, ServerState::Healthy, ServerState::Ejected]);
}

#[test]
fn a_wait_is_whole_seconds_and_never_none() {
    for (milliseconds, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (90_000, 90)] {
        let hint = unavailable("some reason", Duration::from_millis(milliseconds)).hint;
        assert_eq!(hint, Hint::RetryAfter(seconds), "{milliseconds} ms");
    }
}
