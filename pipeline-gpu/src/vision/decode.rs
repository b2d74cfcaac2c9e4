//! From the bytes of a file to pixels that stand upright.

use std::panic;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Rgb, RgbImage,
    error::LimitErrorKind,
};

use super::{error::VisionError, jpeg, source::Source};

/// How large a picture can be. Checked against its header, before its pixels are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// The most bytes of the file. Default: 32 MiB.
    pub bytes: usize,
    /// The most pixels, width times height. Default: 50 million, which are 150 MB as RGB.
    pub pixels: u64,
    /// The longest side. Default: 16 384.
    pub side: u32,
}

impl DecodeLimits {
    /// Sets the most bytes of the file.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the most pixels.
    #[must_use]
    pub fn pixels(mut self, pixels: u64) -> Self {
        self.pixels = pixels;
        self
    }

    /// Sets the longest side.
    #[must_use]
    pub fn side(mut self, side: u32) -> Self {
        self.side = side;
        self
    }

    /// The most memory that decoding takes: four channels of 16 bits, and as much again for what the
    /// decoder keeps of the frame.
    fn memory(&self) -> u64 {
        self.pixels.saturating_mul(16).saturating_add(1 << 20)
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            bytes: 32 << 20,
            pixels: 50_000_000,
            side: 16_384,
        }
    }
}

/// Decodes a picture: BMP, GIF (its first frame), JPEG, PNG or WebP, told by its content.
///
/// It is turned as its EXIF orientation says. Transparent pixels are laid over white, for what lies
/// under them was never meant to be seen. Colours are taken as sRGB.
///
/// ```
/// use pipeline_gpu::vision::{DecodeLimits, VisionError, decode};
///
/// let limits = DecodeLimits::default().bytes(8 << 20);
/// assert_eq!(decode(b"", &limits), Err(VisionError::Empty));
/// assert_eq!(decode(b"no picture", &limits), Err(VisionError::UnknownFormat));
/// ```
///
/// # Errors
///
/// [`VisionError`] says what is wrong with the file, or which limit it exceeds. A file that ends too
/// early is [`VisionError::Truncated`]: no picture is half grey.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, VisionError> {
    if bytes.is_empty() {
        return Err(VisionError::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(VisionError::TooManyBytes {
            bytes: bytes.len(),
            limit: limits.bytes,
        });
    }
    let format = image::guess_format(bytes).map_err(|_| VisionError::UnknownFormat)?;
    // The decoder of JPEG fills what is missing with grey.
    if format == ImageFormat::Jpeg && !jpeg::is_whole(bytes) {
        return Err(VisionError::Truncated);
    }
    // The decoders are others', and read what strangers send: where one gives up by a panic, the file
    // is damaged, and nothing of the decoder is used again.
    panic::catch_unwind(|| whole(bytes, format, limits)).unwrap_or_else(|_| {
        Err(VisionError::Corrupt {
            reason: "its decoder gave up".to_owned(),
        })
    })
}

fn whole(
    bytes: &[u8],
    format: ImageFormat,
    limits: &DecodeLimits,
) -> Result<RgbImage, VisionError> {
    let source = Source::new(bytes);
    read(source.clone(), format, limits).map_err(|error| match error {
        // Decoders say in many ways that they miss something; that they asked for it is sure.
        VisionError::Corrupt { .. } if format != ImageFormat::Jpeg && source.has_ended() => {
            VisionError::Truncated
        }
        error => error,
    })
}

fn read(
    source: Source<'_>,
    format: ImageFormat,
    limits: &DecodeLimits,
) -> Result<RgbImage, VisionError> {
    let mut reader = ImageReader::with_format(source, format);
    let mut allowed = image::Limits::no_limits();
    allowed.max_alloc = Some(limits.memory());
    reader.limits(allowed);
    let mut decoder = reader.into_decoder().map_err(told)?;
    let (width, height) = decoder.dimensions();
    check(width, height, limits)?;
    let orientation = decoder.orientation().map_err(told)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(told)?;
    picture.apply_orientation(orientation);
    Ok(flatten(picture))
}

fn check(width: u32, height: u32, limits: &DecodeLimits) -> Result<(), VisionError> {
    let side = width.max(height);
    if side > limits.side {
        return Err(VisionError::SideTooLong {
            side,
            limit: limits.side,
        });
    }
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(VisionError::TooManyPixels {
            width,
            height,
            limit: limits.pixels,
        });
    }
    if width == 0 || height == 0 {
        return Err(VisionError::NoPixels);
    }
    Ok(())
}

fn flatten(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let picture = picture.into_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
        let over = |value: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        Rgb([over(red), over(green), over(blue)])
    })
}

fn told(error: ImageError) -> VisionError {
    match error {
        ImageError::Unsupported(error) => VisionError::Unsupported {
            reason: error.to_string(),
        },
        // Only memory is limited there, and by the number of pixels.
        ImageError::Limits(error) if error.kind() == LimitErrorKind::InsufficientMemory => {
            VisionError::Unsupported {
                reason: "decoding takes more memory than its pixels account for".to_owned(),
            }
        }
        error => VisionError::Corrupt {
            reason: error.to_string(),
        },
    }
}
