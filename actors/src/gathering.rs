//! The gathering of outcomes into commits: how long the next group fills before its commit begins.
//!
//! A commit costs nearly the same whatever is in it. So a lone outcome is committed at once; and under load commits begin
//! so far apart that they and all that follows each (the wake-ups of subscribers and connections) take a part of the time
//! only. The cheaper a commit is, the shorter that is: a faster store is never slower. All in here is pure: time comes in
//! as an argument.

use std::time::Duration;

/// The longest that a group fills, and so the most that gathering delays an outcome.
pub const LONGEST_FILL: Duration = Duration::from_micros(500);
/// Under load commits take at most one part in so many of the time, while [`LONGEST_FILL`] allows it.
const SHARE: u32 = 4;
/// The cost of a group beside its commit. On two cores with one subscriber and four connections 40 to 70 µs.
const BESIDE: Duration = Duration::from_micros(50);
/// One in so many is the weight of the last measurement.
const WEIGHT: u32 = 8;
/// Arrivals further apart than this say all the same: there is no load.
const NO_LOAD: Duration = Duration::from_millis(2);

/// The state in which a commit could begin.
#[derive(Clone, Copy, Debug)]
pub struct GroupLoad {
    /// The time since the last commit began.
    pub since_begun: Duration,
    /// The time that a commit takes.
    pub cost: Duration,
    /// The time between two arrivals.
    pub between: Duration,
    /// Outcomes that wait.
    pub waiting: usize,
    /// As many as one commit takes.
    pub most: usize,
}

/// The time for which the group goes on filling: zero, where its commit is to begin now.
#[must_use]
pub fn fill_for(load: GroupLoad) -> Duration {
    let GroupLoad { since_begun, cost, between, waiting, most } = load;
    let apart = cost.saturating_add(BESIDE).saturating_mul(SHARE).min(LONGEST_FILL);
    // Where the next is not to be expected sooner, each would wait alone, and for nothing.
    if waiting >= most || between > apart { Duration::ZERO } else { apart.saturating_sub(since_begun) }
}

/// The measured pace of arrivals and commits. Times count from any moment, the same for all.
#[derive(Debug)]
pub struct GatherPace {
    begun: Option<Duration>,
    arrived: Option<Duration>,
    cost: Duration,
    between: Duration,
}

impl Default for GatherPace {
    fn default() -> Self {
        Self { begun: None, arrived: None, cost: Duration::ZERO, between: NO_LOAD }
    }
}

impl GatherPace {
    /// An outcome arrives.
    pub fn arrives(&mut self, now: Duration) {
        if let Some(before) = self.arrived.replace(now) {
            self.between = smooth(self.between, now.saturating_sub(before).min(NO_LOAD));
        }
    }

    /// A commit begins.
    pub fn begins(&mut self, now: Duration) {
        self.begun = Some(now);
    }

    /// It has ended well.
    pub fn ends(&mut self, now: Duration) {
        if let Some(begun) = self.begun {
            self.cost = smooth(self.cost, now.saturating_sub(begun).min(LONGEST_FILL));
        }
    }

    /// The time for which a group of `waiting` outcomes goes on filling, where one commit takes `most`.
    #[must_use]
    pub fn fill_for(&self, now: Duration, waiting: usize, most: usize) -> Duration {
        let Some(begun) = self.begun else { return Duration::ZERO };
        let since_begun = now.saturating_sub(begun);
        fill_for(GroupLoad { since_begun, cost: self.cost, between: self.between, waiting, most })
    }
}

