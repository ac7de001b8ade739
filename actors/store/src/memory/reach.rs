//! The devices within reach, in memory.

use std::collections::HashMap;

use twinhub_access::Reach;
use twinhub_domain::DeviceNumber;
use twinhub_domain::fleet::JobId;

use super::MemoryState;
use crate::{DevicePlace, JobPlace, select};

impl MemoryState {
    /// Is there such a device, and is it within reach?
    pub fn is_within(&self, reach: &Reach, device: DeviceNumber) -> bool {
        reach.is_everywhere()
            || self.twins.get(&device).is_some_and(|(_, twin)| select::is_within(reach, twin))
    }

    pub fn places(&self) -> Vec<DevicePlace> {
        let twins = self.twins.values().map(|(_, twin)| twin);
        twins
            .map(|twin| DevicePlace {
                device: twin.id.clone(),
                number: twin.number,
                owner: twin.profile.text("owner_id").into(),
                group: twin.profile.text("group_id").into(),
            })
            .collect()
    }

    pub fn job_places(&self, jobs: &[JobId], reach: &Reach) -> HashMap<JobId, JobPlace> {
        let place = |job: &JobId| {
            let mut place = JobPlace::default();
            for number in self.fleet.devices_of(*job).filter(|number| self.twins.contains_key(number)) {
                match self.is_within(reach, number) {
                    true => place.has_within = true,
                    false => place.has_beyond = true,
                }
            }
            (*job, place)
        };
        jobs.iter().map(place).collect()
    }
}
