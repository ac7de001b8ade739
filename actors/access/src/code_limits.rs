//! Limits on guessing the claim codes of devices, which are short enough to be printed on them.

use std::collections::BTreeMap;

use twinhub_domain::DeviceId;

/// Wrong codes for a device in [`WINDOW_MS`].
const MOST_WRONG: u32 = 5;
/// The time after which wrong codes are forgotten, in ms.
const WINDOW_MS: u64 = 15 * 60 * 1_000;
/// Devices that are kept; with more the oldest are forgotten. It takes a right guess in one of these many to gain by it.
const MOST: usize = 10_000;

/// Wrong codes by the device that they were said for. Times are uptimes in ms.
#[derive(Debug, Default)]
pub struct CodeLimits {
    wrong: BTreeMap<DeviceId, WrongCodes>,
}

#[derive(Clone, Copy, Debug)]
struct WrongCodes {
    count: u32,
    since: u64,
}

impl CodeLimits {
    /// Begins a try of a code for this device. It counts as wrong until it is known to be right, or is taken back: of
    /// many at once no more are looked at than one after the other.
    ///
    /// # Errors
    /// None may be tried yet: the ms until then.
    pub fn begin_try(&mut self, device: &DeviceId, uptime_ms: u64) -> Result<(), u64> {
        self.may_try(device, uptime_ms)?;
        self.failed(device, uptime_ms);
        Ok(())
    }

    /// A try that was begun came to nothing, without a word on its code.
    pub fn take_back(&mut self, device: &DeviceId) {
        if let Some(wrong) = self.wrong.get_mut(device) {
            wrong.count = wrong.count.saturating_sub(1);
            if wrong.count == 0 {
                self.wrong.remove(device);
            }
        }
    }

    /// May a code be tried for this device? If not yet: the ms until then.
    fn may_try(&self, device: &DeviceId, uptime_ms: u64) -> Result<(), u64> {
        let wrong = self.wrong.get(device).filter(|wrong| wrong.count >= MOST_WRONG);
        match wrong.map(|wrong| (wrong.since + WINDOW_MS).saturating_sub(uptime_ms)) {
            None | Some(0) => Ok(()),
            Some(wait) => Err(wait),
        }
    }

    /// A wrong code was said.
    fn failed(&mut self, device: &DeviceId, uptime_ms: u64) {
        if self.wrong.len() >= MOST && !self.wrong.contains_key(device) {
            self.wrong.retain(|_, wrong| wrong.since + WINDOW_MS > uptime_ms);
            let oldest =
                self.wrong.iter().min_by_key(|(_, wrong)| wrong.since).map(|(device, _)| device.clone());
            if let Some(oldest) = oldest.filter(|_| self.wrong.len() >= MOST) {
                self.wrong.remove(&oldest);
            }
        }
        let begin = WrongCodes { count: 0, since: uptime_ms };
        let wrong = self.wrong.entry(device.clone()).or_insert(begin);
        if wrong.since + WINDOW_MS <= uptime_ms {
            *wrong = begin;
        }
        wrong.count += 1;
    }

    /// The right code was said.
    pub fn succeeded(&mut self, device: &DeviceId) {
        self.wrong.remove(device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::parse(name).unwrap()
    }

    #[test]
    fn five_wrong_codes_in_a_quarter_of_an_hour() {
        let (lamp, mut limits) = (device("lamp"), CodeLimits::default());
        for minute in 0..5 {
            assert_eq!(limits.may_try(&lamp, minute * 60_000), Ok(()));
            limits.failed(&lamp, minute * 60_000);
        }
        assert_eq!(limits.may_try(&lamp, 300_000), Err(600_000));
        assert_eq!(limits.may_try(&device("fan"), 300_000), Ok(()));
        assert_eq!(limits.may_try(&lamp, WINDOW_MS), Ok(()));
        limits.failed(&lamp, WINDOW_MS);
        assert_eq!(limits.may_try(&lamp, WINDOW_MS), Ok(()), "it begins anew");
        for _ in 0..4 {
            limits.failed(&lamp, WINDOW_MS);
        }
        assert!(limits.may_try(&lamp, WINDOW_MS).is_err());
        limits.succeeded(&lamp);
        assert_eq!(limits.may_try(&lamp, WINDOW_MS), Ok(()));
    }

    #[test]
    fn a_try_counts_from_its_beginning_until_it_is_taken_back() {
        let (lamp, mut limits) = (device("lamp"), CodeLimits::default());
        for _ in 0..MOST_WRONG {
            assert_eq!(limits.begin_try(&lamp, 0), Ok(()));
        }
        assert_eq!(limits.begin_try(&lamp, 0), Err(WINDOW_MS), "none of them has ended");
        limits.take_back(&lamp);
        assert_eq!(limits.begin_try(&lamp, 0), Ok(()));
        assert_eq!(limits.begin_try(&lamp, 0), Err(WINDOW_MS));
        limits.succeeded(&lamp);
        limits.take_back(&lamp);
        assert!(limits.wrong.is_empty());
        assert_eq!(limits.begin_try(&lamp, 0), Ok(()));
        limits.take_back(&lamp);
        assert!(limits.wrong.is_empty(), "nothing is kept of a device of which no wrong code was said");
    }

    #[test]
    fn memory_is_bounded() {
        let mut limits = CodeLimits::default();
        for number in 0..MOST as u64 + 100 {
            limits.failed(&device(&format!("d{number}")), number);
        }
        assert_eq!(limits.wrong.len(), MOST);
        assert!(!limits.wrong.contains_key("d0") && limits.wrong.contains_key("d10099"));
    }
}