fn smooth(before: Duration, now: Duration) -> Duration {
    before - before / WEIGHT + now / WEIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn groups_fill_for_as_long_as_it_pays() {
        let check = |since_begun: u64, cost: u64, between: u64, waiting: usize, expected: u64, why: &str| {
            let load = GroupLoad {
                since_begun: us(since_begun),
                cost: us(cost),
                between: us(between),
                waiting,
                most: 100,
            };
            assert_eq!(fill_for(load), us(expected), "{why}");
        };
        check(10_000, 60, 2_000, 1, 0, "a lone outcome waits for nothing");
        check(1_000, 60, 1_000, 1, 0, "nor does one of a thousand a second");
        check(60, 60, 20, 3, 380, "under load four fifths of the time are left to others");
        check(30, 30, 20, 3, 290, "of a faster store's less");
        check(440, 60, 20, 20, 0, "then it begins");
        check(300, 60, 500, 1, 0, "not where the next would come later than that");
        check(200, 60, 200, 1, 240, "at five a millisecond two or three share a commit");
        check(60, 60, 20, 100, 0, "nor where the group is full");
        check(250, 250, 20, 12, 250, "never longer than half a millisecond");
        check(5_000, 5_000, 20, 250, 0, "a slow store gathers while it commits");
        check(0, 0, 0, 1, 200, "what a group costs beside its commit counts");
    }

    /// The commits of these arrivals, in µs, by a store that takes `cost` µs for each: how many, when the last ended, and
    /// the longest that gathering alone held an outcome up.
    fn commits(arrivals: &[u64], cost: u64) -> (usize, Duration, Duration) {
        let (mut pace, mut ends, mut fills_until) = (GatherPace::default(), None, None);
        let (mut waiting, mut commits, mut held, mut last) = (Vec::new(), 0, Duration::ZERO, Duration::ZERO);
        let mut arrivals = arrivals.iter().copied().map(us).peekable();
        loop {
            let next = [ends, fills_until, arrivals.peek().copied()].into_iter().flatten().min();
            let Some(now) = next else { return (commits, last, held) };
            if arrivals.next_if_eq(&now).is_some() {
                pace.arrives(now);
                waiting.push(now);
            }
            if ends == Some(now) {
                pace.ends(now);
                (ends, last) = (None, now);
            }
            if ends.is_some() || waiting.is_empty() {
                fills_until = None;
                continue;
            }
            let fill = pace.fill_for(now, waiting.len(), 100);
            fills_until = (!fill.is_zero()).then_some(now + fill);
            if fill.is_zero() {
                // Since the store was free.
                held = held.max(now - last.max(waiting[0]));
                pace.begins(now);
                (ends, commits) = (Some(now + us(cost)), commits + 1);
                waiting.clear();
            }
        }
    }

    #[test]
    fn commits_of_a_thousand_messages() {
        let every = |micros: u64| (0..1_000).map(|n| n * micros).collect::<Vec<_>>();
        let bursts: Vec<u64> = (0..1_000).map(|n| n / 50 * 50_000 + n % 50).collect();
        // A commit's µs, and the most commits that are to come of a thousand messages.
        let check = |pattern: &str, arrivals: &[u64], most: [(u64, usize); 4]| {
            let mut before = Duration::ZERO;
            for (cost, most) in most {
                let (commits, last, held) = commits(arrivals, cost);
                assert!(commits <= most, "{pattern}, {cost} µs: {commits} commits");
                assert!(held <= LONGEST_FILL, "{pattern}, {cost} µs: held up for {held:?}");
                assert!(
                    before <= last + LONGEST_FILL,
                    "{pattern}: a store that takes {cost} µs is the faster one"
                );
                before = last;
            }
        };
        let most = |most: [usize; 4]| [(30, most[0]), (100, most[1]), (250, most[2]), (2_000, most[3])];
        check("one a millisecond", &every(1_000), most([1_000, 1_000, 1_000, 501]));
        check("five a millisecond", &every(200), most([634, 409, 407, 101]));
        check("flat out", &every(15), most([56, 34, 32, 9]));
        check("bursts of fifty", &bursts, most([40; 4]));
        assert_eq!(commits(&every(1_000), 100).2, Duration::ZERO, "a lone message waits for nothing");
    }
}
