//! A photo to a cut-out by u2netp: what `python/cut_out.py` does too, step by step.

use std::hint::black_box;

use futures_util::future::try_join_all;
use pipeline_gpu::{
    Context, Pipeline, blocking,
    onnx::{OnnxModel, Tensor},
};
use progress_core::{Reporter, TaskError};
use tokio::runtime::Runtime;

const SIDE: usize = 320;
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Red, green, blue of each pixel.
type Photo = Vec<u8>;

pub(crate) fn pipeline(model: &OnnxModel) -> Pipeline<Photo, Vec<u8>> {
    let (workers, model) = (model.workers(), model.clone());
    Pipeline::builder("cut-out")
        .stage(
            "prepare",
            blocking(|_cx: &Context, photo: Photo| {
                let tensor = prepared(&photo)?;
                Ok((photo, tensor))
            }),
        )
        .stage(
            "matte",
            move |cx: Context, (photo, tensor): (Photo, Tensor)| {
                let model = model.clone();
                async move {
                    let mut outputs = model.run([("input.1", tensor)], cx.cancel()).await?;
                    Ok::<_, TaskError>((photo, outputs.take_vec::<f32>("1959")?))
                }
            },
        )
        .concurrency(workers)
        .stage(
            "compose",
            blocking(|_cx: &Context, (photo, matte): (Photo, Vec<f32>)| {
                Ok(composed(&photo, &matte))
            }),
        )
        .build()
        .unwrap()
}

/// So many photos, all at once.
pub(crate) fn all(runtime: &Runtime, pipeline: &Pipeline<Photo, Vec<u8>>, photos: u64) {
    let nobody = Reporter::noop();
    let runs = (0..photos).map(|_| pipeline.run(&nobody, photo()));
    black_box(runtime.block_on(try_join_all(runs)).unwrap());
}

/// A red disc on grey.
fn photo() -> Photo {
    let pixel = |at: usize| {
        let (x, y) = (at % SIDE, at / SIDE);
        let apart = |place: usize| place.abs_diff(SIDE / 2).pow(2);
        match apart(x) + apart(y) < 100 * 100 {
            true => [200, 25, 25],
            false => [125; 3],
        }
    };
    (0..SIDE * SIDE).flat_map(pixel).collect()
}

/// By the largest value, then by the mean and deviation of ImageNet, channel after channel.
fn prepared(photo: &[u8]) -> Result<Tensor, TaskError> {
    let largest = f32::from(photo.iter().copied().max().unwrap_or(1).max(1));
    let mut values = Vec::with_capacity(photo.len());
    for channel in 0..3 {
        let channels = photo.iter().skip(channel).step_by(3);
        values.extend(
            channels
                .map(|value| (f32::from(*value) / largest - MEAN[channel]) / DEVIATION[channel]),
        );
    }
    Ok(Tensor::new([1, 3, SIDE, SIDE], values)?)
}

/// The photo with the matte as its alpha.
fn composed(photo: &[u8], matte: &[f32]) -> Vec<u8> {
    let least = matte.iter().copied().fold(f32::INFINITY, f32::min);
    let most = matte.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = 255.0 / (most - least).max(f32::EPSILON);
    let pixels = photo.chunks_exact(3).zip(matte);
    let pixels = pixels.flat_map(|(pixel, value)| {
        [
            pixel[0],
            pixel[1],
            pixel[2],
            ((value - least) * scale) as u8,
        ]
    });
    pixels.collect()
}
