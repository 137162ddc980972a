//! Threads that give way to those of requests: they run while no other thread wants the processor (`SCHED_IDLE` in
//! `sched(7)`), and stop as soon as one does. With a lower priority alone they would be let finish their turn, which is as
//! long as several requests.

use std::cell::Cell;

use rustix::process::{getpriority_process, setpriority_process};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

/// How much a thread gives way, from 0 to 19 (`nice` in `setpriority(2)`), where the system does not let it be idle: at 10
/// it gets a tenth of what a thread of requests gets of a processor that both want.
const NICE: i32 = 10;

const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

thread_local! {
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Lets this thread give way from now on, and the threads that it starts. Where the system does not allow it, it goes on
/// as before.
pub fn give_way() {
    if GIVES_WAY.replace(true) {
        return;
    }
    let idle = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, IDLE);
    // Of Linux, this is about the thread alone. One that gives way further already goes on doing so.
    if idle.is_err() && getpriority_process(None).is_ok_and(|given| given < NICE) {
        let _ = setpriority_process(None, NICE);
    }
}

#[cfg(test)]
mod tests {
    use thread_priority::thread_schedule_policy;

    use super::*;

    #[test]
    fn one_thread_gives_way_and_others_do_not() {
        let of_this = || thread_schedule_policy().unwrap();
        let before = of_this();
        let lowered = std::thread::spawn(move || {
            give_way();
            give_way();
            (of_this(), std::thread::spawn(of_this).join().unwrap())
        });
        assert_eq!(lowered.join().unwrap(), (IDLE, IDLE));
        assert_eq!(of_this(), before);
    }
}
