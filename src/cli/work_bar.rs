//! The bar that shows how far a command is.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal that shows how far the work is; nothing elsewhere.
pub struct WorkBar(ProgressBar);

impl WorkBar {
    /// One that shows nothing yet.
    pub fn new() -> Self {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %, {eta} to go");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        Self(bar.with_style(style))
    }

    /// Shows how much of it is done.
    pub fn tell(&self, work: &'static str, done: u64, all: u64) {
        if self.0.message() != work {
            self.0.set_message(work);
            self.0.reset_eta();
        }
        self.0.set_length(all);
        self.0.set_position(done.min(all));
    }

    /// Takes it away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
