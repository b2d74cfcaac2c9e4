//! An export: a tar archive of pictures, a contact sheet, and what is known of them.

use std::{
    fmt::Write as _,
    io::{self, BufReader, Cursor, Read},
    sync::Arc,
};

use demo::analysis::ImageFacts;
use image::{ImageFormat, ImageReader, RgbImage, imageops};
use progress_core::TaskError;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    record::Photo,
    refusal::Refusal,
    store::{Store, Stored},
};

/// A picture that is to be in it.
#[derive(Debug)]
pub(crate) struct Entry {
    about: About,
    file: Arc<Stored>,
    thumbnail: Option<Arc<Stored>>,
}

/// A picture's lines in `index.json`.
#[derive(Debug, Serialize)]
struct About {
    file: String,
    photo_id: String,
    name: String,
    sha256: Option<String>,
    approved_by: Option<String>,
    facts: Option<Arc<ImageFacts>>,
}

/// An archive that is there.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) file: Stored,
    pub(crate) sha256: String,
}

impl Entry {
    pub(crate) fn of(photo: &Photo) -> Self {
        // Names of users can be the same, and worse.
        let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let plain: String = photo.name.chars().filter(kept).take(60).collect();
        let id = &photo.photo_id;
        Self {
            about: About {
                file: format!("photos/{}-{plain}", id.get(..8).unwrap_or(id)),
                photo_id: id.clone(),
                name: photo.name.clone(),
                sha256: photo.sha256.clone(),
                approved_by: photo.decided_by.clone(),
                facts: photo.facts.clone(),
            },
            file: Arc::clone(&photo.file),
            thumbnail: photo.thumbnail.clone(),
        }
    }
}

/// Writes one. It blocks.
pub(crate) fn write(store: &Store, entries: &[Entry]) -> Result<Archive, TaskError> {
    if entries.is_empty() {
        let error = TaskError::new("NOTHING_APPROVED", "no picture of the session is approved");
        return Err(error.solution("Approve pictures, then export again"));
    }
    let file = store.file().map_err(Refusal::into_error)?;
    fill(file.as_file(), entries).map_err(|error| {
        tracing::error!(%error, "an archive could not be written");
        TaskError::new("EXPORT_FAILED", "the archive could not be written").retryable(true)
    })?;
    let sha256 = file.reopen().and_then(hash).map_err(|error| {
        tracing::error!(%error, "an archive could not be read");
        TaskError::new("EXPORT_FAILED", "the archive could not be read").retryable(true)
    })?;
    let file = store.keep(file).map_err(Refusal::into_error)?;
    Ok(Archive { file, sha256 })
}

fn fill(file: &std::fs::File, entries: &[Entry]) -> io::Result<()> {
    let mut tar = tar::Builder::new(io::BufWriter::new(file));
    let about: Vec<&About> = entries.iter().map(|entry| &entry.about).collect();
    append(&mut tar, "index.json", &serde_json::to_vec_pretty(&about)?)?;
    append(&mut tar, "contact-sheet.jpg", &contact_sheet(entries)?)?;
    for entry in entries {
        tar.append_path_with_name(entry.file.path(), &entry.about.file)?;
    }
    io::Write::flush(&mut tar.into_inner()?)
}

fn append(tar: &mut tar::Builder<impl io::Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, name, bytes)
}

/// The first pictures side by side.
fn contact_sheet(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let thumbnails: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry.thumbnail.as_deref())
        .take(SHOWN)
        .collect();
    let rows = thumbnails.len().div_ceil(COLUMNS as usize).max(1);
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    let mut sheet = RgbImage::from_pixel(COLUMNS * CELL, rows * CELL, image::Rgb([255; 3]));
    for (at, thumbnail) in (0_u32..).zip(thumbnails) {
        // Its file has no name that would tell what it is.
        let reader = ImageReader::open(thumbnail.path())?.with_guessed_format()?;
        let picture = reader.decode().map_err(io::Error::other)?;
        let picture = picture.thumbnail(CELL - GAP, CELL - GAP).to_rgb8();
        let middle = |cell: u32, side: u32| i64::from(cell * CELL + (CELL - side) / 2);
        let x = middle(at % COLUMNS, picture.width());
        let y = middle(at / COLUMNS, picture.height());
        imageops::overlay(&mut sheet, &picture, x, y);
    }
    let mut jpeg = Cursor::new(Vec::new());
    sheet
        .write_to(&mut jpeg, ImageFormat::Jpeg)
        .map_err(io::Error::other)?;
    Ok(jpeg.into_inner())
}

fn hash(file: std::fs::File) -> io::Result<String> {
    let mut file = BufReader::new(file);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
    }
    Ok(hash
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            // A String takes all that is written.
            let _written = write!(text, "{byte:02x}");
            text
        }))
}

/// Pictures on a contact sheet; the archive has all.
const SHOWN: usize = 400;
const COLUMNS: u32 = 8;
const CELL: u32 = 160;
const GAP: u32 = 12;
