use std::collections::BTreeMap;

use serde::Serialize;

/// What an analysis found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Analysis {
    /// The name that the sender gave the file.
    pub name: String,
    /// The number of bytes that were hashed.
    pub size: u64,
    /// The SHA-256 of the file, as 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// What can be seen in the file, if it is a picture.
    pub image: Option<ImageFacts>,
}

/// What can be seen in a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ImageFacts {
    /// The width in pixels as the picture is meant to be shown, after its orientation is applied.
    pub width: u32,
    /// The height in pixels as the picture is meant to be shown, after its orientation is applied.
    pub height: u32,
    /// The format found in the bytes: `bmp`, `gif`, `jpeg`, `png`, `pnm`, `qoi`, `tiff` or `webp`.
    pub format: String,
    /// A fixed choice of the camera's notes; a key is there only if the picture has it.
    ///
    /// The keys are `make`, `model`, `lens`, `software`, `taken_at` (`2024-05-01 12:34:56`, the camera's
    /// local time), `orientation` (`1` to `8`), `exposure_time`, `f_number`, `iso`, `focal_length`,
    /// `flash` and `gps`, which says `present` and never where. No value is longer than 80 characters.
    pub exif: BTreeMap<String, String>,
    /// Up to five dominant colours, the most frequent first; none if every pixel is transparent.
    pub colours: Vec<Colour>,
    /// A [BlurHash](https://blurha.sh) of 4 by 3 components, to show before the picture is there.
    pub blurhash: String,
    /// How sharp the picture is.
    pub sharpness: Sharpness,
}

/// A dominant colour.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Colour {
    /// The colour in sRGB, as `#rrggbb`.
    pub hex: String,
    /// The share of the visible pixels that are nearest to this colour, above 0 and up to 1.
    pub share: f64,
}

/// How sharp a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Sharpness {
    /// The variance of the Laplacian of the 8-bit luma, with the longer side scaled down to 512 pixels.
    ///
    /// Smaller pictures are measured as they are: enlarging would blur them.
    pub score: f64,
    /// The score as a word.
    pub verdict: Verdict,
}

/// A [sharpness score](Sharpness::score) as a word.
///
/// The score counts edges, so a picture of clear sky is called blurred however well it was focused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verdict {
    /// A score below 100, the threshold in common use for this measure.
    Blurred,
    /// A score from 100 to below 400.
    Soft,
    /// A score of 400 or more.
    Sharp,
}
