//! The beginning of a connection where HTTP is served over TLS: its handshake, or, for a client that speaks HTTP in the
//! clear, an answer that leads it to the right address. No route is reached in the clear.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use twinhub_tls::ServerTls;

use super::Hosts;
use super::stream::{CuttableStream, HttpStream};

/// The first byte of a TLS connection: the record type of a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// A handshake takes no longer than that.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that are read of a request in the clear.
const LONGEST_HEAD: usize = 8 * 1_024;
/// The time that a client has to take the answer to it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Headers that bring a credential.
const CREDENTIALS: [&str; 2] = ["authorization", "cookie"];

/// The stream of a connection whose handshake is done.
///
/// # Errors
/// It failed, took too long, or the client spoke in the clear and has its answer.
pub(super) async fn shake_hands(
    mut stream: CuttableStream,
    tls: &ServerTls,
    hosts: impl FnOnce() -> Hosts,
) -> io::Result<HttpStream> {
    let shaken = async {
        match stream.first_byte().await? {
            Some(TLS_HANDSHAKE) => {}
            Some(byte) if byte.is_ascii_uppercase() => {
                answer_in_the_clear(&mut stream, &hosts()).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "HTTP in the clear"));
            }
            Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "neither TLS nor HTTP")),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        let stream = tls.http().accept(stream).await?;
        let certificate = tls.peer(stream.get_ref().1);
        Ok(HttpStream::Tls(Box::new(stream), certificate))
    };
    timeout(HANDSHAKE_WITHIN, shaken).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn answer_in_the_clear(stream: &mut CuttableStream, hosts: &Hosts) -> io::Result<()> {
    let mut head = Vec::with_capacity(1_024);
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let answer = answer(&String::from_utf8_lossy(&head), hosts);
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // A socket that is closed with unread bytes resets the connection, and the answer would be lost.
        while stream.read_buf(&mut head).await? > 0 && head.len() < 4 * LONGEST_HEAD {}
        io::Result::Ok(())
    };
    timeout(ANSWER_WITHIN, told).await.unwrap_or(Ok(()))
}

/// The whole answer to a request with this head: a redirection, where that repeats nothing and gives nothing away.
fn answer(head: &str, hosts: &Hosts) -> String {
    let (request, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: Vec<(String, &str)> = headers
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let mut named = headers.iter().filter(|(name, _)| name == "host").map(|(_, value)| *value);
    let host = named.next().filter(|host| named.next().is_none() && hosts.has(host));
    let is_told = headers.iter().any(|(name, _)| CREDENTIALS.contains(&name.as_str()));
    let is_plain = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic());
    let (status, more, text) = match host {
        Some(host) if matches!(method, "GET" | "HEAD") && is_plain && !is_told => {
            let to = format!("https://{host}{target}");
            (
                "307 Temporary Redirect",
                format!("Location: {to}\r\n"),
                format!("This hub speaks HTTPS: {to}\n"),
            )
        }
        Some(host) => {
            let warning = if is_told { " What this request said could be read on the way." } else { "" };
            let text = format!("This hub speaks HTTPS, not HTTP: ask https://{host} instead.{warning}\n");
            ("400 Bad Request", String::new(), text)
        }
        None => ("400 Bad Request", String::new(), "This hub speaks HTTPS, not HTTP.\n".into()),
    };
    let body = if method == "HEAD" { "" } else { &text };
    format!(
        "HTTP/1.1 {status}\r\n{more}Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
         Cache-Control: no-store\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        text.len()
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hosts() -> Hosts {
        Hosts::new("hub", None, &[])
    }

    #[test]
    fn a_reader_in_the_clear_is_led_to_https() {
        let check = |head: &str, expected: &str, part: &str| {
            let answer = answer(&head.replace('\n', "\r\n"), &hosts());
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {expected} ")) && answer.contains(part),
                "{head}\n{answer}"
            );
        };
        check(
            "GET /a?b=c HTTP/1.1\nHost: hub.local:8080\n\n",
            "307",
            "Location: https://hub.local:8080/a?b=c\r\n",
        );
        check("HEAD / HTTP/1.1\nhost:127.0.0.1\n\n", "307", "Location: https://127.0.0.1/\r\n");
        check("POST / HTTP/1.1\nHost: hub.local\n\n", "400", "ask https://hub.local instead.\n");
        check("GET / HTTP/1.1\nHost: hub\nAuthorization: Bearer t\n\n", "400", "could be read on the way");
        check("GET / HTTP/1.1\nHost: hub\nCookie: a=b\n\n", "400", "could be read on the way");
        check("GET / HTTP/1.1\nHost: evil.example\n\n", "400", "This hub speaks HTTPS, not HTTP.\n");
        check(
            "GET / HTTP/1.1\nHost: hub\nHost: evil.example\n\n",
            "400",
            "This hub speaks HTTPS, not HTTP.\n",
        );
        check("GET http://evil.example/ HTTP/1.1\nHost: hub\n\n", "400", "ask https://hub instead");
        check("GET", "400", "HTTPS");
    }

    proptest! {
        /// A request puts no line into the answer's head, whatever it says.
        #[test]
        fn an_answer_has_the_lines_that_it_is_given(target in "\\PC{0,40}", host in "\\PC{0,40}", more in "[ -~\r\n]{0,60}") {
            let answer = answer(&format!("GET /{target} HTTP/1.1\r\nHost: {host}\r\n{more}"), &hosts());
            let (head, _) = answer.split_once("\r\n\r\n").unwrap();
            let known = ["HTTP/1.1 ", "Location: https://", "Content-", "X-Content-", "Cache-Control: ", "Connection: "];
            for line in head.split("\r\n") {
                prop_assert!(known.iter().any(|start| line.starts_with(start)), "{line}");
                prop_assert!(!line.contains('\n') && !line.contains('\r'));
            }
        }
    }
}
