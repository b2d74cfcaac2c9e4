//! Stages that are ready to be put into a [`Pipeline`](crate::Pipeline): a model or a service, what
//! lies before it and behind it, and what watchers are told.
//!
//! | Stage | Takes | Gives | Features |
//! |---|---|---|---|
//! | [`DetectFaces`] | [`Scene`] | [`Persons`] | `vision`, `onnx` or `download-binaries` |
//! | [`DetectYolo`] | [`Scene`] | [`Persons`] | `vision`, `onnx` or `download-binaries` |
//! | [`CutOut`] | [`Region`] | [`Figure`] | `vision`, `onnx` or `download-binaries` |
//! | [`MeasureProsody`] | [`Recording`] | [`Prosody`](crate::audio::Prosody) | `audio`, `onnx` or `download-binaries` |
//! | [`Render`] | [`RenderJob`] | [`Video`] | `remote` |
//!
//! Each takes what it needs and no more; [`part()`] puts it into a pipeline whose items are more:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use image::RgbImage;
//! use pipeline_gpu::{
//!     Pipeline,
//!     onnx::{Device, OnnxModel},
//!     stages::{CutOut, DetectFaces, Figure, Persons, Region, Scene, part},
//!     vision::MatteModel,
//! };
//!
//! struct Portrait {
//!     picture: Arc<RgbImage>,
//!     wish: String,
//! }
//!
//! # async fn build() -> Result<(), Box<dyn std::error::Error>> {
//! let faces = OnnxModel::load("models/centerface.onnx", Device::Auto).await?;
//! let matte = OnnxModel::load("models/u2netp.onnx", Device::Auto).await?;
//! let pipeline = Pipeline::builder("portraits")
//!     .stage("detect", part(
//!         DetectFaces::new(&faces)?,
//!         |portrait: Portrait| (Scene::new(Arc::clone(&portrait.picture)), portrait),
//!         |portrait: Portrait, persons: Persons| (portrait, persons),
//!     ))
//!     .stage("cut-out", part(
//!         CutOut::new(&matte, MatteModel::u2net())?,
//!         |(portrait, persons): (Portrait, Persons)| {
//!             let only = persons.selected_figure(portrait.picture.dimensions());
//!             (Region::new(Arc::clone(&portrait.picture)).only(only), portrait)
//!         },
//!         |portrait: Portrait, figure: Figure| (portrait.wish, figure),
//!     ))
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What watchers see
//!
//! A message of what is done, progress where there is something to count, and metadata of the stage: `device`, `provider`,
//! `provider_proven`, `fallback_reason` and `gpu` of its model
//! ([`OnnxModel::report_device`](crate::onnx::OnnxModel::report_device)), and what was found, as each stage says.
//!
//! # Stopping, and failing
//!
//! A run of a model stops before its next operation, loops before their next round. Errors are those of
//! [`onnx`](crate::onnx), [`vision`](crate::vision), [`audio`](crate::audio) and [`remote`](crate::remote), with their codes and solutions, and those that
//! each stage names. A model that is not of the kind that a stage takes is told when the stage is made: [`Misfit`].

#[cfg(all(feature = "__runtime", feature = "vision"))]
mod cut_out;
#[cfg(all(feature = "__runtime", feature = "vision"))]
mod detect_faces;
#[cfg(all(feature = "__runtime", feature = "vision"))]
mod detect_yolo;
#[cfg(all(feature = "__runtime", feature = "vision"))]
mod eye;
#[cfg(all(feature = "__runtime", feature = "audio"))]
mod measure_prosody;
#[cfg(all(feature = "__runtime", any(feature = "audio", feature = "vision")))]
mod misfit;
mod part;
#[cfg(all(feature = "__runtime", feature = "vision"))]
mod persons;
#[cfg(feature = "remote")]
mod render;

#[cfg(all(feature = "__runtime", feature = "audio"))]
pub use self::measure_prosody::{MeasureProsody, Recording};
#[cfg(all(feature = "__runtime", any(feature = "audio", feature = "vision")))]
pub use self::misfit::Misfit;
pub use self::part::{Part, part};
#[cfg(feature = "remote")]
pub use self::render::{Render, RenderJob, Video};
#[cfg(all(feature = "__runtime", feature = "vision"))]
pub use self::{
    cut_out::{CutOut, Figure, Region},
    detect_faces::DetectFaces,
    detect_yolo::DetectYolo,
    persons::{IfNobody, Person, Persons, Scene},
};

/// For the operation that a model is in, which nothing cuts short: until it is over, what runs the
/// model is not free for another.
#[cfg(all(feature = "__runtime", any(feature = "audio", feature = "vision")))]
const TO_STOP: std::time::Duration = std::time::Duration::from_secs(10);
