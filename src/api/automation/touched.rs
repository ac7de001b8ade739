//! Runs by the device that they are about: those that it set off, which the journal of runs knows, and those that
//! did something to it, which its own events tell.

use std::collections::HashSet;

use twinhub_actors::domain::rules::{RunEntry, RunId};
use twinhub_actors::domain::{DeviceNumber, Kind};
use twinhub_actors::messages::archive::{FindEvents, FindRun, ListRuns};
use twinhub_actors::store::{EventQuery, RunPage, RunQuery};

use crate::error::ApiError;
use crate::web::WebState;

/// The kinds of events that a rule can bring about.
const DONE: [Kind; 3] = [Kind::Twin, Kind::Command, Kind::Alarm];
/// Events of the device that are looked through at most, from the end that is asked for.
const PAGE: usize = 1_000;
const PAGES: usize = 10;

/// The page of runs that `query` asks for, of its device both ways.
///
/// # Errors
/// The store does not answer.
pub async fn runs(state: &WebState, query: RunQuery) -> Result<RunPage, ApiError> {
    let archive = &state.hub.archive;
    let Some(device) = query.device else { return Ok(archive.send(ListRuns(query)).await??) };
    let until = query.offset.saturating_add(query.limit);
    let own = archive.send(ListRuns(RunQuery { offset: 0, limit: until, ..query.clone() })).await??;
    let others = acted_on(state, device, &query, until).await?;
    let total = own.total + others.len() as u64;
    let mut runs = own.runs;
    runs.extend(others);
    runs.sort_by_key(|run| (run.at, run.id));
    if query.newest_first {
        runs.reverse();
    }
    #[expect(clippy::cast_possible_truncation, reason = "what is beyond the end is empty anyway")]
    let runs = runs.into_iter().skip(query.offset as usize).take(query.limit as usize).collect();
    Ok(RunPage { runs, total })
}

/// Runs that something else set off, and that did something to this device: `most` at most.
async fn acted_on(
    state: &WebState,
    device: DeviceNumber,
    query: &RunQuery,
    most: u64,
) -> Result<Vec<RunEntry>, ApiError> {
    let archive = &state.hub.archive;
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for page in 0..PAGES {
        // What a run brings about happens while it runs: so not before `from`, and perhaps after `to`.
        let events = EventQuery {
            device: Some(device),
            kinds: DONE.to_vec(),
            from: query.from,
            offset: page * PAGE,
            limit: PAGE,
            newest_first: query.newest_first,
            ..EventQuery::default()
        };
        let events = archive.send(FindEvents(events)).await??;
        let is_last = events.len() < PAGE;
        for run in events.iter().filter_map(|recorded| recorded.event.cause.run.as_ref()) {
            if seen.insert(run.id) {
                found.extend(fitting(state, run.id, device, query).await?);
            }
        }
        if is_last || found.len() as u64 >= most {
            break;
        }
    }
    Ok(found)
}

async fn fitting(
    state: &WebState,
    run: RunId,
    device: DeviceNumber,
    query: &RunQuery,
) -> Result<Option<RunEntry>, ApiError> {
    let found = state.hub.archive.send(FindRun(run)).await??;
    Ok(found.filter(|entry| {
        entry.number != device
            && query.rule.as_ref().is_none_or(|rule| *rule == entry.rule)
            && query.parent.is_none_or(|parent| entry.parent == Some(parent))
            && (query.outcomes.is_empty() || query.outcomes.iter().any(|word| word == entry.outcome.as_str()))
            && query.from.is_none_or(|from| entry.at >= from)
            && query.to.is_none_or(|to| entry.at < to)
    }))
}
