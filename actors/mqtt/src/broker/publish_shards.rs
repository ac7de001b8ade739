//! Publish shards: messages on one topic go out in order, and a slow subscriber holds up the topics of its own shard
//! alone.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use mqtt5::broker::router::MessageRouter;
use mqtt5::packet::publish::PublishPacket;
use tokio::sync::{mpsc, oneshot};

use crate::runtime::LinkRuntime;

/// More shards hold up fewer topics; each costs a task.
const SHARDS: usize = 16;

/// A packet, and the sender that waits for it to be routed.
type QueuedPacket = (PublishPacket, oneshot::Sender<()>);

/// Routes the hub's messages in order by device, on several tasks. The outbox bounds the queues, because it waits for
/// its messages.
pub struct PublishShards(Vec<mpsc::UnboundedSender<QueuedPacket>>);

impl PublishShards {
    /// Shards onto `router`, driven on `runtime`.
    pub(crate) fn new(router: &Arc<MessageRouter>, runtime: &LinkRuntime) -> Self {
        let shard = |_| {
            let (sender, mut packets) = mpsc::unbounded_channel::<QueuedPacket>();
            let router = Arc::clone(router);
            runtime.spawn(async move {
                while let Some((packet, routed)) = packets.recv().await {
                    router.route_message(&packet, None).await;
                    let _ = routed.send(()); // the caller may be gone
                }
            });
            sender
        };
        Self((0..SHARDS).map(shard).collect())
    }

    /// Enqueues a packet in its topic's shard, now; the receiver resolves when it was routed, or fails when
    /// the broker has stopped.
    pub fn route(&self, packet: PublishPacket) -> oneshot::Receiver<()> {
        let mut hasher = DefaultHasher::new();
        packet.topic_name.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let shard = hasher.finish() as usize % self.0.len();
        let (routed, receiver) = oneshot::channel();
        let _ = self.0[shard].send((packet, routed)); // the receiver tells of an error
        receiver
    }
}
