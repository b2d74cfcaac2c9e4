//! Another rate.

use pipeline_gpu::audio::{AudioError, Sound};
use proptest::prelude::*;

use crate::wav::{loudness_at, rms, sine};

#[test]
fn a_tone_keeps_its_pitch_its_loudness_and_its_place() {
    for rate in [8_000, 22_050, 44_100, 48_000, 96_000] {
        let sound = Sound::new(rate, sine(rate, 440.0, 0.5, 1.0)).unwrap();
        let sound = sound.resampled(Sound::VOICE_RATE).unwrap();
        assert_eq!(
            (sound.rate(), sound.samples().len()),
            (16_000, 16_000),
            "of {rate} Hz"
        );
        // Away from the ends, where the tone begins from nothing.
        let expected = sine(16_000, 440.0, 0.5, 1.0);
        for at in 2_000..14_000 {
            let (given, expected) = (sound.samples()[at], expected[at]);
            assert!(
                (given - expected).abs() < 2e-3,
                "sample {at} of {rate} Hz: {given}, {expected}"
            );
        }
    }
}

#[test]
fn what_the_new_rate_cannot_carry_is_gone() {
    let mut samples = sine(48_000, 1_000.0, 0.25, 1.0);
    for (sample, high) in samples.iter_mut().zip(sine(48_000, 15_000.0, 0.5, 1.0)) {
        *sample += high;
    }
    let sound = Sound::new(48_000, samples)
        .unwrap()
        .resampled(16_000)
        .unwrap();
    let middle = &sound.samples()[2_000..14_000];
    assert!((loudness_at(middle, 16_000, 1_000.0) - 0.25).abs() < 1e-3);
    // It would come back as 16 000 - 15 000.
    assert!((rms(middle) - 0.25 / 2f64.sqrt()).abs() < 1e-3);
}

#[test]
fn rates_out_of_range_and_samples_that_are_not_finite_are_refused() {
    for rate in [0, 3_999, 384_001, u32::MAX] {
        let expected = AudioError::Rate {
            given: rate,
            expected: None,
        };
        assert_eq!(Sound::new(rate, vec![]), Err(expected.clone()));
        assert_eq!(
            Sound::new(8_000, vec![0.0]).unwrap().resampled(rate),
            Err(expected)
        );
    }
    let error = Sound::new(8_000, vec![0.0, f32::INFINITY]);
    assert_eq!(
        error,
        Err(AudioError::NotFinite {
            of: "the recording",
            index: 1
        })
    );
}

#[test]
fn a_recording_without_samples_stays_without() {
    let sound = Sound::new(8_000, vec![])
        .unwrap()
        .resampled(16_000)
        .unwrap();
    assert_eq!((sound.rate(), sound.samples()), (16_000, &[][..]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_recording_keeps_its_duration_whatever_the_rates(
        from in 4_000..50_000u32, to in 4_000..50_000u32, length in 1..5_000usize,
    ) {
        let sound = Sound::new(from, vec![0.5; length]).unwrap();
        let before = sound.duration().as_secs_f64();
        let after = sound.resampled(to).unwrap();
        prop_assert!((after.duration().as_secs_f64() - before).abs() <= 1.0 / f64::from(to) + 1e-9);
        prop_assert!(after.samples().iter().all(|sample| sample.abs() < 1.0));
    }
}
