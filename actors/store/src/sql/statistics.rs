//! Statistics of a device's readings: by the summaries of chunks, and by readings where those do not do.

use futures_util::TryStreamExt;

use super::chunks::{self, Stretch};
use super::history::{chunks_by_time, of_chunks, pieces_by_time};
use super::rows::failed;
use super::{SqlStore, summaries};
use crate::history::{Edge, NumberSummary, SeriesSummary};
use crate::{StoreError, select};
use twinhub_domain::series::{
    HistoryQuery, NumberStatistics, ReadingPosition, SeriesByName, SeriesStatistics, StatisticsFold,
    StatisticsQuery,
};
use twinhub_domain::{ReadingTime, Recorded};

const READ: &str = "read statistics";

/// See [`crate::Store::statistics`].
pub async fn of_device(store: &SqlStore, query: &StatisticsQuery) -> Result<SeriesByName, StoreError> {
    let (mut fold, asked) = (StatisticsFold::new(query), query.readings());
    let view = store.memtable.view();
    for recorded in view.of_device(query.device) {
        add_message(&asked, &mut fold, &recorded);
    }
    let sql = chunks::snapshot(store, READ).await?;
    let chunks = chunks_by_time(&asked);
    let chunks = if query.points || query.min_quality.is_some() {
        chunks::stretches(chunks).into_model()
    } else {
        summaries::between((query.from, query.to), chunks, view.after())
    };
    let mut unknown = Vec::new();
    for selected in [pieces_by_time(&asked), chunks] {
        let mut rows = selected.stream(&sql).await.map_err(failed(READ))?;
        while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
            if row.body.is_empty() {
                if !add_summary(&asked, &mut fold, &row)? {
                    unknown.push(row.first_seq);
                }
                continue;
            }
            for recorded in row.messages(READ)?.iter().filter(|recorded| recorded.seq <= view.after()) {
                add_message(&asked, &mut fold, recorded);
            }
        }
    }
    of_chunks(&sql, query.device, &unknown, |recorded| add_message(&asked, &mut fold, recorded)).await?;
    Ok(fold.finish())
}

fn add_message(asked: &HistoryQuery, fold: &mut StatisticsFold, recorded: &Recorded) {
    for (index, reading) in select::readings(asked, recorded) {
        fold.add(reading, (recorded.event.at, recorded.seq, index));
    }
}

/// Takes in a chunk by its summary. False where that does not know the trend of what is asked for: then nothing is taken
/// in.
fn add_summary(asked: &HistoryQuery, fold: &mut StatisticsFold, chunk: &Stretch) -> Result<bool, StoreError> {
    let summary = summaries::decode(READ, chunk)?;
    let of_asked: Option<Vec<_>> = summary
        .series
        .iter()
        .filter(|(name, _)| select::is_asked(asked, name))
        .map(|(name, series)| Some((name, statistics(series)?)))
        .collect();
    let Some(of_asked) = of_asked else { return Ok(false) };
    for (name, series) in of_asked {
        fold.add_summed(name, series);
    }
    Ok(true)
}

/// The statistics of a summary; none where it does not know the trend.
fn statistics(series: &SeriesSummary) -> Option<SeriesStatistics> {
    let SeriesSummary { texts, uncertain, bad, numbers } = series;
    let numbers = match numbers {
        None => None,
        Some(numbers) => {
            let NumberSummary { min, max, first, last, .. } = numbers;
            let edge = |Edge { at, nanos, seq, value }: &Edge| -> (ReadingPosition, _) {
                ((ReadingTime::new(*at, *nanos), *seq, 0), value.clone())
            };
            let (first, last, moments) = (edge(first), edge(last), numbers.moments()?);
            Some(NumberStatistics { min: min.clone(), max: max.clone(), first, last, moments })
        }
    };
    Some(SeriesStatistics { texts: *texts, uncertain: *uncertain, bad: *bad, numbers, points: Vec::new() })
}
