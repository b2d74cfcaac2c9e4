//! What an analysis finds in files of many kinds, how it fails, and what its observer hears.

mod fixtures;

use std::cell::Cell;
use std::error::Error;

use demo::analysis::{
    Analysis, AnalysisError, ErrorKind, Kind, Limits, Observer, Source, Step, Verdict, analyse,
};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use tempfile::TempDir;

use fixtures::{camera_notes, checkers, encode, left_red, png_header, red_or_blue, with_exif};

const SHA256_EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SHA256_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// Of a million times the letter `a`, from FIPS 180-2.
const SHA256_MILLION: &str = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

#[test]
fn other_files_get_size_and_hash_only() {
    let million = vec![b'a'; 1_000_000];
    for (bytes, sha256) in [
        (b"".as_slice(), SHA256_EMPTY),
        (b"abc", SHA256_ABC),
        (&million, SHA256_MILLION),
    ] {
        let analysis = run("notes.txt", None, bytes).unwrap();
        assert_eq!(analysis.name, "notes.txt");
        assert_eq!(analysis.size, bytes.len() as u64);
        assert_eq!(analysis.sha256, sha256);
        assert_eq!(analysis.image, None);
    }
}

#[test]
fn name_or_content_type_or_bytes_make_an_image() {
    let png = encode(&checkers(8, 8, 1), ImageFormat::Png);
    assert_eq!(Kind::detect("a.PNG", None, b""), Kind::Image);
    assert_eq!(Kind::detect("a.heic", None, b""), Kind::Image);
    assert_eq!(Kind::detect("a", Some("IMAGE/JPEG; q=1"), b""), Kind::Image);
    assert_eq!(Kind::detect("a", Some("text/plain"), &png), Kind::Image);
    assert_eq!(Kind::detect("a", None, b"\0\0\0\x18ftypheic"), Kind::Image);
    assert_eq!(
        Kind::detect("a.txt", Some("text/plain"), b"text"),
        Kind::Other
    );
    assert_eq!(Kind::detect("", None, b""), Kind::Other);
}

#[test]
fn text_that_begins_like_a_signature_is_no_image() {
    for text in [
        "BMW builds cars in Bavaria",
        "P1 is the first of them",
        "P2\nis the second",
        "P3\n",
        "II",
        "GI",
    ] {
        assert_eq!(
            Kind::detect("a.txt", None, text.as_bytes()),
            Kind::Other,
            "{text}"
        );
    }
    let bmp = encode(&checkers(8, 8, 1), ImageFormat::Bmp);
    assert_eq!(Kind::detect("a", None, &bmp), Kind::Image);
}

