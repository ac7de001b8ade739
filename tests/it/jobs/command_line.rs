//! `twinhub jobs`.

use serde_json::json;

use super::{devices, make, steer, until};
use crate::support::hub::{Installation, run};

#[tokio::test]
async fn a_job_is_listed_watched_and_steered() {
    let hub = Installation::new().start().await;
    let url = format!("http://{}", hub.http);
    let jobs = async |words: &[&str]| {
        let words: Vec<&str> = ["jobs", "--url", &url].into_iter().chain(words.iter().copied()).collect();
        let output = run(&words, &[]).await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(jobs(&["list"]).await, (0, "no jobs\n".into(), String::new()));
    let mut ids = devices(&hub, 30).await;
    let action = json!({ "desired": { "power": "on" } });
    let good = make(&hub, &json!({ "ids": ids, "action": action, "rate": 30 })).await;
    let (code, told, _) = jobs(&["watch", &good]).await;
    assert_eq!(code, 0, "{told}");
    assert!(told.starts_with("running "), "{told}");
    assert!(told.ends_with("done 100 %: 30 of 30 devices\n"), "{told}");

    ids.push("nobody".into());
    let bad = make(&hub, &json!({ "ids": ids, "action": action })).await;
    let (code, told, _) = jobs(&["watch", &bad]).await;
    assert_eq!(code, 1, "{told}");
    assert!(told.ends_with("31 of 31 devices, 1 failed\nnobody: there is no device `nobody`\n"), "{told}");
    let (code, told, _) = jobs(&["list", "--status", "done"]).await;
    assert!(code == 0 && told.contains(&good) && told.contains(&bad), "{told}");

    let nobody = make(&hub, &json!({ "filter": "id == 'nobody'", "action": action })).await;
    let (code, told, _) = jobs(&["watch", &nobody]).await;
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("failed 0 %: 0 of 0 devices") && told.contains("no device matched"), "{told}");

    let slow = make(&hub, &json!({ "ids": ids, "action": action, "rate": 0.5 })).await;
    for (word, status) in [("pause", "paused"), ("resume", "running"), ("cancel", "canceled")] {
        let (code, told, _) = jobs(&[word, &slow]).await;
        assert!(code == 0 && told.starts_with(status), "{word}: {told}");
        until(&hub, &slow, status).await;
    }
    let (code, told, _) = jobs(&["watch", &slow]).await;
    assert!(code == 1 && told.starts_with("canceled "), "{told}");
    assert_eq!(jobs(&["show", &good]).await.0, 0);
    let (code, _, error) = jobs(&["pause", &slow]).await;
    assert_eq!((code, &*error), (1, "twinhub: the job is canceled: it cannot be paused\n"));
    let (code, _, error) = jobs(&["show", "nothing"]).await;
    assert_eq!((code, &*error), (1, "twinhub: there is no job `nothing`\n"));
    assert_eq!(steer(&hub, &bad, "retry").await.1["round"], 2);
    let misused = run(&["jobs", "list", "--url", "here"], &[]).await;
    assert_eq!(misused.status.code(), Some(2));
}
