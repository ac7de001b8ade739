//! The program. Everything is in the library; see `cli`.

use std::process::ExitCode;

/// Made for many small allocations on several threads, which is what twins are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    twinhub::cli::run()
}
