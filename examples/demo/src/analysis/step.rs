use std::fmt;

use serde::Serialize;

use super::Kind;

/// One visible part of an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Step {
    /// Reads the file and computes its SHA-256; reports bytes.
    Hash,
    /// Decodes the pixels and scales them down to a working copy; reports the bytes the decoder has read.
    Decode,
    /// Reads the camera's notes and turns the working copy upright.
    Exif,
    /// Finds the dominant colours.
    Colours,
    /// Computes the blurred placeholder.
    Blurhash,
    /// Measures how sharp the picture is.
    Sharpness,
}

impl Step {
    /// Returns the steps that [`analyse`](super::analyse) goes through for a file of this kind, in order.
    #[must_use]
    pub const fn for_kind(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Image => &[
                Self::Hash,
                Self::Decode,
                Self::Exif,
                Self::Colours,
                Self::Blurhash,
                Self::Sharpness,
            ],
            Kind::Other => &[Self::Hash],
        }
    }

    /// Returns the stable lower-case name: `hash`, `decode`, `exif`, `colours`, `blurhash` or `sharpness`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Decode => "decode",
            Self::Exif => "exif",
            Self::Colours => "colours",
            Self::Blurhash => "blurhash",
            Self::Sharpness => "sharpness",
        }
    }

    /// Returns how much of an analysis this step suggests itself to be, in relation to the other steps.
    #[must_use]
    pub const fn weight(self) -> u32 {
        WEIGHTS[self as usize]
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// In the order of the variants. A JPEG of 12 megapixels took 1.9, 119, 2.1, 2.7, 0.4 and 1.7 ms (a
/// release build on a cloud VM, 2 cores of x86-64 with SHA instructions). The short steps are rounded
/// up, since they weigh more for small pictures, and so is the hash, for processors without the instructions.
const WEIGHTS: [u32; 6] = [6, 84, 2, 4, 1, 3];
