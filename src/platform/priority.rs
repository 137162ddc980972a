//! Threads that give way to those of requests, by a little or wholly.

use std::cell::Cell;

use rustix::process::{getpriority_process, setpriority_process};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

/// How much a thread of lower priority gives way, from 0 to 19 (`nice` in `setpriority(2)`): at 10 it gets a tenth of what a
/// thread of requests gets of a processor that both want.
const NICE: i32 = 10;

const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

thread_local! {
    static RUNS_WHEN_IDLE: Cell<bool> = const { Cell::new(false) };
}

/// Gives this thread a lower priority from now on, and the threads that it starts: for work that has to go on while requests
/// use all processors. Where the system does not allow it, it goes on as before.
pub fn lower() {
    // Of Linux, this is about the thread alone. One that gives way further already goes on doing so.
    if getpriority_process(None).is_ok_and(|given| given < NICE) {
        let _ = setpriority_process(None, NICE);
    }
}

/// Lets this thread run from now on only while no other thread wants the processor (`SCHED_IDLE` in `sched(7)`), and the
/// threads that it starts: it stops as soon as one does. With a lower priority alone it would be let finish its turn, which
/// is as long as several requests. Where the system does not allow it, its priority is lowered.
pub fn run_when_idle() {
    if RUNS_WHEN_IDLE.replace(true) {
        return;
    }
    if set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, IDLE).is_err() {
        lower();
    }
}

#[cfg(test)]
mod tests {
    use thread_priority::thread_schedule_policy;

    use super::*;

    #[test]
    fn one_thread_gives_way_and_others_do_not() {
        let of_this = || (getpriority_process(None).unwrap(), thread_schedule_policy().unwrap());
        let before = of_this();
        let given = std::thread::spawn(move || {
            lower();
            let lowered = of_this();
            run_when_idle();
            run_when_idle();
            (lowered, of_this().1, std::thread::spawn(of_this).join().unwrap().1)
        });
        assert_eq!(given.join().unwrap(), ((before.0.max(NICE), before.1), IDLE, IDLE));
        assert_eq!(of_this(), before);
    }
}
