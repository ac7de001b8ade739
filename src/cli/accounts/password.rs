//! Passwords as they are typed: twice and without echo on a terminal, or in one line of the standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The longest line that is read.
const LONGEST: u64 = 4_096;

/// Reads a new password.
///
/// # Errors
/// There is no terminal to ask on, both are not the same, or none comes.
pub fn read(from_stdin: bool) -> Result<String> {
    if from_stdin {
        return one_line();
    }
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask for the password on: use --password-stdin");
    }
    let quiet = Quiet::begin().context("cannot ask for the password without showing it")?;
    let first = ask("Password: ")?;
    let second = ask("The same again: ")?;
    drop(quiet);
    if first != second {
        bail!("both are not the same");
    }
    Ok(first)
}

fn ask(prompt: &str) -> Result<String> {
    eprint!("{prompt}");
    io::stderr().flush()?;
    let line = one_line();
    eprintln!(); // the one that was typed was not shown
    line
}

fn one_line() -> Result<String> {
    let mut line = String::new();
    let mut input = io::Read::take(io::stdin().lock(), LONGEST);
    input.read_line(&mut line).context("cannot read the password")?;
    let password = line.strip_suffix('\n').map_or(&*line, |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        bail!("the password is empty");
    }
    Ok(password.to_owned())
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0); // the terminal has gone
    }
}
