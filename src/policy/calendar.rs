//! Days and months of the calendar, in UTC, and how many requests were counted in one.
//!
//! A quota is used up when so many were counted in the day or month that it is (contract, section 7). Time is an
//! argument, and may jump: each request counts in one period, the one that the clock showed, and what was used is
//! not lost when the clock is set. Which quotas there are is `plan.rs`; who counts is `meter.rs`.

use std::ops::Range;

use chrono::{DateTime, Datelike, Months, NaiveDate};

const SECONDS_PER_DAY: u64 = 86_400;

/// What a quota is renewed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Calendar {
    Day,
    Month,
}

impl Calendar {
    /// Both, the shorter first.
    pub const ALL: [Calendar; 2] = [Calendar::Day, Calendar::Month];

    /// The word in configurations, documents and the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Calendar::Day => "day",
            Calendar::Month => "month",
        }
    }

    /// The calendar with this word.
    pub fn from_word(word: &str) -> Option<Calendar> {
        Calendar::ALL.into_iter().find(|calendar| calendar.word() == word)
    }

    /// The day or month that a second belongs to: from its first second, in seconds since 1970-01-01 UTC, to the
    /// first of the next one. A second beyond the years that a calendar can show is a period without an end.
    pub fn period(self, unix_seconds: u64) -> Range<u64> {
        let endless = unix_seconds..u64::MAX;
        match self {
            Calendar::Day => {
                let begin = unix_seconds - unix_seconds % SECONDS_PER_DAY;
                begin.checked_add(SECONDS_PER_DAY).map_or(endless, |end| begin..end)
            }
            Calendar::Month => month(unix_seconds).unwrap_or(endless),
        }
    }
}

fn month(unix_seconds: u64) -> Option<Range<u64>> {
    let day = DateTime::from_timestamp(i64::try_from(unix_seconds).ok()?, 0)?.date_naive();
    let first = day.with_day(1)?;
    let seconds = |day: NaiveDate| u64::try_from(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()).ok();
    Some(seconds(first)?..seconds(first.checked_add_months(Months::new(1))?)?)
}

/// How many requests were counted in the day or month that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counter {
    /// The period that is counted in; from 0 to 0 before the first.
    began: u64,
    ends: u64,
    used: u64,
    /// The period that the clock showed before: when it began, and what was used then. The clock can be set back
    /// to it.
    before: (u64, u64),
    /// What of `used` is known elsewhere: in the ledger's file, or to another process that counts it.
    known: u64,
}

impl Counter {
    /// Goes on to the period that the clock shows. A later one begins with nothing used; an earlier one with what was
    /// used in it and what was used since: those requests were made in it, whatever the clock said.
    pub fn turn(&mut self, calendar: Calendar, unix_seconds: u64) {
        if (self.began..self.ends).contains(&unix_seconds) {
            return;
        }
        let period = calendar.period(unix_seconds);
        if unix_seconds >= self.ends {
            self.before = (self.began, self.used);
            (self.used, self.known) = (0, 0);
        } else {
            let (began, used) = self.before;
            let earlier = if began == period.start { used } else { 0 };
            self.used = self.used.saturating_add(earlier);
            self.known = self.known.saturating_add(earlier);
            self.before = (0, 0);
        }
        (self.began, self.ends) = (period.start, period.end);
    }

    /// Counts one.
    pub fn add_one(&mut self) {
        self.used = self.used.saturating_add(1);
    }

    /// Adds what another process has counted, in a period that began at some second. What belongs to a period that
    /// is over counts no more; what belongs to a later one, because the clock was set back since, counts in this one.
    pub fn add(&mut self, began: u64, used: u64) {
        if began >= self.began {
            self.used = self.used.saturating_add(used);
            self.known = self.known.saturating_add(used);
        }
    }

    /// What is not known elsewhere, which it is from here on.
    pub fn take_unknown(&mut self) -> u64 {
        let more = self.used.saturating_sub(self.known);
        self.known = self.used;
        more
    }

