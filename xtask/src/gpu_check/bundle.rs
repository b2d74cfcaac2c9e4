//! The folder that is carried, and what is known of how its files were made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use crate::process::Process;

/// What [`Bundle::sum`] writes; it is of all other files.
const SUMS: &str = "SHA256SUMS";

/// A folder in the making. What takes minutes is made once: a note beside the folder says by which
/// recipe, and with which checksum it came out.
pub(super) struct Bundle {
    root: PathBuf,
    folder: PathBuf,
    notes: PathBuf,
}

impl Bundle {
    /// Opens `bundle` in `folder`, which need not be there.
    pub(super) fn open(root: &Path, folder: &Path) -> Result<Self> {
        let bundle = Self {
            root: root.to_owned(),
            folder: folder.join("bundle"),
            notes: folder.join("made"),
        };
        for folder in [&bundle.folder, &bundle.notes] {
            make(folder)?;
        }
        Ok(bundle)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Tells whether a file is there as that recipe made it.
    pub(super) fn is_made(&self, name: &str, recipe: &str) -> bool {
        let Ok(note) = fs::read_to_string(self.notes.join(name)) else {
            return false;
        };
        let sum = || checksum(&self.root, &self.folder.join(name));
        match note.split_once('\n') {
            Some((noted, sha256)) => noted == recipe && sum().is_ok_and(|sum| sum == sha256.trim()),
            None => false,
        }
    }

    /// Notes that a file was made by that recipe.
    pub(super) fn note(&self, name: &str, recipe: &str) -> Result<()> {
        let sha256 = checksum(&self.root, &self.folder.join(name))?;
        let note = self.notes.join(name);
        fs::write(&note, format!("{recipe}\n{sha256}\n"))
            .with_context(|| format!("cannot write {}", note.display()))
    }

    pub(super) fn copy(&self, from: &Path, name: &str) -> Result<()> {
        let to = self.folder.join(name);
        make(to.parent().unwrap_or(&self.folder))?;
        fs::copy(from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        Ok(())
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let to = self.folder.join(name);
        fs::write(&to, text).with_context(|| format!("cannot write {}", to.display()))
    }

    /// Brings a file here compressed by xz, whole or not at all.
    pub(super) fn compress(&self, from: &Path, name: &str) -> Result<()> {
        // One thread: with several, each has a part of its own to compress, and not as well.
        let xz = Process::new("xz", &self.root).args(["--force", "--keep", "-6", "--threads=1"]);
        xz.arg(from).run()?;
        let mut made = from.as_os_str().to_owned();
        made.push(".xz");
        let to = self.folder.join(name);
        fs::rename(&made, &to).with_context(|| format!("cannot move to {}", to.display()))
    }

    /// Writes the checksums of all files, which are compared where the folder is carried to.
    pub(super) fn sum(&self) -> Result<()> {
        let mut names = self.names()?;
        names.retain(|name| name != SUMS);
        let sums = Process::new("sha256sum", &self.folder)
            .args(&names)
            .read()?;
        self.write(SUMS, &sums)
    }

    /// The bytes of all files.
    pub(super) fn size(&self) -> Result<u64> {
        let mut bytes = 0;
        for name in self.names()? {
            let file = self.folder.join(name);
            let meta = fs::metadata(&file);
            bytes += meta
                .with_context(|| format!("cannot read {}", file.display()))?
                .len();
        }
        Ok(bytes)
    }

    /// The files, by their paths in the folder.
    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let place = self.folder.join(&folder);
            let entries = fs::read_dir(&place);
            for entry in entries.with_context(|| format!("cannot list {}", place.display()))? {
                let entry = entry?;
                let name = entry.file_name().into_string();
                let name = name.map_err(|name| anyhow!("{} is no name", name.display()))?;
                let path = format!("{folder}{name}");
                if entry.file_type()?.is_dir() {
                    folders.push(path + "/");
                } else {
                    names.push(path);
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn checksum(root: &Path, file: &Path) -> Result<String> {
    let said = Process::new("sha256sum", root).arg(file).ask();
    let said = said.with_context(|| format!("no checksum of {}", file.display()))?;
    let sum = said.split_whitespace().next().unwrap_or_default();
    Ok(sum.trim_start_matches('\\').to_owned())
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process;

    use super::*;

    #[test]
    fn what_was_made_is_known_until_the_recipe_or_the_file_changes() {
        let folder = env::temp_dir().join(format!("progress-bundle-{}", process::id()));
        let bundle = Bundle::open(Path::new("."), &folder).unwrap();
        assert!(!bundle.is_made("library", "recipe"));
        bundle.write("library", "bytes").unwrap();
        assert!(!bundle.is_made("library", "recipe"), "nothing was noted");
        bundle.note("library", "recipe").unwrap();
        assert!(bundle.is_made("library", "recipe"));
        assert!(!bundle.is_made("library", "another"));
        bundle.write("library", "other bytes").unwrap();
        assert!(!bundle.is_made("library", "recipe"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn checksums_are_of_all_files_and_the_size_is_theirs_too() {
        let folder = env::temp_dir().join(format!("progress-sums-{}", process::id()));
        let bundle = Bundle::open(Path::new("."), &folder).unwrap();
        let from = folder.join("from");
        fs::write(&from, "abc").unwrap();
        bundle.copy(&from, "models/a").unwrap();
        bundle.write("run.sh", "").unwrap();
        for _ in 0..2 {
            bundle.sum().unwrap();
        }
        let sums = fs::read_to_string(bundle.folder().join(SUMS)).unwrap();
        let lines: Vec<_> = sums.lines().collect();
        assert_eq!(
            lines,
            [
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  models/a",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  run.sh",
            ]
        );
        assert_eq!(bundle.size().unwrap(), 3 + sums.len() as u64);
        fs::remove_dir_all(&folder).unwrap();
    }
}
