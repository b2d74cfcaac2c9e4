//! Files as they come and go: what they are, and how large their pictures have to be.

use image::{DynamicImage, RgbImage, imageops::FilterType};

/// What a file is, told by how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sniffed {
    /// A name for it.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) content_type: &'static str,
}

impl Sniffed {
    /// Looks at how a file begins, or at all of it.
    pub(crate) fn of(head: &[u8]) -> Self {
        let (name, content_type) = match head {
            [b'R', b'I', b'F', b'F', ..] => ("voice.wav", "audio/wav"),
            [b'f', b'L', b'a', b'C', ..] => ("voice.flac", "audio/flac"),
            [0x89, b'P', b'N', b'G', ..] => ("talking-video.png", "image/apng"),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => ("talking-video.mp4", "video/mp4"),
            [0x1A, 0x45, 0xDF, 0xA3, ..] => ("talking-video.webm", "video/webm"),
            [b'I', b'D', b'3', ..] | [0xFF, 0xE0..=0xFF, ..] => ("voice.mp3", "audio/mpeg"),
            _ => ("file", "application/octet-stream"),
        };
        Self { name, content_type }
    }
}

/// No larger than is of use: a dozen of them are in the pipeline at a time, while only one is read.
pub(crate) fn fitted(picture: RgbImage) -> RgbImage {
    // Those that fit would be made larger.
    if picture.width().max(picture.height()) <= LONGEST_SIDE {
        return picture;
    }
    let picture = DynamicImage::from(picture);
    let fitted = picture.resize(LONGEST_SIDE, LONGEST_SIDE, FilterType::Triangle);
    fitted.into_rgb8()
}

const LONGEST_SIDE: u32 = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_large_is_made_smaller() {
        let size = |width, height| fitted(RgbImage::new(width, height)).dimensions();
        assert_eq!(size(3, 5), (3, 5));
        assert_eq!(size(2_048, 1), (2_048, 1));
        assert_eq!(size(4_096, 1_024), (2_048, 512));
        assert_eq!(size(1, 10_000), (1, 2_048));
    }

    #[test]
    fn files_are_known_by_how_they_begin() {
        let is = |head: &[u8]| Sniffed::of(head).content_type;
        assert_eq!(is(b"RIFF\x24\0\0\0WAVE"), "audio/wav");
        assert_eq!(is(b"\xFF\xFB\x90"), "audio/mpeg");
        assert_eq!(is(b"\0\0\0\x18ftypmp42"), "video/mp4");
        assert_eq!(is(b"\x89PNG\r\n"), "image/apng");
        assert_eq!(is(b"<html>"), "application/octet-stream");
        assert_eq!(is(b""), "application/octet-stream");
    }
}
