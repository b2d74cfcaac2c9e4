//! Recordings made on the spot.

use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};
use pipeline_gpu::audio::Sound;

/// A WAV of 16-bit samples.
pub(crate) fn wav(rate: u32, channels: u16, samples: &[f32]) -> Vec<u8> {
    let spec = WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    written(spec, samples, |writer, sample| {
        writer.write_sample((sample * 32767.0).round() as i16)
    })
}

pub(crate) fn written(
    spec: WavSpec,
    samples: &[f32],
    write: impl Fn(&mut WavWriter<&mut Cursor<Vec<u8>>>, f32) -> hound::Result<()>,
) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
    for &sample in samples {
        write(&mut writer, sample).unwrap();
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

pub(crate) fn sine(rate: u32, hz: f64, loudness: f64, seconds: f64) -> Vec<f32> {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    let samples = (f64::from(rate) * seconds).round() as usize;
    (0..samples)
        .map(|at| (loudness * (step * at as f64).sin()) as f32)
        .collect()
}

/// At the rate of voices.
pub(crate) fn voice(samples: Vec<f32>) -> Sound {
    Sound::new(Sound::VOICE_RATE, samples).unwrap()
}

pub(crate) fn rms(samples: &[f32]) -> f64 {
    let power: f64 = samples.iter().map(|&of| f64::from(of).powi(2)).sum();
    (power / samples.len() as f64).sqrt()
}

/// How loud one frequency is: the amplitude that a sine of it would have.
pub(crate) fn loudness_at(samples: &[f32], rate: u32, hz: f64) -> f64 {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    let (mut cosine, mut sine) = (0.0, 0.0);
    for (at, &sample) in samples.iter().enumerate() {
        cosine += f64::from(sample) * (step * at as f64).cos();
        sine += f64::from(sample) * (step * at as f64).sin();
    }
    2.0 * cosine.hypot(sine) / samples.len() as f64
}