    /// Requests that were counted in this period.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// When the period began and ends, in seconds since 1970-01-01 UTC.
    pub fn period(&self) -> Range<u64> {
        self.began..self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time of UTC in seconds since 1970.
    fn at(text: &str) -> u64 {
        u64::try_from(DateTime::parse_from_rfc3339(&format!("{text}Z")).unwrap().timestamp()).unwrap()
    }

    #[test]
    fn periods_are_those_of_the_calendar_in_utc() {
        for (calendar, moment, begin, end) in [
            (Calendar::Day, "2026-11-29T00:00:00", "2026-11-29T00:00:00", "2026-11-30T00:00:00"),
            (Calendar::Day, "2026-11-29T23:59:59", "2026-11-29T00:00:00", "2026-11-30T00:00:00"),
            (Calendar::Day, "2024-02-28T12:00:00", "2024-02-28T00:00:00", "2024-02-29T00:00:00"),
            (Calendar::Day, "1970-01-01T00:00:00", "1970-01-01T00:00:00", "1970-01-02T00:00:00"),
            (Calendar::Month, "2026-11-30T23:59:59", "2026-11-01T00:00:00", "2026-12-01T00:00:00"),
            (Calendar::Month, "2026-12-31T23:59:59", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
            (Calendar::Month, "2024-02-29T00:00:00", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
            (Calendar::Month, "2026-02-28T23:59:59", "2026-02-01T00:00:00", "2026-03-01T00:00:00"),
            (Calendar::Month, "2100-02-28T00:00:00", "2100-02-01T00:00:00", "2100-03-01T00:00:00"),
            (Calendar::Month, "2000-02-29T23:59:59", "2000-02-01T00:00:00", "2000-03-01T00:00:00"),
            (Calendar::Month, "2026-01-31T00:00:00", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ] {
            assert_eq!(calendar.period(at(moment)), at(begin)..at(end), "{calendar:?} of {moment}");
        }
        for calendar in Calendar::ALL {
            assert_eq!(calendar.period(u64::MAX), u64::MAX..u64::MAX);
            assert_eq!(Calendar::from_word(calendar.word()), Some(calendar));
        }
    }

    /// Every second of the period is in it, and the last one before and the first one after are not.
    #[test]
    fn periods_follow_each_other_without_a_gap() {
        let mut second = at("1999-12-31T00:00:00");
        while second < at("2101-01-02T00:00:00") {
            let (day, month) = (Calendar::Day.period(second), Calendar::Month.period(second));
            assert_eq!(day.start, second);
            assert!(month.start <= day.start && day.end <= month.end);
            assert_eq!(Calendar::Month.period(month.end - 1), month);
            assert_eq!(Calendar::Month.period(month.end).start, month.end);
            second = day.end;
        }
    }

    #[test]
    fn what_was_used_stays_used_whatever_the_clock_does() {
        // The times of requests, and what is used of the month after the last of them.
        for (moments, used, what) in [
            (&["2026-11-01T00:00:00", "2026-11-30T23:59:59"][..], 2, "one month"),
            (&["2026-11-30T23:59:59", "2026-12-01T00:00:00"], 1, "a month begins"),
            (&["2026-11-30T23:59:59", "2026-12-01T00:00:00", "2026-11-30T23:59:58"], 3, "back over a month's end"),
            (
                &["2026-11-30T23:59:59", "2026-12-01T00:00:00", "2026-11-30T23:59:58", "2026-12-01T00:00:01"],
                1,
                "back and forward: each request counts in one month",
            ),
            (&["2026-11-10T00:00:00", "2031-01-01T00:00:00", "2026-11-10T00:00:01"], 3, "far forward and back"),
            (&["2026-11-10T00:00:00", "2026-11-09T00:00:00"], 2, "back within a month"),
            (&["2026-11-10T00:00:00", "2026-09-10T00:00:00"], 2, "back to a month that was never counted"),
            (&["2026-11-10T00:00:00", "2027-11-10T00:00:00"], 1, "the same month of another year"),
        ] {
            let mut counter = Counter::default();
            for moment in moments {
                counter.turn(Calendar::Month, at(moment));
                counter.add_one();
            }
            assert_eq!(counter.used(), used, "{what}");
        }
    }

    #[test]
    fn what_another_process_has_counted_is_added_while_its_period_lasts() {
        let month = at("2026-11-01T00:00:00");
        for (began, used, what) in [
            (month, 8, "this month"),
            (at("2026-10-01T00:00:00"), 1, "the month before"),
            (at("2026-12-01T00:00:00"), 8, "a later one, so that the clock was set back"),
        ] {
            let mut counter = Counter::default();
            counter.turn(Calendar::Month, at("2026-11-29T00:00:00"));
            counter.add_one();
            counter.add(began, 7);
            assert_eq!(counter.used(), used, "{what}");
            // What came from there is not handed on as counted here.
            assert_eq!((counter.take_unknown(), counter.take_unknown()), (1, 0), "{what}");
        }
    }
}
