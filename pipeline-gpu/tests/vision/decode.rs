//! From a file to pixels.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use pipeline_gpu::vision::{DecodeLimits, VisionError, decode};
use progress_core::TaskError;
use proptest::prelude::*;

const FORMATS: [ImageFormat; 5] = [
    ImageFormat::Bmp,
    ImageFormat::Gif,
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::WebP,
];

/// Noise: a decoder cannot guess what is missing of it.
fn picture() -> RgbImage {
    let mut state = 7u32;
    RgbImage::from_fn(61, 40, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    })
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture.clone())
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

#[test]
fn every_format_is_told_by_its_content() {
    let picture = picture();
    for format in FORMATS {
        let read = decode(&encoded(&picture, format), &DecodeLimits::default()).unwrap();
        assert_eq!(read.dimensions(), picture.dimensions(), "{format:?}");
        if matches!(
            format,
            ImageFormat::Bmp | ImageFormat::Png | ImageFormat::WebP
        ) {
            assert_eq!(read, picture, "{format:?}");
        }
    }
}

#[test]
fn a_file_that_ends_too_early_is_said_to() {
    for format in FORMATS {
        let whole = encoded(&picture(), format);
        for share in [25, 50, 75, 90, 99] {
            let part = &whole[..whole.len() * share / 100];
            let error = decode(part, &DecodeLimits::default()).unwrap_err();
            assert_eq!(error, VisionError::Truncated, "{format:?} of {share} %");
        }
    }
}

#[test]
fn limits_are_checked_before_pixels_are_decoded() {
    let bytes = encoded(&picture(), ImageFormat::Png);
    let limits = DecodeLimits::default();
    let error = decode(&bytes, &limits.bytes(bytes.len() - 1)).unwrap_err();
    assert_eq!(
        error,
        VisionError::TooManyBytes {
            bytes: bytes.len(),
            limit: bytes.len() - 1
        }
    );
    let error = decode(&bytes, &limits.side(60)).unwrap_err();
    assert_eq!(
        error,
        VisionError::SideTooLong {
            side: 61,
            limit: 60
        }
    );
    let error = decode(&bytes, &limits.pixels(61 * 40 - 1)).unwrap_err();
    assert!(matches!(
        error,
        VisionError::TooManyPixels {
            width: 61,
            height: 40,
            ..
        }
    ));
    assert!(decode(&bytes, &limits.bytes(bytes.len()).side(61).pixels(61 * 40)).is_ok());
}

#[test]
fn a_header_that_promises_a_billion_pixels_is_refused_by_its_header() {
    let mut bytes = encoded(&picture(), ImageFormat::Bmp);
    bytes[18..22].copy_from_slice(&16_000u32.to_le_bytes());
    bytes[22..26].copy_from_slice(&16_000u32.to_le_bytes());
    let error = decode(&bytes, &DecodeLimits::default()).unwrap_err();
    assert!(
        matches!(error, VisionError::TooManyPixels { width: 16_000, .. }),
        "{error}"
    );
}

#[test]
fn a_photo_is_turned_as_its_camera_was_held() {
    let picture = RgbImage::from_fn(32, 16, |x, _| {
        if x < 16 {
            Rgb([255, 0, 0])
        } else {
            Rgb([0, 0, 255])
        }
    });
    let jpeg = encoded(&picture, ImageFormat::Jpeg);
    // 6: the camera lay on its side; shown upright, what was left is above.
    let turned = decode(&with_orientation(&jpeg, 6), &DecodeLimits::default()).unwrap();
    assert_eq!(turned.dimensions(), (16, 32));
    assert!(turned.get_pixel(8, 2).0[0] > 200 && turned.get_pixel(8, 29).0[2] > 200);
    let upside_down = decode(&with_orientation(&jpeg, 3), &DecodeLimits::default()).unwrap();
    assert_eq!(upside_down.dimensions(), (32, 16));
    assert!(upside_down.get_pixel(2, 8).0[2] > 200);
}

/// Puts an EXIF segment behind a JPEG's first marker, with this orientation and nothing else.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn what_is_wrong_is_told_with_a_code_and_a_way_out() {
    let limits = DecodeLimits::default();
    for (bytes, code) in [
        (&b""[..], "IMAGE_EMPTY"),
        (b"%PDF-1.7 is no picture", "IMAGE_UNSUPPORTED"),
        (b"\x89PNG\r\n\x1a\n", "IMAGE_TRUNCATED"),
        (b"\xFF\xD8\xFF", "IMAGE_TRUNCATED"),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\x0DIHDRnonsensenonsense!",
            "IMAGE_INVALID",
        ),
    ] {
        let error = TaskError::from(decode(bytes, &limits).unwrap_err());
        assert_eq!(error.code(), code, "{}", error.message());
        assert!(!error.is_retryable());
        assert_eq!(error.solutions().len(), 1);
    }
}

proptest! {
    #[test]
    fn a_damaged_file_is_a_picture_or_an_error_and_never_a_panic(
        format in 0..FORMATS.len(),
        wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encoded(&picture(), FORMATS[format]);
        for (at, byte) in wounds {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let limits = DecodeLimits::default().pixels(1_000_000);
        if let Ok(picture) = decode(&bytes, &limits) {
            prop_assert!(u64::from(picture.width()) * u64::from(picture.height()) <= 1_000_000);
        }
    }
}
