//! Commands: shown before they run, without standard input, judged by their exit status.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A command line that can be shown as a person would type it.
#[derive(Debug)]
pub(crate) struct Process {
    command: Command,
    /// The assignments before the command line; left out of errors, which one row has to hold.
    variables: String,
    line: String,
}

impl Process {
    pub(crate) fn new(program: &str, root: &Path) -> Self {
        let mut command = Command::new(program);
        // CI has no standard input: a command that asks must fail the same way everywhere.
        command.current_dir(root).stdin(Stdio::null());
        Self {
            command,
            variables: String::new(),
            line: program.to_owned(),
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        let arg = arg.as_ref();
        self.command.arg(arg);
        self.line.push(' ');
        self.line.push_str(&quoted(&arg.to_string_lossy()));
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let value = value.as_ref();
        self.command.env(name, value);
        let value = quoted(&value.to_string_lossy());
        self.variables.push_str(&format!("{name}={value} "));
        self
    }

    /// Runs it with its output shown; an exit status other than 0 is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("$ {self}");
        let status = self.command.status();
        let status = status.with_context(|| format!("cannot start `{}`", self.line))?;
        if !status.success() {
            bail!("`{}`: {status}", self.line);
        }
        Ok(())
    }

    /// Runs it and returns its standard output; standard error is shown.
    pub(crate) fn read(mut self) -> Result<String> {
        println!("$ {self}");
        let output = self.command.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start `{}`", self.line))?;
        if !output.status.success() {
            bail!("`{}`: {}", self.line, output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it silently: its standard output if it could be started and exited with 0. For
    /// questions whose answer may be "there is no such program".
    pub(crate) fn ask(mut self) -> Option<String> {
        let output = self.command.stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.variables, self.line)
    }
}

/// Finds an executable file by its path, or by its name in `PATH`.
pub(crate) fn find_program(program: &OsStr) -> Option<PathBuf> {
    if Path::new(program).components().count() > 1 {
        return is_executable(Path::new(program)).then(|| program.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file() || file.with_extension("exe").is_file()
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_+=./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(program: &str) -> Process {
        Process::new(program, Path::new("."))
    }

    #[test]
    fn command_is_shown_as_typed() {
        let shown = process("cargo")
            .args(["test", "--bench", "*"])
            .env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            shown.to_string(),
            "RUSTDOCFLAGS='-D warnings' cargo test --bench '*'"
        );
    }

    #[cfg(unix)]
    #[test]
    fn exit_status_decides() {
        assert!(process("true").run().is_ok());
        let error = process("false").run().unwrap_err().to_string();
        assert!(error.starts_with("`false`: exit status"), "{error}");
        assert_eq!(process("echo").arg("x").read().unwrap(), "x\n");
        assert_eq!(process("no-such-program-here").ask(), None);
    }

    #[cfg(unix)]
    #[test]
    fn programs_are_found_by_name_and_by_path() {
        let sh = find_program(OsStr::new("sh")).unwrap();
        assert_eq!(find_program(sh.as_os_str()), Some(sh));
        assert_eq!(find_program(OsStr::new("no-such-program-here")), None);
        // A directory is executable by its mode, and no program.
        assert_eq!(find_program(OsStr::new("./src")), None);
    }
}