#[test]
fn every_format_is_read_by_its_bytes_and_fails_when_cut_short() {
    let picture = checkers(96, 64, 5);
    for (format, name) in FORMATS {
        let bytes = encode(&picture, format);
        let analysis =
            run("upload", None, &bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let image = analysis.image.unwrap();
        assert_eq!((image.width, image.height), (96, 64), "{name}");
        assert_eq!(image.format, name);
        assert_eq!(image.blurhash.len(), 28, "{name}");

        let error = run("upload", None, &bytes[..bytes.len() / 2]).unwrap_err();
        assert_eq!(error.code(), "IMAGE_DECODE_FAILED", "{name}: {error:?}");
        assert_eq!(error.step(), Step::Decode);

        let error = run(
            &format!("text.{name}"),
            None,
            b"this is not a picture at all",
        )
        .unwrap_err();
        assert_eq!(error.code(), "IMAGE_DECODE_FAILED", "{name}: {error:?}");
    }
}

#[test]
fn bytes_win_over_a_wrong_extension() {
    let jpeg = encode(&checkers(16, 16, 4), ImageFormat::Jpeg);
    let analysis = run("photo.png", Some("image/png"), &jpeg).unwrap();
    assert_eq!(analysis.image.unwrap().format, "jpeg");
}

#[test]
fn jpeg_without_its_last_bytes_is_damaged() {
    let jpeg = encode(&checkers(64, 64, 3), ImageFormat::Jpeg);
    for missing in [2, 3, 20] {
        let error = run("a.jpg", None, &jpeg[..jpeg.len() - missing]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImageDecodeFailed, "{missing}");
    }
    let mut padded = jpeg;
    padded.extend([0; 100]);
    assert!(run("a.jpg", None, &padded).is_ok());
}

#[test]
fn damaged_image_keeps_its_hash_in_the_error() {
    let error = run("photo.png", None, b"abc").unwrap_err();
    assert_eq!(error.code(), "IMAGE_DECODE_FAILED");
    assert!(!error.is_retryable());
    assert!(!error.solutions().is_empty());
    assert!(error.source().is_some());
    let partial = error.partial().unwrap();
    assert_eq!((partial.size, partial.sha256.as_str()), (3, SHA256_ABC));
    assert_eq!(partial.image, None);
}

#[test]
fn undecodable_formats_are_named_as_such_after_hashing() {
    for (name, content_type) in [
        ("a.heic", None),
        ("a.avif", None),
        ("a.ico", None),
        ("a.svg", None),
        ("a", Some("image/x-unheard-of")),
    ] {
        let error = run(name, content_type, b"abc").unwrap_err();
        assert_eq!(error.code(), "IMAGE_FORMAT_UNSUPPORTED", "{name}");
        assert_eq!(error.partial().unwrap().sha256, SHA256_ABC);
    }
}

#[test]
fn bomb_is_refused_by_its_header() {
    let error = run("bomb.png", None, &png_header(60_000, 60_000)).unwrap_err();
    assert_eq!(error.code(), "IMAGE_TOO_LARGE");
    // Within the sides, beyond the memory.
    let error = run("bomb.png", None, &png_header(16_000, 16_000)).unwrap_err();
    assert_eq!(error.code(), "IMAGE_TOO_LARGE");
}

#[test]
fn limits_hold_for_every_format() {
    let picture = checkers(96, 64, 5);
    let folder = TempDir::new().unwrap();
    for (format, name) in FORMATS {
        let source = store(&folder, "upload", &encode(&picture, format));
        for limits in [
            Limits::default().max_width(95),
            Limits::default().max_height(63),
            Limits::default().max_memory(96 * 64 * 3 - 1),
        ] {
            let error = analyse(&source, &limits, &mut ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ImageTooLarge, "{name} {limits:?}");
        }
    }
}

#[test]
fn missing_file_is_retryable_and_names_no_path() {
    let source = Source::new("/nowhere/secret", "a.png");
    let error = analyse(&source, &Limits::default(), &mut ()).unwrap_err();
    assert_eq!(error.code(), "FILE_READ_FAILED");
    assert!(error.is_retryable());
    assert!(error.partial().is_none());
    assert!(!error.to_string().contains("secret"));
    assert_eq!(source.kind().unwrap_err().step(), Step::Hash);
}

#[test]
fn exif_is_listed_and_turns_the_picture() {
    let jpeg = with_exif(&encode(&left_red(), ImageFormat::Jpeg), &camera_notes());
    let image = run("a.jpg", None, &jpeg).unwrap().image.unwrap();
    assert_eq!((image.width, image.height), (60, 80));
    let exif: Vec<(&str, &str)> = image
        .exif
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let lens = "x".repeat(80);
    assert_eq!(
        exif,
        [
            ("exposure_time", "1/250 s"),
            ("gps", "present"),
            ("lens", lens.as_str()),
            ("make", "Acme"),
            ("model", "Box 1"),
            ("orientation", "6"),
            ("taken_at", "2024-05-01 12:34:56"),
        ]
    );
    // Orientation 6 turns clockwise, so that the left half becomes the upper half.
    let upright = RgbImage::from_fn(60, 80, |_, y| red_or_blue(y < 40));
    let upright = encode(&upright, ImageFormat::Jpeg);
    let upright = run("a.jpg", None, &upright).unwrap().image.unwrap();
    assert_eq!(image.blurhash[..14], upright.blurhash[..14]);
}

#[test]
fn corrupt_exif_does_not_fail_an_image() {
    let jpeg = encode(&left_red(), ImageFormat::Jpeg);
    for notes in [b"".as_slice(), b"garbage", b"II*\0\xFF\xFF\xFF\xFF"] {
        let image = run("a.jpg", None, &with_exif(&jpeg, notes))
            .unwrap()
            .image
            .unwrap();
        assert!(image.exif.is_empty());
        assert_eq!((image.width, image.height), (80, 60));
    }
    let mut notes = camera_notes();
    notes.truncate(notes.len() / 2);
    assert!(run("a.jpg", None, &with_exif(&jpeg, &notes)).is_ok());
}

#[test]
fn two_colours_are_found_with_their_shares() {
    let picture = RgbImage::from_fn(400, 100, |x, _| red_or_blue(x < 300));
    let image = run("a.png", None, &encode(&picture, ImageFormat::Png))
        .unwrap()
        .image
        .unwrap();
    let found: Vec<_> = image
        .colours
        .iter()
        .map(|colour| (colour.hex.as_str(), colour.share))
        .collect();
    assert_eq!(found, [("#dc143c", 0.75), ("#1e90ff", 0.25)]);
}

#[test]
fn colours_of_a_busy_picture_are_five_and_repeatable() {
    let picture = RgbImage::from_fn(200, 200, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
    let png = encode(&picture, ImageFormat::Png);
    let first = run("a.png", None, &png).unwrap().image.unwrap().colours;
    assert_eq!(first.len(), 5);
    assert!(first.is_sorted_by(|a, b| a.share >= b.share));
    assert!((first.iter().map(|colour| colour.share).sum::<f64>() - 1.0).abs() < 0.001);
    let second = run("a.png", None, &png).unwrap().image.unwrap().colours;
    assert_eq!(first, second);
}

#[test]
fn transparent_pixels_have_no_colour() {
    let half = RgbaImage::from_fn(64, 64, |x, _| {
        Rgba([9, 200, 9, if x < 32 { 255 } else { 0 }])
    });
    for (picture, colours) in [(half, 1), (RgbaImage::new(64, 64), 0)] {
        let png = encode(&DynamicImage::from(picture), ImageFormat::Png);
        let image = run("a.png", None, &png).unwrap().image.unwrap();
        assert_eq!(image.colours.len(), colours);
    }
}

#[test]
fn blurring_lowers_the_sharpness() {
    let sharp = DynamicImage::from(checkers(1200, 800, 40));
    let scores: Vec<_> = [None, Some(2.5), Some(12.0)]
        .into_iter()
        .map(|sigma| {
            let picture = sigma.map_or_else(|| sharp.clone(), |sigma| sharp.fast_blur(sigma));
            let png = encode(&picture, ImageFormat::Png);
            run("a.png", None, &png).unwrap().image.unwrap().sharpness
        })
        .collect();
    assert!(scores.is_sorted_by(|a, b| a.score > b.score), "{scores:?}");
    assert_eq!(scores[0].verdict, Verdict::Sharp);
    assert_eq!(scores[2].verdict, Verdict::Blurred);
}

#[test]
fn extreme_shapes_are_analysed() {
    for (width, height) in [(1, 1), (1, 5000), (5000, 1), (2, 3)] {
        let png = encode(&RgbImage::new(width, height), ImageFormat::Png);
        let image = run("a.png", None, &png).unwrap().image.unwrap();
        assert_eq!((image.width, image.height), (width, height));
        assert_eq!(image.sharpness.score, 0.0);
        assert_eq!(image.colours[0].hex, "#000000");
    }
}

#[test]
fn observer_hears_every_step_in_order_and_bytes_only_grow() {
    let noise = RgbImage::from_fn(400, 400, |x, y| {
        let value = x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(0x9E37_79B1).rotate_left(x % 31);
        Rgb([value as u8, (value >> 8) as u8, (value >> 16) as u8])
    });
    let png = encode(&noise, ImageFormat::Png);
    let size = png.len() as u64;
    assert!(size > 300_000);
    let folder = TempDir::new().unwrap();
    let source = store(&folder, "a.png", &png);
    assert_eq!(source.kind().unwrap(), Kind::Image);
    let mut record = Record::default();
    analyse(&source, &Limits::default(), &mut record).unwrap();

    assert_eq!(record.started, Step::for_kind(Kind::Image));
    assert_eq!(record.finished, record.started);
    for step in [Step::Hash, Step::Decode] {
        let bytes: Vec<_> = record.bytes.iter().filter(|(of, ..)| *of == step).collect();
        assert!(bytes.len() > 3, "{step}");
        assert!(bytes.is_sorted_by(|a, b| a.1 < b.1), "{step}");
        assert!(
            bytes
                .iter()
                .all(|(_, done, total)| done <= total && *total == size)
        );
        assert_eq!(bytes[0].1, 0);
        assert_eq!(bytes.last().unwrap().1, size);
    }
    assert!(record.bytes.iter().all(|(step, ..)| *step <= Step::Decode));
}

#[test]
fn cancelling_ends_the_step_it_reaches() {
    let png = encode(&checkers(64, 64, 3), ImageFormat::Png);
    let folder = TempDir::new().unwrap();
    let source = store(&folder, "a.png", &png);
    let mut steps = Vec::new();
    for calls in 0.. {
        let mut record = Record {
            patience: Some(calls),
            ..Record::default()
        };
        match analyse(&source, &Limits::default(), &mut record) {
            Ok(_) => break,
            Err(error) => {
                assert_eq!(error.code(), "CANCELLED");
                assert!(!error.is_retryable());
                assert_eq!(error.partial().is_some(), error.step() > Step::Hash);
                assert!(!record.finished.contains(&error.step()));
                steps.push(error.step());
            }
        }
    }
    assert!(steps.is_sorted());
    steps.dedup();
    assert_eq!(steps, Step::for_kind(Kind::Image));
}

#[test]
fn names_and_shape_of_the_result_are_stable() {
    let names: Vec<_> = Step::for_kind(Kind::Image)
        .iter()
        .map(|step| step.name())
        .collect();
    assert_eq!(
        names,
        ["hash", "decode", "exif", "colours", "blurhash", "sharpness"]
    );
    assert!(
        Step::for_kind(Kind::Image)
            .iter()
            .all(|step| step.weight() > 0)
    );
    let png = encode(&RgbImage::new(4, 4), ImageFormat::Png);
    let analysis = serde_json::to_value(run("a.png", None, &png).unwrap()).unwrap();
    assert_eq!(
        analysis["image"],
        serde_json::json!({
            "width": 4,
            "height": 4,
            "format": "png",
            "exif": {},
            "colours": [{ "hex": "#000000", "share": 1.0 }],
            "blurhash": "L009jvfQfQfQfQfQfQfQfQfQfQfQ",
            "sharpness": { "score": 0.0, "verdict": "blurred" },
        })
    );
}

#[test]
fn types_can_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Analysis>();
    check::<AnalysisError>();
    check::<Source>();
    check::<Limits>();
}

const FORMATS: [(ImageFormat, &str); 8] = [
    (ImageFormat::Bmp, "bmp"),
    (ImageFormat::Gif, "gif"),
    (ImageFormat::Jpeg, "jpeg"),
    (ImageFormat::Png, "png"),
    (ImageFormat::Pnm, "pnm"),
    (ImageFormat::Qoi, "qoi"),
    (ImageFormat::Tiff, "tiff"),
    (ImageFormat::WebP, "webp"),
];

/// Writes down what it hears, and cancels once it was asked `patience` times.
#[derive(Default)]
struct Record {
    started: Vec<Step>,
    finished: Vec<Step>,
    bytes: Vec<(Step, u64, u64)>,
    patience: Option<u32>,
    asked: Cell<u32>,
}

impl Observer for Record {
    fn started(&mut self, step: Step) {
        self.started.push(step);
    }

    fn progress(&mut self, step: Step, done: u64, total: u64) {
        self.bytes.push((step, done, total));
    }

    fn finished(&mut self, step: Step) {
        self.finished.push(step);
    }

    fn is_cancelled(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.patience
            .is_some_and(|patience| self.asked.get() > patience)
    }
}

fn run(name: &str, content_type: Option<&str>, bytes: &[u8]) -> Result<Analysis, AnalysisError> {
    let folder = TempDir::new().unwrap();
    let mut source = store(&folder, name, bytes);
    if let Some(content_type) = content_type {
        source = source.content_type(content_type);
    }
    analyse(&source, &Limits::default(), &mut ())
}

fn store(folder: &TempDir, name: &str, bytes: &[u8]) -> Source {
    let path = folder.path().join("stored");
    std::fs::write(&path, bytes).unwrap();
    Source::new(path, name)
}
