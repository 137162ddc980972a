//! The limit in front of simulated backends: it finds what they can do, follows changes, and stays within its bounds.

use super::*;

fn rule(min: u32, max: u32, initial: u32) -> ConcurrencyLimit {
    let max_wait = Duration::from_secs(1);
    ConcurrencyLimit { min, max, initial, tolerance_percent: 10, max_queue: 100, max_wait }
}

/// A backend that works on so many requests at a time, each of which takes so long; others wait in it.
#[derive(Clone, Copy)]
struct Backend {
    workers: u32,
    takes: Duration,
}

impl Backend {
    /// How long requests take while so many are in flight: one more for each round of workers that is ahead.
    fn latency(self, in_flight: u32) -> Duration {
        self.takes.mul_f64(f64::from(in_flight.max(self.workers)) / f64::from(self.workers))
    }
}

/// Serves requests from a moment on for so long, of which as many as wanted are in flight if the limit allows it. Returns
/// the lowest and the highest limit of the second half, and the moment at which it ends.
fn serve(
    gradient: &mut Gradient,
    backend: Backend,
    wanted: u32,
    from: Duration,
    lasts: Duration,
) -> (u32, u32, Duration) {
    let (mut now, end) = (from, from + lasts);
    let (mut lowest, mut highest) = (u32::MAX, 0);
    let mut noise: u32 = 1;
    while now < end {
        let in_flight = gradient.limit().min(wanted);
        gradient.sees(in_flight);
        // Requests are not all alike: from 80 to 120 percent.
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let latency = backend.latency(in_flight).mul_f64(0.8 + f64::from(noise >> 16) / 65536.0 * 0.4);
        now += backend.latency(in_flight) / in_flight;
        gradient.answered(latency, now);
        if now > from + lasts / 2 {
            let limit = u32::try_from(gradient.limit / PARTS).unwrap();
            (lowest, highest) = (lowest.min(limit), highest.max(limit));
        }
    }
    (lowest, highest, now)
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_limit_settles_a_little_above_what_a_backend_can_do_at_once() {
    let backend = |workers, millis| Backend { workers, takes: Duration::from_millis(millis) };
    for (backend, initial) in [
        (backend(50, 20), 20),
        (backend(50, 20), 400),
        (backend(8, 100), 20),
        (backend(200, 5), 20),
        (backend(30, 700), 20),
        (backend(5, 20), 1000),
    ] {
        let mut gradient = Gradient::new(rule(2, 1000, initial));
        let (lowest, highest, _) = serve(&mut gradient, backend, u32::MAX, Duration::ZERO, 4 * MINUTE);
        let (workers, takes) = (backend.workers, backend.takes);
        assert!(
            lowest * 10 >= workers * 7 && highest * 100 <= workers * 130 + 100,
            "{workers} of {takes:?} from {initial}: {lowest} to {highest}"
        );
        let unloaded = gradient.unloaded().unwrap();
        assert!((takes.mul_f64(0.9)..takes.mul_f64(1.15)).contains(&unloaded), "{unloaded:?}");
    }
}

#[test]
fn the_limit_follows_a_backend_that_loses_servers_or_becomes_slower() {
    let mut gradient = Gradient::new(rule(2, 1000, 20));
    let mut backend = Backend { workers: 60, takes: Duration::from_millis(20) };
    let (.., now) = serve(&mut gradient, backend, u32::MAX, Duration::ZERO, 3 * MINUTE);
    backend.workers = 20;
    let (lowest, highest, now) = serve(&mut gradient, backend, u32::MAX, now, 3 * MINUTE);
    assert!(lowest >= 18 && highest <= 27, "{lowest} to {highest}");
    backend.workers = 60;
    let (lowest, highest, now) = serve(&mut gradient, backend, u32::MAX, now, 3 * MINUTE);
    assert!(lowest >= 54 && highest <= 78, "{lowest} to {highest}");
    // Slower by itself, not by load: that is what it takes from now on.
    backend.takes = Duration::from_millis(80);
    let (lowest, highest, _) = serve(&mut gradient, backend, u32::MAX, now, 3 * MINUTE);
    assert!(lowest >= 54 && highest <= 78, "{lowest} to {highest}");
    assert!(gradient.unloaded().unwrap() > Duration::from_millis(70));
}

#[test]
fn a_limit_that_nobody_needs_stays_and_only_the_time_without_load_is_read() {
    let mut gradient = Gradient::new(rule(2, 1000, 40));
    let mut backend = Backend { workers: 10, takes: Duration::from_millis(20) };
    let (lowest, highest, now) = serve(&mut gradient, backend, 5, Duration::ZERO, 3 * MINUTE);
    assert_eq!((lowest, highest, gradient.limit()), (40, 40, 40));
    backend.takes = Duration::from_millis(30);
    serve(&mut gradient, backend, 5, now, MINUTE);
    assert!((28..33).contains(&gradient.unloaded().unwrap().as_millis()));
}

#[test]
fn a_limit_stays_within_its_bounds_and_a_fixed_one_is_always_the_same() {
    let backend = Backend { workers: 50, takes: Duration::from_millis(20) };
    for (rule, expected) in [
        (rule(7, 7, 7), 7..=7),
        (rule(500, 500, 500), 500..=500),
        (rule(2, 12, 5), 5..=12),
        (rule(90, 1000, 90), 90..=110),
    ] {
        let mut gradient = Gradient::new(rule);
        let (lowest, highest, _) = serve(&mut gradient, backend, u32::MAX, Duration::ZERO, 2 * MINUTE);
        assert!(expected.contains(&lowest) && expected.contains(&highest), "{rule:?}: {lowest} to {highest}");
        assert_eq!(gradient.unloaded().is_some(), rule.min < rule.max);
    }
}

#[test]
fn another_rule_goes_on_with_what_was_measured() {
    let backend = Backend { workers: 50, takes: Duration::from_millis(20) };
    let mut gradient = Gradient::new(rule(2, 1000, 20));
    serve(&mut gradient, backend, u32::MAX, Duration::ZERO, MINUTE);
    let unloaded = gradient.unloaded();
    gradient.follow(rule(2, 30, 10));
    assert_eq!((gradient.limit.div_ceil(PARTS), gradient.unloaded()), (30, unloaded));
    gradient.follow(rule(100, 200, 150));
    assert_eq!(gradient.limit / PARTS, 100);
}

#[test]
fn requests_that_are_given_up_count_only_if_they_took_long() {
    let mut gradient = Gradient::new(rule(2, 1000, 20));
    let backend = Backend { workers: 50, takes: Duration::from_millis(20) };
    let (.., mut now) = serve(&mut gradient, backend, u32::MAX, Duration::ZERO, MINUTE);
    let before = gradient.limit;
    for (after, shrinks) in [(Duration::from_millis(1), false), (Duration::from_secs(5), true)] {
        for _ in 0..2000 {
            now += Duration::from_millis(1);
            gradient.sees(1000);
            gradient.given_up(after, now);
        }
        assert_eq!(gradient.limit * 3 <= before * 2, shrinks, "{after:?}");
    }
}
