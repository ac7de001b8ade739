//! TLS: HTTP and MQTT with a certificate that clients can trust, and MQTT over WebSocket.

mod certificates;
mod clients;
mod device_certificates;
mod expiry;
mod websocket;
