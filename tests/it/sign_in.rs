//! People, sessions and keys: who is let in, and who no more.

mod commands;
mod factors;
mod first_start;
mod keys;
mod lan;
mod links;
mod page;
mod people;
pub mod sockets;
