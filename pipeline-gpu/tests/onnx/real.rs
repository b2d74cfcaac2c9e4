//! Models of others, which `cargo xtask models` fetches: that they run here, and give what they are
//! known for.

use std::{env, process::Command};

use pipeline_gpu::{
    Cancel,
    onnx::{ElementType, OnnxError, OnnxModel, Tensor},
};
use progress_core::ProgressTracker;

use crate::support::{fetched, load, on_cpu, run, sine, soon, until};

fn real(name: &str) -> pipeline_gpu::onnx::ModelBuilder {
    on_cpu(OnnxModel::builder(fetched(name))).check_finite(true)
}

#[test]
fn u2netp_cuts_out_a_red_ellipse() {
    const SIZE: usize = 320;
    let inside = |x: usize, y: usize| {
        let (x, y) = ((x as f64 - 160.0) / 90.0, (y as f64 - 150.0) / 110.0);
        x * x + y * y <= 1.0
    };
    // As the model was trained: by the largest value, then by the mean and deviation of ImageNet.
    let colours = |x, y| {
        if inside(x, y) {
            [0.8_f32, 0.1, 0.1]
        } else {
            [0.5; 3]
        }
    };
    let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let places =
        (0..3).flat_map(|c| (0..SIZE).flat_map(move |y| (0..SIZE).map(move |x| (c, x, y))));
    let pixels = places.map(|(c, x, y)| (colours(x, y)[c] / 0.8 - mean[c]) / deviation[c]);
    let image = Tensor::new([1, 3, SIZE, SIZE], pixels.collect()).unwrap();

    let mut outputs = run(&load(real("u2netp.onnx")).unwrap(), [("input.1", image)]);
    let matte: Vec<f32> = outputs.take_vec("1959").unwrap();
    let (mut both, mut either) = (0_u32, 0_u32);
    for (at, value) in matte.iter().enumerate() {
        let (found, real) = (*value > 0.5, inside(at % SIZE, at / SIZE));
        both += u32::from(found && real);
        either += u32::from(found || real);
    }
    let overlap = f64::from(both) / f64::from(either);
    assert!(overlap > 0.95, "{overlap}");
}

#[test]
fn swift_f0_hears_the_pitch_of_a_voice() {
    let model = load(real("swift_f0.onnx").warm_up_shape("audio", [1, 16_000])).unwrap();
    assert!(model.placement().is_proven());
    for hertz in [110.0, 220.0, 330.0] {
        let inputs = [
            ("audio", voice(hertz)),
            ("fmin", Tensor::scalar(46.875_f32)),
            ("fmax", Tensor::scalar(2_093.75_f32)),
        ];
        let mut outputs = run(&model, inputs);
        // The one output that is double.
        assert_eq!(
            outputs.get("pitch").unwrap().element_type(),
            ElementType::F64
        );
        let pitch: Vec<f64> = outputs.take_vec("pitch").unwrap();
        let confidence: Vec<f32> = outputs.take_vec("confidence").unwrap();
        let sure = pitch
            .iter()
            .zip(&confidence)
            .filter(|(_, sure)| **sure > 0.9);
        let mut sure: Vec<_> = sure.map(|(pitch, _)| *pitch).collect();
        assert!(
            sure.len() > pitch.len() / 2,
            "{} of {}",
            sure.len(),
            pitch.len()
        );
        sure.sort_by(f64::total_cmp);
        let median = sure[sure.len() / 2];
        assert!((median - hertz).abs() < 2.0, "{median} is not {hertz}");
    }
}

/// A second of a tone with overtones, as voices have them: a bare sine is none to the model.
fn voice(hertz: f64) -> Tensor {
    let tones = (1..8_u8).map(|overtone| {
        let tone = sine(hertz * f64::from(overtone), 1.0)
            .into_vec::<f32>()
            .unwrap();
        tone.into_iter()
            .map(move |sample| sample * 0.3 / f32::from(overtone))
            .collect::<Vec<_>>()
    });
    let sum = tones.reduce(|sum, tone| {
        sum.iter()
            .zip(tone)
            .map(|(one, other)| one + other)
            .collect()
    });
    Tensor::new([1, 16_000], sum.unwrap()).unwrap()
}

