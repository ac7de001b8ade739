//! The occurrences of a cron expression in a time zone, over the nights when its clocks are changed too.
//!
//! The crate `cron` is asked in wall time alone, carried as if it were UTC; the meaning of a wall time is decided here,
//! because the crate's own handling leaves out times in the gap of spring and doubles those in the overlap of autumn.

use chrono::{DateTime, Days, MappedLocalTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{GapInfo, Tz};

use super::expression::CronExpression;
use crate::clock::Timestamp;

/// The moments at which an expression happens in a zone.
#[derive(Clone, Debug)]
pub struct Recurrence {
    pub(super) expression: CronExpression,
    pub(super) zone: Tz,
}

/// A wall time in a zone.
enum WallTime {
    /// An ordinary one.
    Once(DateTime<Utc>),
    /// The clocks were put back over it: it comes twice.
    Twice(DateTime<Utc>, DateTime<Utc>),
    /// The clocks are put forward over it: it never comes. With the first moment after the gap.
    Never(DateTime<Utc>),
}

/// After this many gaps in a row without an occurrence between them the expression happens in gaps alone.
const MOST_GAPS: usize = 64;

const SECOND: TimeDelta = TimeDelta::seconds(1);

impl Recurrence {
    /// Reads an expression of five to seven fields, or a name such as `@daily`, for a zone.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        Ok(Self { expression: CronExpression::parse(text)?, zone })
    }

    /// The first occurrence after `moment`; none when there is no more (expressions end with 2100).
    ///
    /// An expression about times of day happens once a day at each of them: in spring's gap at the first moment after
    /// it (all that fall into the gap together), in autumn's overlap in the first of the two halves. One about elapsed
    /// time ([`CronExpression::elapsed`]) goes on through both halves of the overlap, and has nothing in the gap. That is
    /// the rule of Vixie's cron.
    #[must_use]
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let moment = DateTime::from_timestamp_millis(moment.millis())?;
        let next =
            if self.expression.elapsed { self.elapsed_after(moment) } else { self.fixed_after(moment) };
        next.map(|next| Timestamp::from_millis(next.timestamp_millis()))
    }

    /// The last occurrence after `from` and up to and with `until`. Found by halving, so a month of
    /// missed seconds costs forty steps and not millions.
    #[must_use]
    pub fn latest(&self, from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let mut latest = self.after(from).filter(|at| *at <= until)?;
        if self.after(latest).is_none_or(|next| next > until) {
            return Some(latest); // as a rule there is but one
        }
        let mut quiet_from = until; // nothing happens after this, up to `until`
        while latest < quiet_from {
            let middle = latest.plus_millis((quiet_from.millis() - latest.millis()) / 2);
            match self.after(middle).filter(|at| *at <= until) {
                Some(later) => latest = later,
                None => quiet_from = middle,
            }
        }
        Some(latest)
    }

    fn fixed_after(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = self.wall(moment);
        if let WallTime::Twice(first, second) = self.read(wall)?
            && first < second
            && moment >= second
        {
            // In the second half of the overlap: all of it has had its turn in the first.
            let change = self.change(first, moment);
            wall = change.naive_utc() + self.offset(first) - SECOND;
        }
        match self.read(self.next_wall(wall)?)? {
            WallTime::Once(at) | WallTime::Twice(at, _) | WallTime::Never(at) => Some(at),
        }
    }

    fn elapsed_after(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ahead = self.ahead(moment);
        // No clock was ever put back by more than a day: beyond it no wall time before this one comes.
        let mut near = moment.checked_add_days(Days::new(1))?;
        near = ahead.map_or(near, |ahead| ahead.min(near));
        let (offset, later_offset) = (self.offset(moment), self.offset(near));
        if later_offset < offset {
            let change = self.change(moment, near).naive_utc();
            let again = self.next_wall(change + later_offset - SECOND);
            if let Some(again) = again.filter(|wall| *wall < change + offset) {
                return Some((again - later_offset).and_utc());
            }
        }
        ahead
    }

    /// The first occurrence whose wall time lies ahead of the one at `moment`.
    fn ahead(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = self.wall(moment);
        for _ in 0..MOST_GAPS {
            match self.read(self.next_wall(wall)?)? {
                WallTime::Once(at) => return Some(at),
                WallTime::Twice(first, second) => return Some(if first > moment { first } else { second }),
                WallTime::Never(end) => wall = self.wall(end) - SECOND,
            }
        }
        None
    }

    fn next_wall(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        self.expression.schedule.after(&wall.and_utc()).next().map(|next| next.naive_utc())
    }

    fn read(&self, wall: NaiveDateTime) -> Option<WallTime> {
        Some(match self.zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(at) => WallTime::Once(at.to_utc()),
            MappedLocalTime::Ambiguous(one, other) => {
                WallTime::Twice(one.min(other).to_utc(), one.max(other).to_utc())
            }
            MappedLocalTime::None => WallTime::Never(GapInfo::new(&wall, &self.zone)?.end?.to_utc()),
        })
    }

    fn wall(&self, moment: DateTime<Utc>) -> NaiveDateTime {
        moment.naive_utc() + self.offset(moment)
    }

    /// The zone's offset from UTC.
    fn offset(&self, moment: DateTime<Utc>) -> TimeDelta {
        let offset = self.zone.offset_from_utc_datetime(&moment.naive_utc()).fix();
        TimeDelta::seconds(offset.local_minus_utc().into())
    }

    /// The time, to the second, at which the clocks were changed after `before` and by `after`.
    fn change(&self, before: DateTime<Utc>, after: DateTime<Utc>) -> DateTime<Utc> {
        let offset = self.offset(before);
        let (mut before, mut after) = (before.timestamp(), after.timestamp());
        let at = |second| DateTime::from_timestamp(second, 0).unwrap_or_default(); // between two that are in range
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.offset(at(middle)) == offset {
                before = middle;
            } else {
                after = middle;
            }
        }
        at(after)
    }
}
