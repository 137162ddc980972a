//! Deadlines, and clients that do not wait for them (contract, section 7).

use std::time::{Duration, Instant};

use super::{gateway, lookup};
use crate::support::{Backend, VERSIONS};

#[test]
fn a_deadline_is_kept_and_ends_the_call() {
    let backend = Backend::silent();
    let gateway = gateway(&backend);
    std::thread::scope(|scope| {
        for version in VERSIONS {
            let gateway = &gateway;
            scope.spawn(move || {
                let begun = Instant::now();
                let response =
                    gateway.send(version, &lookup().with("Timeout-Seconds", "2").with("Reference-ID", "slow"));
                let taken = begun.elapsed();
                response.assert_problem("deadline-exceeded");
                assert_eq!(response.header("Reference-ID"), Some("slow"));
                assert!(
                    (Duration::from_millis(1990)..Duration::from_millis(2500)).contains(&taken),
                    "{version:?} took {taken:?}"
                );
            });
        }
    });
    backend.wait_for_closes();
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_deadline_also_bounds_the_body() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let request = lookup().with("Timeout-Seconds", "2");
    let begun = Instant::now();
    let mut client = gateway.connect();
    client.send(request.head());
    client.response().assert_problem("deadline-exceeded");
    let taken = begun.elapsed();
    assert!((1990..2500).contains(&taken.as_millis()), "took {taken:?}");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_client_that_hangs_up_ends_its_upstream_call() {
    let backend = Backend::silent();
    let gateway = gateway(&backend);
    let begun = Instant::now();
    let mut client = gateway.connect();
    client.request(&lookup());
    backend.wait_for_requests(1);
    drop(client);
    backend.wait_for_closes();

    let mut client = gateway.connect_http2();
    let request = lookup();
    let mut stream = client.begin(&request, false);
    client.data(&mut stream, &request.body, true);
    client.drive(|| backend.requests().len() == 2);
    client.reset(stream);
    client.drive(|| backend.all_closed());

    let mut stream = client.begin(&request, false);
    client.data(&mut stream, &request.body, true);
    client.drive(|| backend.requests().len() == 3);
    drop((stream, client));
    backend.wait_for_closes();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
