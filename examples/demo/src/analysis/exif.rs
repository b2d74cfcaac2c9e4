use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use exif::{Exif, Field, In, Reader, Tag, Value};
use image::metadata::Orientation;

/// The camera's notes.
pub(super) struct Notes {
    pub(super) fields: BTreeMap<String, String>,
    pub(super) orientation: Orientation,
}

/// Reads the notes; a file with none, or with notes that cannot be read, has no fields and is upright.
pub(super) fn read(path: &Path) -> Notes {
    let mut notes = Notes {
        fields: BTreeMap::new(),
        orientation: Orientation::NoTransforms,
    };
    let Some(exif) = parse(path) else {
        return notes;
    };
    for (key, tag) in FIELDS {
        let value = exif
            .get_field(tag, In::PRIMARY)
            .and_then(|field| text(field, &exif));
        if let Some(value) = value {
            notes.fields.insert(key.to_owned(), value);
        }
    }
    let number = exif
        .get_field(Tag::Orientation, In::PRIMARY)
        .and_then(|field| field.value.get_uint(0))
        .and_then(|number| u8::try_from(number).ok());
    if let Some(number) = number
        && let Some(orientation) = Orientation::from_exif(number)
    {
        notes.orientation = orientation;
        notes
            .fields
            .insert("orientation".to_owned(), number.to_string());
    }
    // Where somebody lives is nothing to show on a page, that the picture tells it is.
    if exif.get_field(Tag::GPSLatitude, In::PRIMARY).is_some() {
        notes.fields.insert("gps".to_owned(), "present".to_owned());
    }
    notes
}

pub(super) const fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

fn parse(path: &Path) -> Option<Exif> {
    let mut reader = BufReader::new(File::open(path).ok()?);
    Reader::new()
        .continue_on_error(true)
        .read_from_container(&mut reader)
        .or_else(|error| error.distill_partial_result(|_| {}))
        .ok()
}

fn text(field: &Field, exif: &Exif) -> Option<String> {
    let text = match &field.value {
        // The crate would quote and escape these, except for the dates.
        Value::Ascii(lines) if field.tag != Tag::DateTimeOriginal => {
            String::from_utf8_lossy(lines.first()?).into_owned()
        }
        _ => field.display_value().with_unit(exif).to_string(),
    };
    let text: String = text
        .chars()
        .filter(|letter| !letter.is_control())
        .take(MAX_CHARS)
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A fixed list bounds what a crafted file can put on the page.
const FIELDS: [(&str, Tag); 10] = [
    ("make", Tag::Make),
    ("model", Tag::Model),
    ("lens", Tag::LensModel),
    ("software", Tag::Software),
    ("taken_at", Tag::DateTimeOriginal),
    ("exposure_time", Tag::ExposureTime),
    ("f_number", Tag::FNumber),
    ("iso", Tag::PhotographicSensitivity),
    ("focal_length", Tag::FocalLength),
    ("flash", Tag::Flash),
];

/// Longer than the names of cameras and lenses are.
const MAX_CHARS: usize = 80;
