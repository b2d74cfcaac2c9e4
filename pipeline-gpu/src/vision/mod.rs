//! Pictures: what lies before and behind a model that sees.
//!
//! Everything here is a plain synchronous function over values: no model, no runtime, no file, and
//! nothing waits. A detector is fed and read like this, and whatever runs the model stands between:
//!
//! ```
//! use image::RgbImage;
//! use pipeline_gpu::vision::{Letterbox, Yolo};
//!
//! let picture = RgbImage::new(640, 480);
//! let (input, mapping) = Letterbox::yolo(320).apply(&picture)?;
//! assert_eq!(input.shape(), [1, 3, 320, 320]);
//!
//! // What a YOLOv8 says of an empty picture: four rows of boxes and 80 of classes, all zero.
//! let (shape, output) = ([1, 84, 2100], vec![0.0; 84 * 2100]);
//! let found = Yolo::default().detect(&shape, &output, &mapping)?;
//! assert!(found.is_empty());
//! # Ok::<(), pipeline_gpu::vision::VisionError>(())
//! ```
//!
//! # Bounds
//!
//! | What | Bound | Default |
//! |---|---|---|
//! | bytes of an encoded picture | [`DecodeLimits::bytes`] | 32 MiB |
//! | pixels of a picture | [`DecodeLimits::pixels`] | 50 million |
//! | its width and its height | [`DecodeLimits::side`] | 16 384 |
//! | memory that its decoder takes | 16 bytes for each of [`DecodeLimits::pixels`], and 1 MiB | 801 MB |
//! | the side of a model's input | [`Letterbox::MAX_SIDE`] | 4 096 |
//! | the side of a matting model's output | [`Letterbox::MAX_SIDE`] | 4 096 |
//! | candidates that go into the suppression | [`Nms::max_candidates`] | 30 000 |
//! | detections that come out of it | [`Nms::max_detections`] | 300 |
//!
//! # Numbers that are none
//!
//! An output that holds NaN or an infinity is refused whole, by [`VisionError::NotFinite`]: a model
//! that overflows in one place is not to be believed in another.

mod bounds;
mod centerface;
mod coco;
mod compose;
mod decode;
mod error;
mod jpeg;
mod letterbox;
mod matte;
mod matte_model;
mod nms;
mod resize;
mod source;
mod tensor;
mod yolo;

pub use self::{
    bounds::{BoundingBox, select_largest},
    centerface::{CenterFace, CenterFaceOutput, Face},
    coco::COCO,
    compose::{compose, encode_png},
    decode::{DecodeLimits, decode},
    error::VisionError,
    letterbox::{Anchor, Letterbox, Mapping},
    matte::Matte,
    matte_model::{MatteModel, MatteRange, PixelScale},
    nms::Nms,
    tensor::ChwTensor,
    yolo::{Detection, Yolo, YoloLayout},
};
