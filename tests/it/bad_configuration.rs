//! A fault in the configuration is told in one clear line that names it, and the program ends with 2.

use std::net::TcpListener;

use crate::support::hub::run;

async fn check(args: &[&str], environment: &[(&str, &str)], expected: &[&str]) {
    let output = run(args, environment).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
    assert_eq!(told.lines().count(), 1, "{args:?}: {told}");
    assert!(told.starts_with("twinhub: "), "{args:?}: {told}");
    for part in expected {
        assert!(told.contains(part), "{args:?}: `{part}` is not in: {told}");
    }
    assert!(output.stdout.is_empty(), "{args:?}");
}

#[tokio::test]
async fn options() {
    check(&["--listen", "here"], &[], &["--listen", "here"]).await;
    check(&["--colour", "red"], &[], &["--colour"]).await;
    check(&["serve", "--retention", "a while"], &[], &["--retention", "a while"]).await;
    check(&["serve", "--first-silence", "0s"], &[], &["--first-silence", "no time at all"]).await;
    check(&["--mqtt", "http://h"], &[], &["--mqtt", "http"]).await;
    check(&["--log", "what=ever=it"], &[], &["--log", "what=ever=it"]).await;
    let words = "off, error, warn, info, debug, trace";
    check(&["--log", "loud"], &[], &["--log", "`loud` is no level", words]).await;
    check(&["--log", "info,foo=loud"], &[], &["--log", "`loud` in `foo=loud` is no level", words]).await;
    check(&["simulate", "--rate", "0"], &[], &["--rate"]).await;
}

#[tokio::test]
async fn environment() {
    check(&[], &[("TWINHUB_BODY_LIMIT", "huge")], &["huge"]).await;
    check(&[], &[("TWINHUB_LOG", "inof")], &["`inof` is no level", "did you mean `info`?"]).await;
    let open = [("TWINHUB_LISTEN", "0.0.0.0:0"), ("TWINHUB_OPEN", "true")];
    check(&[], &open, &["--open ", "--listen 0.0.0.0:0", "--open-to-network"]).await;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let args =
        ["--data-dir", data, "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--log", "error"];
    check(&args, &[("TWINHUB_DATABASE", "oracle://h/x")], &["oracle://h/x"]).await;
}

#[tokio::test]
async fn the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("twinhub.toml");
    let file = path.to_str().unwrap();
    for (text, expected) in [
        ("# mine\nlisten = '127.0.0.1:0'\nlisten-too = 1\n", [":3: ", "`listen-too`"]),
        ("retention = 7\n", [":1: ", "`retention`"]),
        ("first-silence = '0s'\n", [":1: ", "no time at all"]),
        ("listen = '127.0.0.1:0\n", [":1: ", "listen"]),
        ("# hush\nlog = 'loud'\n", [":2: ", "`loud` is no level"]),
    ] {
        std::fs::write(&path, text).unwrap();
        check(&["--config", file], &[], &[file, expected[0], expected[1]]).await;
    }
    check(&["--config", "/no/such/file.toml"], &[], &["/no/such/file.toml"]).await;
}

#[tokio::test]
async fn addresses_that_others_can_reach() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--data-dir", dir.path().to_str().unwrap(), "--mqtt-listen", "127.0.0.1:0", "--log", "error"];
    let first = "twinhub user add NAME --role admin";
    check(&[&args[..], &["--listen", "0.0.0.0:0"]].concat(), &[], &["--listen 0.0.0.0:0", first]).await;
    check(&["--listen", "0.0.0.0:0", "--open"], &[], &["--open ", "--listen 0.0.0.0:0"]).await;
    let devices = ["--mqtt-listen [::]:0", "--devices open", "--open-to-network"];
    check(&["--mqtt-listen", "[::]:0", "--devices", "open"], &[], &devices).await;
}

#[tokio::test]
async fn ports_and_files_that_cannot_be_had() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let quiet = ["--log", "error", "--data-dir", data];
    let with = |more: &[&'static str]| -> Vec<String> {
        quiet.iter().copied().chain(more.iter().copied()).map(String::from).collect()
    };
    let args = [with(&["--mqtt-listen", "127.0.0.1:0", "--listen"]), vec![taken.clone()]].concat();
    check(&args.iter().map(String::as_str).collect::<Vec<_>>(), &[], &[&taken]).await;
    let args = [with(&["--listen", "127.0.0.1:0", "--mqtt-listen"]), vec![taken.clone()]].concat();
    let way_out = format!("--mqtt mqtt://{taken}");
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    check(&args, &[], &[&taken, &way_out, "--mqtt-listen"]).await;

    let args =
        with(&["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--database", "sqlite::memory:"]);
    check(&args.iter().map(String::as_str).collect::<Vec<_>>(), &[], &["sqlite::memory:"]).await;
    // Where tests start the program, and in the folder of the data.
    for folder in [std::env::temp_dir(), dir.path().to_owned()] {
        assert!(!folder.join(":memory:.lock").exists(), "in {}", folder.display());
    }

    let file = dir.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let inside = file.join("data");
    let free = ["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--log", "error", "--data-dir"];
    let args = [&free[..], &[inside.to_str().unwrap()]].concat();
    check(&args, &[], &[inside.to_str().unwrap()]).await;
}

#[tokio::test]
async fn help_and_version_are_no_mistakes() {
    let help = run(&["--help"], &[]).await;
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && help.stderr.is_empty());
    for word in
        ["serve", "simulate", "migrate", "openapi", "--listen", "--data-dir", "TWINHUB_LISTEN", "--retention"]
    {
        assert!(text.contains(word), "`{word}` is not in the help");
    }
    let version = run(&["--version"], &[]).await;
    assert!(version.status.success() && version.stdout.starts_with(b"twinhub "));
}