/// The chance of speech in each 32 ms.
fn speech(audio: &[f32]) -> Vec<f32> {
    let model = load(real("silero_vad_16k.onnx")).unwrap();
    let mut state = Tensor::zeros(ElementType::F32, [2, 1, 128]).unwrap();
    // Each input begins with the end of the one before.
    let mut input = vec![0.0; 64 + 512];
    let chunks = audio.chunks_exact(512).map(|chunk| {
        input.copy_within(512.., 0);
        input[64..].copy_from_slice(chunk);
        let tensor = Tensor::new([1, input.len()], input.clone()).unwrap();
        let mut outputs = run(&model, [("input", tensor), ("state", state.clone())]);
        state = outputs.take("stateN").unwrap();
        outputs.take_vec::<f32>("output").unwrap()[0]
    });
    chunks.collect()
}

#[test]
fn silero_hears_no_speech_in_silence() {
    let loudest = speech(&[0.0; 16_000]).into_iter().fold(0.0, f32::max);
    assert!(loudest < 0.1, "{loudest}");
}

#[test]
fn silero_hears_speech_where_somebody_speaks() {
    let chances = speech(&spoken("The quick brown fox jumps over the lazy dog."));
    assert!(chances.len() > 40, "{}", chances.len());
    let heard = chances.iter().filter(|chance| **chance > 0.5).count();
    assert!(heard * 2 > chances.len(), "{chances:?}");
}

/// Text as a voice that is made by rule speaks it, at 16 kHz.
fn spoken(text: &str) -> Vec<f32> {
    const RATE: usize = 22_050;
    const HEADER: usize = 44;
    let program = env::var("ESPEAK_NG").unwrap_or_else(|_| "espeak-ng".to_owned());
    let spoken = Command::new(program)
        .args(["-v", "en", "--stdout", text])
        .output();
    let wave = spoken
        .expect("espeak-ng is needed; run: cargo xtask test")
        .stdout;
    assert_eq!(wave[24..28], (RATE as u32).to_le_bytes());
    let samples = wave[HEADER..].chunks_exact(2);
    let samples: Vec<_> = samples
        .map(|two| f32::from(i16::from_le_bytes([two[0], two[1]])) / 32_768.0)
        .collect();
    let at = |sample: usize| {
        let place = sample as f32 * RATE as f32 / 16_000.0;
        let (before, part) = (place as usize, place.fract());
        let after = samples.get(before + 1).unwrap_or(&0.0);
        samples[before] * (1.0 - part) + after * part
    };
    (0..samples.len() * 16_000 / RATE).map(at).collect()
}

#[test]
fn center_face_takes_pictures_of_other_sizes_than_it_was_exported_for() {
    let free = [Some(1), Some(3), None, None];
    let builder = real("centerface.onnx").input_shape("input.1", free);
    let model = load(builder.warm_up_shape("input.1", [1, 3, 64, 64])).unwrap();
    assert!(model.placement().is_proven());
    for (width, height) in [(320, 256), (128, 192)] {
        let image = Tensor::zeros(ElementType::F32, [1, 3, height, width]).unwrap();
        let mut outputs = run(&model, [("input.1", image)]);
        let heat = outputs.take("537").unwrap();
        assert_eq!(heat.shape(), [1, 1, height / 4, width / 4]);
        // Nobody is in a black picture.
        let most = heat
            .into_vec::<f32>()
            .unwrap()
            .into_iter()
            .fold(0.0, f32::max);
        assert!(most < 0.5, "{most}");
        for (name, channels) in [("538", 2), ("539", 2), ("540", 10)] {
            let shape = outputs.take(name).unwrap().shape().to_vec();
            assert_eq!(shape, [1, channels, height / 4, width / 4]);
        }
    }
}

#[tokio::test]
async fn loading_a_model_of_some_size_stops() {
    let tracker = ProgressTracker::new();
    // On a busy machine it may be loaded before it is cancelled.
    for n in 0..5 {
        let task = tracker.task(format!("models-{n}")).start().unwrap();
        let cancel = Cancel::new();
        let loading = tokio::spawn({
            let (reporter, cancel) = (task.reporter(), cancel.clone());
            async move { real("u2netp.onnx").load(&reporter, &cancel).await.map(drop) }
        });
        until(|| task.snapshot().stage("u2netp/load").is_some()).await;
        cancel.cancel();
        match soon(loading).await.unwrap() {
            Err(OnnxError::Cancelled) => return,
            loaded => loaded.unwrap(),
        }
    }
    panic!("each was loaded");
}
