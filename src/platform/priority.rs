//! Threads that give way to those of requests when there is not enough processor time for all.

use std::cell::Cell;

use rustix::process::setpriority_process;

/// How much a thread gives way, from 0 to 19 (`nice` in `setpriority(2)`): at 10 it gets a tenth of what a thread of
/// requests gets of a processor that both want.
const NICE: i32 = 10;

thread_local! {
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Lets this thread give way from now on, and the threads that it starts. Where the system does not allow it, it goes on
/// as before.
pub fn give_way() {
    if !GIVES_WAY.replace(true) {
        // Of Linux, this is about the thread alone.
        let _ = setpriority_process(None, NICE);
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn one_thread_gives_way_and_others_do_not() {
        let of_this = || getpriority_process(None).unwrap();
        let before = of_this();
        let lowered = std::thread::spawn(move || {
            give_way();
            give_way();
            (of_this(), std::thread::spawn(of_this).join().unwrap())
        });
        assert_eq!(lowered.join().unwrap(), (before.max(NICE), before.max(NICE)));
        assert_eq!(of_this(), before);
    }
}
