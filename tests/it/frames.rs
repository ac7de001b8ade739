//! Frames of WebSocket clients: texts, whole or in parts, of a megabyte at most.

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::hub::Installation;
use crate::support::{HubProcess, WebSocketSession, within};

fn part(text: String, of: Data, is_last: bool) -> Message {
    Message::Frame(Frame::message(text.into_bytes(), OpCode::Data(of), is_last))
}

/// The close code that these messages are answered with.
async fn refused(hub: &HubProcess, messages: Vec<Message>) -> u16 {
    let mut client = WebSocketSession::connect(hub.http).await;
    for message in messages {
        client.send_raw(message).await;
    }
    client.closed().await.expect("a close frame").code.into()
}

#[tokio::test]
async fn a_text_may_come_in_parts() {
    let hub = Installation::new().start().await;
    let mut client = WebSocketSession::connect(hub.http).await;
    for id in ["a", "b"] {
        client.send_raw(part(r#"{"type": "#.into(), Data::Text, false)).await;
        client.send_raw(Message::Ping("are you there".into())).await;
        client.send_raw(part(r#""ping", "id": "#.into(), Data::Continue, false)).await;
        client.send_raw(part(format!(r#""{id}"}}"#), Data::Continue, true)).await;
        let answer = within("an answer", client.next()).await.unwrap();
        assert_eq!((&answer["type"], &answer["id"]), (&"pong".into(), &id.into()), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_text_or_too_long_ends_the_session() {
    const UNSUPPORTED: u16 = 1003;
    const TOO_LONG: u16 = 1009;
    let hub = Installation::new().start().await;
    let half = || " ".repeat(600 * 1024);
    assert_eq!(refused(&hub, vec![Message::binary("{}")]).await, UNSUPPORTED);
    assert_eq!(refused(&hub, vec![part("{".into(), Data::Binary, false)]).await, UNSUPPORTED);
    assert_eq!(refused(&hub, vec![Message::text(half() + &half())]).await, TOO_LONG);
    let parts = vec![part(half(), Data::Text, false), part(half(), Data::Continue, false)];
    assert_eq!(refused(&hub, parts).await, TOO_LONG);
}
