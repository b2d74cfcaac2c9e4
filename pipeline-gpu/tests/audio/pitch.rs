//! How high.

use pipeline_gpu::audio::{AudioError, PitchOptions, PitchTrack, Smoothing};
use proptest::prelude::*;

use crate::wav::{sine, voice};

const SURE: f32 = 0.9;

/// A track over a tone, of these pitches.
fn track(pitches: &[f64], options: PitchOptions) -> PitchTrack {
    let sound = voice(sine(16_000, 200.0, 0.5, pitches.len() as f64 * 0.016));
    PitchTrack::from_swift_f0(pitches, &vec![SURE; pitches.len()], &sound, &options).unwrap()
}

fn median(frames: usize) -> PitchOptions {
    PitchOptions::default().smoothing(Smoothing::Median { frames })
}

#[test]
fn frames_without_confidence_or_out_of_range_have_no_voice() {
    let sound = voice(sine(16_000, 200.0, 0.5, 4.0 * 0.016));
    let options = PitchOptions::default().confidence(0.6).range(60.0, 500.0);
    let pitches = [200.0, 200.0, 30.0, 900.0];
    let track =
        PitchTrack::from_swift_f0(&pitches, &[0.6, 0.59, 1.0, 1.0], &sound, &options).unwrap();
    assert_eq!(track.hz, [Some(200.0), None, None, None]);
    assert_eq!(track.voiced_share(), 0.25);
    assert_eq!(track.hop_s, 0.016);
}

#[test]
fn silence_has_no_voice_however_sure_the_detector_is() {
    let mut samples = sine(16_000, 200.0, 0.5, 0.032);
    samples[256..].fill(0.0);
    let pitches = [200.0, 200.0];
    let track = PitchTrack::from_swift_f0(
        &pitches,
        &[1.0; 2],
        &voice(samples),
        &PitchOptions::default(),
    );
    let track = track.unwrap();
    assert_eq!(track.hz, [Some(200.0), None]);
    assert_eq!(track.confidence, [1.0, 0.0]);
}

#[test]
fn a_median_takes_out_a_jump_and_keeps_a_slope_and_the_gaps() {
    let jump = [200.0, 202.0, 404.0, 206.0, 208.0, 210.0];
    let smooth = track(&jump, median(3));
    let expected = [200.0, 202.0, 206.0, 208.0, 208.0, 208.0].map(Some);
    assert_eq!(smooth.hz, expected);
    let gap = [200.0, 0.0, 0.0, 300.0];
    assert_eq!(
        track(&gap, median(5)).hz,
        [Some(200.0), None, None, Some(300.0)]
    );
    assert_eq!(
        track(&jump, median(1)).hz,
        track(&jump, PitchOptions::default()).hz
    );
}

#[test]
fn a_recording_shorter_than_a_frame_has_one() {
    let sound = voice(vec![0.5; 10]);
    let options = PitchOptions::default();
    let track = PitchTrack::from_swift_f0(&[100.0], &[1.0], &sound, &options).unwrap();
    assert_eq!(track.hz, [Some(100.0)]);
    let none = voice(vec![]);
    let track = PitchTrack::from_swift_f0(&[100.0], &[1.0], &none, &options).unwrap();
    assert_eq!(track.hz, [None]);
}

#[test]
fn outputs_of_another_kind_are_refused() {
    let sound = voice(vec![0.5; 1024]);
    let options = PitchOptions::default();
    let of = |pitch: &[f64], confidence: &[f32], options: &PitchOptions| {
        PitchTrack::from_swift_f0(pitch, confidence, &sound, options).unwrap_err()
    };
    let error = of(&[0.0; 3], &[0.0; 4], &options);
    assert!(matches!(
        error,
        AudioError::Length {
            of: "SwiftF0's pitch",
            expected: 4,
            given: 3
        }
    ));
    let error = of(&[0.0; 4], &[0.0; 5], &options);
    assert!(matches!(
        error,
        AudioError::Length {
            of: "SwiftF0's confidence",
            ..
        }
    ));
    let error = of(&[0.0, 0.0, f64::NAN, 0.0], &[0.0; 4], &options);
    assert!(matches!(error, AudioError::NotFinite { index: 2, .. }));
    for (options, name) in [
        (options.confidence(-0.1), "confidence"),
        (options.range(100.0, 50.0), "range"),
        (options.range(f32::NAN, 50.0), "range"),
        (median(4), "smoothing"),
        (median(101), "smoothing"),
    ] {
        let error = of(&[0.0; 4], &[0.0; 4], &options);
        assert!(matches!(error, AudioError::Option { field, .. } if field == name));
    }
    let slow = pipeline_gpu::audio::Sound::new(8_000, vec![0.0; 256]).unwrap();
    let error = PitchTrack::from_swift_f0(&[0.0], &[0.0], &slow, &options).unwrap_err();
    assert_eq!(
        error,
        AudioError::Rate {
            given: 8_000,
            expected: Some(16_000)
        }
    );
}

proptest! {
    #[test]
    fn smoothing_keeps_voices_where_they_were_and_within_what_was_heard(
        pitches in prop::collection::vec(prop_oneof![Just(0.0), 60.0..500.0f64], 1..60),
        reach in 0..5usize,
    ) {
        let raw = track(&pitches, PitchOptions::default());
        let smooth = track(&pitches, median(2 * reach + 1));
        let heard: Vec<f32> = raw.hz.iter().copied().flatten().collect();
        for (raw, smooth) in raw.hz.iter().zip(&smooth.hz) {
            prop_assert_eq!(raw.is_some(), smooth.is_some());
            prop_assert!(smooth.is_none_or(|hz| heard.contains(&hz)));
        }
    }
}
