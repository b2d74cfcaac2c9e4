//! The file of a photo to the file of its cut-out, by the stages that `pipeline-gpu` supplies and by the
//! script that one would write in Python: what a service does with a picture, its files included.

use std::{fs, sync::Arc};

use futures_util::future::try_join_all;
use pipeline_gpu::{
    Context, Pipeline, blocking,
    onnx::OnnxModel,
    stages::{CutOut, Figure, Region},
    vision::{DecodeLimits, MatteModel, decode, encode_png},
};
use progress_benches::{rounds::Effort, table::Table};
use progress_core::Reporter;
use tokio::runtime::Runtime;

use crate::{
    compare,
    contender::{Contender, Spent},
    files, model, one_thread,
};

type File = Arc<[u8]>;

/// One photo at a time, by all threads, and 32 that are all there from the beginning: by sessions of one
/// thread each here, and in Python by the quicker of its two ways. By its pool of threads Python keeps all
/// cores at work as well: what is left to win is what decoding, resizing and writing PNG take less.
pub(crate) fn rows(effort: Effort, table: &mut Table) {
    const PHOTOS: u64 = 32;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.jpg");
    photo().save(&path).unwrap();
    let file = File::from(fs::read(&path).unwrap());
    let cores = files::cores();
    let Some(mut python) = Contender::python("u2netp", &[1, cores], Some(&path)) else {
        return;
    };
    let runtime = one_thread();
    let photos = effort.repeat(PHOTOS);
    let batch = Effort {
        rounds: effort.rounds.min(3),
        ..effort
    };
    for (name, effort, items, at_least, workers, threads, ways) in [
        // One at a time leaves all threads but one of a pool without work.
        ("a photo's file", effort, 1, 1.0, 1, cores, 1),
        ("a photo's file of 32", batch, photos, 1.1, cores, 1, 2),
    ] {
        let model = model("u2netp", workers, threads);
        let pipeline = runtime.block_on(async { pipeline(&model) });
        let mut ours = || Spent::of(|| all(&runtime, &pipeline, &file, items));
        let python = &mut python[..ways];
        compare(effort, table, name, items, at_least, &mut ours, python);
    }
}

fn pipeline(model: &OnnxModel) -> Pipeline<File, Vec<u8>> {
    Pipeline::builder("cut-out")
        .stage(
            "decode",
            blocking(|_cx: &Context, file: File| {
                Ok(Region::new(decode(&file, &DecodeLimits::default())?))
            }),
        )
        .stage("matte", CutOut::new(model, MatteModel::u2net()).unwrap())
        .stage(
            "encode",
            blocking(|_cx: &Context, figure: Figure| Ok(encode_png(&figure.image)?)),
        )
        .build()
        .unwrap()
}

fn all(runtime: &Runtime, pipeline: &Pipeline<File, Vec<u8>>, file: &File, photos: u64) {
    let nobody = Reporter::noop();
    let runs = (0..photos).map(|_| pipeline.run(&nobody, Arc::clone(file)));
    let written = runtime.block_on(try_join_all(runs)).unwrap();
    assert!(written.iter().all(|png| png.starts_with(b"\x89PNG")));
}

/// A disc on a wall, in uneven light and with the noise of a sensor, as a camera of a telephone has it when
/// it sends a small one.
fn photo() -> image::RgbImage {
    let (width, height) = (1024_u32, 768_u32);
    let mut noise = 1_u32;
    image::RgbImage::from_fn(width, height, |x, y| {
        let apart = x.abs_diff(width / 2).pow(2) + y.abs_diff(height / 2).pow(2);
        let colour = if apart < 240 * 240 {
            [190, 40, 30]
        } else {
            [120, 125, 130]
        };
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let light = x * 40 / width + y * 20 / height + (noise >> 28);
        image::Rgb(colour.map(|value: u32| (value + light).min(255) as u8))
    })
}
