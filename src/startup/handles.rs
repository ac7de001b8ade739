//! File handles: every connection takes one, and so does every file of the store. Shells and service managers
//! give a program some 1,024 to begin with and let it have more for the asking.

use tracing::{info, warn};

/// Kept for the store, the rules, webhooks, and connections that are only told that there is no room.
const RESERVE: usize = 192;
/// HTTP connections when nothing is said, where there are handles enough.
const USUAL_HTTP: usize = 16_384;
/// With fewer of either, nothing works.
const LEAST: usize = 16;

/// How many connections of each kind there may be, so that none takes the handles of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub http: usize,
    pub mqtt: usize,
}

/// Takes as many handles as the system gives, shares them out, and says how. `http` and `mqtt` are what is
/// asked for, where anything is.
pub(super) fn share_out(http: Option<usize>, mqtt: usize) -> Shares {
    let handles = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(1_024, |(soft, _)| soft);
            warn!(%error, limit, "the limit of file handles could not be raised");
            usize::try_from(limit).unwrap_or(usize::MAX)
        }
    };
    let shares = shares(handles, http, mqtt);
    info!(handles, http = shares.http, mqtt = shares.mqtt, "connections at most, by file handles");
    if http.is_some_and(|http| http > shares.http) || mqtt > shares.mqtt {
        warn!(
            handles,
            "fewer file handles than connections are allowed: raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
    shares
}

fn shares(handles: usize, http: Option<usize>, mqtt: usize) -> Shares {
    let free = handles.saturating_sub(RESERVE);
    let http = http.map_or_else(|| USUAL_HTTP.min(free / 3), |http| http.min(free.saturating_sub(LEAST)));
    let http = http.max(LEAST);
    Shares { http, mqtt: mqtt.min(free.saturating_sub(http)).max(LEAST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_handles_of_the_others() {
        let check = |handles, asked, http, mqtt| {
            assert_eq!(shares(handles, asked, 10_000), Shares { http, mqtt }, "{handles} {asked:?}");
        };
        check(1_048_576, None, 16_384, 10_000);
        check(usize::MAX, None, 16_384, 10_000);
        check(4_096, None, 1_301, 2_603);
        check(1_024, None, 277, 555);
        check(1_024, Some(100), 100, 732);
        check(1_024, Some(5_000), 816, LEAST);
        check(1_048_576, Some(50_000), 50_000, 10_000);
        check(64, None, LEAST, LEAST);
    }
}
