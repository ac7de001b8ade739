//! Buckets and statistics of messages, by all of them.

use std::sync::Arc;

use crate::select;
use twinhub_domain::Recorded;
use twinhub_domain::series::{
    Bucket, BucketFold, HistoryQuery, SeriesByName, StatisticsFold, StatisticsQuery,
};

/// The buckets of one device's messages.
pub(super) fn buckets<'a>(
    query: &HistoryQuery,
    messages: impl Iterator<Item = &'a Arc<Recorded>> + Clone,
) -> Vec<Bucket> {
    let mut fold = BucketFold::new(query);
    for recorded in messages.clone() {
        for (index, reading) in select::readings(query, recorded) {
            fold.add(&reading.name, (recorded.event.at, recorded.seq, index), &reading.value);
        }
    }
    for (sensor, start) in fold.first_buckets(query.newest_first, query.limit) {
        let asked = select::last_before(query, &sensor, start);
        let readings = messages.clone().flat_map(|recorded| {
            let readings = select::stored_readings(&asked, recorded);
            readings.into_iter().map(|reading| ((recorded.event.at, recorded.seq), reading))
        });
        let last = readings.max_by_key(|(place, _)| *place); // of alike ones the last
        if let Some((at, value)) = last.and_then(|(_, reading)| reading.number()) {
            fold.set_before(sensor, at, value);
        }
    }
    fold.finish(query.newest_first, query.limit)
}

/// The statistics of one device's messages.
pub(super) fn statistics<'a>(
    query: &StatisticsQuery,
    messages: impl Iterator<Item = &'a Arc<Recorded>>,
) -> SeriesByName {
    let (mut fold, asked) = (StatisticsFold::new(query), query.readings());
    for recorded in messages {
        for (index, reading) in select::readings(&asked, recorded) {
            fold.add(reading, (recorded.event.at, recorded.seq, index));
        }
    }
    fold.finish()
}
