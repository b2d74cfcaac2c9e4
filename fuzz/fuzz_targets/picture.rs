//! Any bytes as the file of a picture: pixels within the limits, or an error that names what is wrong.
//! What is a picture can be shown to a detector, cut out and written.

#![no_main]

mod decoders;

use libfuzzer_sys::fuzz_target;
use pipeline_gpu::vision::{DecodeLimits, Letterbox, MatteModel, compose, decode, encode_png};
use progress_core::TaskError;

fuzz_target!(init: decoders::may_give_up(), |bytes: &[u8]| {
    let limits = DecodeLimits::default().pixels(1 << 16).side(1 << 10);
    match decode(bytes, &limits) {
        Ok(picture) => {
            let (width, height) = picture.dimensions();
            assert!(width > 0 && height > 0, "{width} x {height}");
            assert!(width.max(height) <= 1 << 10 && width * height <= 1 << 16);
            let (input, _) = Letterbox::yolo(64).apply(&picture).expect("it has pixels");
            assert_eq!(input.shape(), [1, 3, 64, 64]);
            let matte = MatteModel::u2net().matte(&[1, 1, 2, 2], &[0.0, 0.5, 0.5, 1.0], (width, height));
            let matte = matte.expect("the map is finite and the picture has pixels");
            let cut_out = compose(&picture, &matte, None).expect("both are of one size");
            assert!(encode_png(&cut_out).expect("it has pixels").starts_with(b"\x89PNG"));
        }
        Err(error) => {
            let told = TaskError::from(error);
            assert!(!told.is_retryable(), "{told:?}");
        }
    }
});
