//! Memory that is free again goes back to the system.
//!
//! mimalloc keeps pages that have become empty for a second, lest they be wanted again; what happens next to
//! be allocated or freed as a whole page gives them back. In a hub that has grown quiet nothing is, and so it
//! would sit on whatever its last busy moment needed. A thread that ends makes mimalloc look through all of
//! them, and ends in some 30 µs.

use std::hint::black_box;
use std::time::Duration;

/// The interval. Longer than mimalloc keeps an empty page.
const EVERY: Duration = Duration::from_secs(2);
/// The least that systems take: the thread does nothing.
const STACK: usize = 16 * 1024;

/// Gives back what is free, again and again.
pub async fn release_free_memory() {
    loop {
        tokio::time::sleep(EVERY).await;
        // It allocates, or mimalloc would not know of it. Where no thread can be had, the next may.
        let _ = std::thread::Builder::new().stack_size(STACK).spawn(|| drop(black_box(Box::new(0_u8))));
    }
}
