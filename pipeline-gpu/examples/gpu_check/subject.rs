//! The models, and what each is given.

use std::f64::consts::TAU;

use pipeline_gpu::onnx::{Inputs, Tensor, TensorError};

/// A model, and how to tell that it does the same elsewhere.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    /// The file's, without `.onnx`.
    pub(crate) name: &'static str,
    pub(crate) inputs: fn() -> Inputs,
    /// The outputs that matter.
    pub(crate) outputs: &'static [&'static str],
    /// An output, and above what the others' elements at the same places mean anything.
    pub(crate) where_sure: Option<(&'static str, f64)>,
    /// Whether shapes are fixed and all of it is convolutions and the like, so that a GPU runs nearly
    /// all of it.
    pub(crate) is_plain: bool,
}

/// Cuts out what a picture shows.
pub(crate) const U2NETP: Subject = Subject {
    name: "u2netp",
    inputs: || Inputs::from([("input.1", ellipse())]),
    outputs: &["1959"],
    where_sure: None,
    is_plain: true,
};

/// Twelve convolutions.
pub(crate) const HEAVY: Subject = Subject {
    name: "heavy",
    inputs: || Inputs::from([("images", red_on_grey())]),
    outputs: &["mean"],
    where_sure: None,
    is_plain: true,
};

/// Finds a red blob.
pub(crate) const BLOB: Subject = Subject {
    name: "blob_det320",
    inputs: || Inputs::from([("images", red_on_grey())]),
    outputs: &["output0"],
    where_sure: None,
    is_plain: true,
};

/// The pitch of a voice. Where it is not sure, any pitch is as good.
pub(crate) const SWIFT_F0: Subject = Subject {
    name: "swift_f0",
    inputs: || {
        Inputs::from([
            ("audio", voice(16_000)),
            ("fmin", Tensor::scalar(46.875_f32)),
            ("fmax", Tensor::scalar(2_093.75_f32)),
        ])
    },
    outputs: &["pitch", "confidence"],
    where_sure: Some(("confidence", 0.9)),
    is_plain: false,
};

/// Whether somebody speaks.
pub(crate) const SILERO: Subject = Subject {
    name: "silero_vad_16k",
    inputs: || {
        Inputs::from([
            ("input", voice(576)),
            ("state", tensor([2, 1, 128], vec![0.0; 256])),
        ])
    },
    outputs: &["output", "stateN"],
    where_sure: None,
    is_plain: false,
};

/// A loop of 100 000 products, to be stopped in.
pub(crate) const SLOW: Subject = Subject {
    name: "slow",
    inputs: || Inputs::from([("x", tensor([256, 256], vec![0.001; 256 * 256]))]),
    outputs: &["y"],
    where_sure: None,
    is_plain: false,
};

/// Those that come to an end.
pub(crate) const ALL: [Subject; 5] = [U2NETP, HEAVY, BLOB, SWIFT_F0, SILERO];

const SIDE: usize = 320;

/// Whether a pixel is in the ellipse that [`ellipse`] shows.
pub(crate) fn is_in_ellipse(x: usize, y: usize) -> bool {
    let (x, y) = ((x as f64 - 160.0) / 90.0, (y as f64 - 150.0) / 110.0);
    x * x + y * y <= 1.0
}

/// The part that a matte and the ellipse have in common, of what is in either.
pub(crate) fn overlap_with_ellipse(matte: &[f32]) -> f64 {
    let (mut both, mut either) = (0_u32, 0_u32);
    for (at, value) in matte.iter().enumerate() {
        let (found, real) = (*value > 0.5, is_in_ellipse(at % SIDE, at / SIDE));
        both += u32::from(found && real);
        either += u32::from(found || real);
    }
    f64::from(both) / f64::from(either)
}

/// A red ellipse on grey, as u2netp was trained: by the mean and deviation of ImageNet.
pub(crate) fn ellipse() -> Tensor {
    const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
    image(|channel, x, y| {
        let value = match is_in_ellipse(x, y) {
            true => [1.0, 0.125, 0.125][channel],
            false => 0.625,
        };
        (value - MEAN[channel]) / DEVIATION[channel]
    })
}

/// A red rectangle on grey.
fn red_on_grey() -> Tensor {
    image(|channel, x, y| {
        if (8..32).contains(&x) && (16..48).contains(&y) {
            [1.0, 0.0, 0.0][channel]
        } else {
            0.5
        }
    })
}

fn image(value: impl Fn(usize, usize, usize) -> f32) -> Tensor {
    let mut values = Vec::with_capacity(3 * SIDE * SIDE);
    for channel in 0..3 {
        for y in 0..SIDE {
            values.extend((0..SIDE).map(|x| value(channel, x, y)));
        }
    }
    tensor([1, 3, SIDE, SIDE], values)
}

/// 220 Hz with overtones, `[1, samples]` at 16 kHz: a bare sine is no voice to the models.
fn voice(samples: u32) -> Tensor {
    let at = |sample: u32| {
        let phase = f64::from(sample) / 16_000.0 * 220.0 * TAU;
        let tones = (1..8).map(|tone| (phase * f64::from(tone)).sin() * 0.3 / f64::from(tone));
        tones.sum::<f64>() as f32
    };
    tensor([1, samples as usize], (0..samples).map(at).collect())
}

fn tensor(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Tensor {
    let tensor: Result<_, TensorError> = Tensor::new(shape, values);
    tensor.expect("the values are as many as the shape says")
}
