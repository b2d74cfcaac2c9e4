//! Where somebody speaks.

use std::time::Duration;

use pipeline_gpu::audio::{AudioError, Segment, SpeechOptions};
use proptest::prelude::*;

/// One chunk of 32 ms for each sign: `#` is speech, `-` is doubt, `.` is silence.
fn heard(signs: &str, options: SpeechOptions) -> Vec<(u32, u32)> {
    let probabilities: Vec<f32> = signs
        .chars()
        .map(|sign| match sign {
            '#' => 0.9,
            '-' => 0.4,
            _ => 0.1,
        })
        .collect();
    let duration = Duration::from_millis(32 * signs.len() as u64);
    let found = options.segments(&probabilities, duration).unwrap();
    let ms = |time: f64| (time * 1000.0).round() as u32;
    found
        .iter()
        .map(|of| (ms(of.start_s), ms(of.end_s)))
        .collect()
}

fn bare() -> SpeechOptions {
    SpeechOptions::default().padding(Duration::ZERO)
}

#[test]
fn speech_begins_at_the_threshold_and_goes_on_through_doubt() {
    assert_eq!(heard("....----........", bare()), []);
    assert_eq!(heard("..########--##--......", bare()), [(64, 512)]);
    let strict = bare().hysteresis(0.0);
    assert_eq!(heard("..########------......", strict), [(64, 320)]);
}

#[test]
fn a_short_pause_does_not_part_and_a_long_one_does() {
    assert_eq!(heard("########...########", bare()), [(0, 608)]);
    assert_eq!(
        heard("########....########", bare()),
        [(0, 256), (384, 640)]
    );
    let exact = bare().min_silence(Duration::from_millis(96));
    assert_eq!(heard("########...########", exact), [(0, 256), (352, 608)]);
    let patient = bare().min_silence(Duration::from_millis(200));
    assert_eq!(heard("########....########", patient), [(0, 640)]);
}

#[test]
fn what_is_too_short_is_dropped() {
    assert_eq!(heard("....###.......########....", bare()), [(448, 704)]);
    let eager = bare().min_speech(Duration::from_millis(90));
    assert_eq!(heard("....###.......", eager), [(128, 224)]);
}

#[test]
fn speech_at_the_end_ends_with_the_recording_or_with_its_last_pause() {
    assert_eq!(heard("....########", bare()), [(128, 384)]);
    assert_eq!(heard("....########..", bare()), [(128, 384)]);
}

#[test]
fn padding_ends_at_the_recording_and_half_way_to_the_next() {
    let wide = SpeechOptions::default().padding(Duration::from_millis(100));
    assert_eq!(
        heard("..########....########..", wide),
        [(0, 384), (384, 768)]
    );
    let narrow = SpeechOptions::default();
    assert_eq!(
        heard("..########....########..", narrow),
        [(34, 350), (418, 734)]
    );
}

#[test]
fn another_number_of_probabilities_and_nan_are_refused() {
    let second = Duration::from_secs(1);
    let error = bare().segments(&[0.0; 31], second).unwrap_err();
    assert!(matches!(
        error,
        AudioError::Length {
            expected: 32,
            given: 31,
            ..
        }
    ));
    let mut probabilities = [0.0; 32];
    probabilities[9] = f32::NAN;
    let error = bare().segments(&probabilities, second).unwrap_err();
    assert!(matches!(error, AudioError::NotFinite { index: 9, .. }));
    let error = bare()
        .threshold(2.0)
        .segments(&[0.0; 32], second)
        .unwrap_err();
    assert!(matches!(
        error,
        AudioError::Option {
            field: "threshold",
            ..
        }
    ));
    assert_eq!(bare().segments(&[], Duration::ZERO), Ok(vec![]));
}

proptest! {
    #[test]
    fn segments_are_in_order_apart_and_within_the_recording(
        probabilities in prop::collection::vec(0.0..=1.0f32, 0..200),
        missing in 0..512u64,
        times in prop::array::uniform3(0..400u64),
    ) {
        let samples = (probabilities.len() as u64 * 512).saturating_sub(missing);
        let duration = Duration::from_secs_f64(samples as f64 / 16_000.0);
        let [speech, silence, padding] = times.map(Duration::from_millis);
        let options = bare().min_speech(speech).min_silence(silence);
        let found = options.segments(&probabilities, duration).unwrap();
        let padded = options.padding(padding).segments(&probabilities, duration).unwrap();
        prop_assert_eq!(found.len(), padded.len());
        let least = speech.as_secs_f64() - 1e-3;
        prop_assert!(found.iter().all(|segment| segment.duration_s() >= least));
        let mut last = Segment::new(0.0, 0.0);
        for (bare, padded) in found.iter().zip(padded) {
            prop_assert!(padded.start_s >= last.end_s && padded.end_s <= duration.as_secs_f64() + 1e-9);
            prop_assert!(padded.start_s <= bare.start_s && padded.end_s >= bare.end_s);
            last = padded;
        }
    }
}
