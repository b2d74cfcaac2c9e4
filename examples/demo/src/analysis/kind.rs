use std::path::Path;

use image::ImageFormat;
use serde::Serialize;

/// What a file is, as far as the analysis tells files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// A picture, or a file that claims to be one.
    Image,
    /// Anything else: it gets a size and a hash.
    Other,
}

impl Kind {
    /// Tells the kind from a file name, a content type and the file's leading bytes (32 are enough).
    ///
    /// One of the three calling it a picture suffices, so that a damaged upload named `photo.jpg` is
    /// reported as damaged and not passed over as an unknown file.
    #[must_use]
    pub fn detect(name: &str, content_type: Option<&str>, head: &[u8]) -> Self {
        guess(name, content_type, head).kind()
    }
}

/// A [`Kind`] with what the decode step needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    Image(ImageFormat),
    /// A picture in a format for which no decoder is built in.
    Undecodable,
    Other,
}

impl Guess {
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Image(_) | Self::Undecodable => Kind::Image,
            Self::Other => Kind::Other,
        }
    }
}

/// Bytes come before the name and the name before the content type, because that is the order in
/// which they are right about the decoder.
pub(super) fn guess(name: &str, content_type: Option<&str>, head: &[u8]) -> Guess {
    let extension = Path::new(name)
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    // Raw files come first: most of them start with the signature of TIFF.
    if UNDECODABLE.contains(&extension.as_str()) || is_heif(head) {
        return Guess::Undecodable;
    }
    if let Some(format) = sniff(head).or_else(|| ImageFormat::from_extension(&extension)) {
        return decodable(format);
    }
    let content_type = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match ImageFormat::from_mime_type(&content_type) {
        Some(format) => decodable(format),
        None if content_type.starts_with("image/") => Guess::Undecodable,
        None => Guess::Other,
    }
}

fn decodable(format: ImageFormat) -> Guess {
    if format.reading_enabled() {
        Guess::Image(format)
    } else {
        Guess::Undecodable
    }
}

fn sniff(head: &[u8]) -> Option<ImageFormat> {
    match image::guess_format(head).ok()? {
        // Two letters that also begin words: a text about a BMW or a P2 is not a damaged picture.
        ImageFormat::Bmp if !is_bmp(head) => None,
        ImageFormat::Pnm if !is_pnm(head) => None,
        format => Some(format),
    }
}

fn is_bmp(head: &[u8]) -> bool {
    let header_size = head.get(14..18);
    head.get(6..10) == Some(&[0; 4])
        && header_size.is_some_and(|size| BMP_HEADERS.contains(&size[0]) && size[1..] == [0; 3])
}

fn is_pnm(head: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit() || *byte == b'#';
    head.get(2) == Some(&b'\n')
        && (head[3..].starts_with(b"WIDTH") || head.get(3).is_some_and(digit))
}

fn is_heif(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp")
        && head
            .get(8..12)
            .is_some_and(|brand| HEIF_BRANDS.iter().any(|known| known.as_slice() == brand))
}

/// Pictures that the `image` crate does not know by extension, or would take for something else.
const UNDECODABLE: [&str; 16] = [
    "arw", "avif", "cr2", "cr3", "dng", "heic", "heif", "jp2", "jxl", "nef", "orf", "psd", "raf",
    "rw2", "svg", "svgz",
];

const HEIF_BRANDS: [&[u8; 4]; 8] = [
    b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1",
];

/// The sizes of the headers that Windows and OS/2 have written.
const BMP_HEADERS: [u8; 7] = [12, 40, 52, 56, 64, 108, 124];
