//! A child: this program once more, for what only a process of its own can show.

use crate::Result;
use crate::options::Options;
use std::process::Command;

/// Runs this benchmark as a child that does one thing, and returns what it printed.
pub(crate) fn output(options: &Options, words: &[&str]) -> Result<String> {
    let output = command(options, words)?.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("the child {words:?} failed: {said}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The command that does so.
pub(crate) fn command(options: &Options, words: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(options.to_args()).arg("--child").args(words);
    Ok(command)
}
