//! File handles: every connection takes one, and so does every file of the store. Shells and service managers
//! start a program with a soft limit of 1,024, which it may raise up to the hard limit.

use tracing::{info, warn};
use twinhub_mqtt::broker::most_unadmitted;

/// Handles kept for the store, rule files, webhooks, and HTTP connections that are refused.
const RESERVE: usize = 192;
/// The default limit of HTTP connections, where there are handles enough.
const USUAL_HTTP: usize = 16_384;
/// The least of either kind.
const LEAST: usize = 16;

/// Connection limits by kind, so that no kind takes the handles of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandleShares {
    pub http: usize,
    pub mqtt: usize,
}

/// Raises the limit of file handles as far as allowed, divides it, and logs the result. `http` and `mqtt` are the
/// configured limits.
pub(super) fn share_out(http: Option<usize>, mqtt: usize) -> HandleShares {
    let handles = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(1_024, |(soft, _)| soft);
            warn!(%error, limit, "the limit of file handles could not be raised");
            usize::try_from(limit).unwrap_or(usize::MAX)
        }
    };
    let shares = shares(handles, http, mqtt);
    info!(handles, http = shares.http, mqtt = shares.mqtt, "connection limits");
    if http.is_some_and(|http| http > shares.http) || mqtt > shares.mqtt {
        warn!(
            handles,
            "fewer file handles than connections are allowed: raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
    shares
}

/// Divides so many handles.
pub(crate) fn shares(handles: usize, http: Option<usize>, mqtt: usize) -> HandleShares {
    let free = handles.saturating_sub(RESERVE);
    let http = http.map_or_else(|| USUAL_HTTP.min(free / 3), |http| http.min(free.saturating_sub(LEAST)));
    let http = http.max(LEAST);
    let left = free.saturating_sub(http);
    // Sockets that are no clients yet take handles, too.
    let most = left.saturating_sub(most_unadmitted(mqtt.min(left))).max(LEAST);
    HandleShares { http, mqtt: mqtt.min(most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_takes_the_handles_of_the_others() {
        let check = |handles, asked, http, mqtt| {
            assert_eq!(shares(handles, asked, 10_000), HandleShares { http, mqtt }, "{handles} {asked:?}");
        };
        check(1_048_576, None, 16_384, 10_000);
        check(usize::MAX, None, 16_384, 10_000);
        check(4_096, None, 1_301, 2_343);
        check(1_024, None, 277, 500);
        check(1_024, Some(100), 100, 659);
        check(1_024, Some(5_000), 816, LEAST);
        check(1_048_576, Some(50_000), 50_000, 10_000);
        check(64, None, LEAST, LEAST);
        assert_eq!(shares(4_096, None, 1).mqtt, 1, "fewer than there could be are as many as were asked for");
        for handles in [300, 500, 1_024, 4_096, 65_536] {
            let HandleShares { http, mqtt } = shares(handles, None, 10_000);
            assert!(
                RESERVE + http + mqtt + most_unadmitted(mqtt) <= handles,
                "{handles}: sockets before their CONNECT"
            );
        }
    }
}
