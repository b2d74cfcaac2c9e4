//! Level, syllables and the whole.

use pipeline_gpu::audio::{
    AudioError, AudioLimits, Energy, PitchOptions, PitchTrack, Prosody, Segment, Sound, decode,
    syllables,
};

use crate::wav::{sine, voice};

/// A voice throughout, which is what a loud frame is taken for here.
fn voiced(sound: &Sound) -> PitchTrack {
    let frames = (sound.samples().len() / 256).max(1);
    let options = PitchOptions::default();
    PitchTrack::from_swift_f0(&vec![200.0; frames], &vec![1.0; frames], sound, &options).unwrap()
}

/// So many bursts of tone a second, with half of the time between them at a tenth of the level.
fn bursts(a_second: usize, seconds: usize) -> Sound {
    let mut samples = sine(16_000, 200.0, 0.5, seconds as f64);
    let period = 16_000 / a_second;
    for (at, sample) in samples.iter_mut().enumerate() {
        if at % period >= period / 2 {
            *sample *= 0.1;
        }
    }
    voice(samples)
}

#[test]
fn the_level_of_a_sine_is_three_decibels_below_its_peak() {
    let energy = Energy::of(&voice(sine(16_000, 1_000.0, 1.0, 1.0))).unwrap();
    assert_eq!(energy.db.len(), 62);
    assert!(
        energy.db[1..].iter().all(|db| (db + 3.01).abs() < 0.05),
        "{:?}",
        energy.db
    );
    let quiet = Energy::of(&voice(sine(16_000, 1_000.0, 0.1, 1.0))).unwrap();
    assert!(quiet.db[1..].iter().all(|db| (db + 23.01).abs() < 0.05));
}

#[test]
fn silence_has_the_least_level_and_no_syllable() {
    let silence = voice(vec![0.0; 16_000]);
    let energy = Energy::of(&silence).unwrap();
    assert!(energy.db.iter().all(|&db| db == Energy::FLOOR_DB));
    let speech = vec![Segment::new(0.0, 1.0)];
    let prosody = Prosody::measure(&silence, speech, voiced(&silence)).unwrap();
    assert_eq!((prosody.syllables, prosody.speaking_rate()), (0, 0.0));
    let summary = prosody.summary();
    assert_eq!(
        (summary.pitch_median_hz, summary.level_db),
        (None, Some(Energy::FLOOR_DB))
    );
}

#[test]
fn bursts_of_a_voice_are_counted_as_syllables() {
    for a_second in [2, 3, 5, 7] {
        let sound = bursts(a_second, 4);
        let prosody =
            Prosody::measure(&sound, vec![Segment::new(0.0, 4.0)], voiced(&sound)).unwrap();
        assert_eq!(prosody.syllables, 4 * a_second);
        assert!((prosody.speaking_rate() - a_second as f64).abs() < 1e-9);
    }
}

#[test]
fn a_dip_of_two_decibels_parts_two_syllables_and_a_smaller_one_does_not() {
    let count = |quiet: f32| {
        let mut samples = sine(16_000, 200.0, 0.5, 4.0);
        for (at, sample) in samples.iter_mut().enumerate() {
            if at % 4_000 >= 2_000 {
                *sample *= quiet;
            }
        }
        let sound = voice(samples);
        let speech = vec![Segment::new(0.0, 4.0)];
        Prosody::measure(&sound, speech, voiced(&sound))
            .unwrap()
            .syllables
    };
    // -3.1 dB and -0.9 dB.
    assert_eq!(count(0.7), 16);
    assert_eq!(count(0.9), 1);
}

#[test]
fn what_is_far_below_the_loudest_is_no_syllable() {
    let count = |quiet: f32| {
        let mut samples = bursts(5, 4).samples().to_vec();
        for sample in &mut samples[32_000..] {
            *sample *= quiet;
        }
        let sound = voice(samples);
        let speech = vec![Segment::new(0.0, 4.0)];
        Prosody::measure(&sound, speech, voiced(&sound))
            .unwrap()
            .syllables
    };
    // -14 dB and -30 dB.
    assert_eq!(count(0.2), 20);
    assert_eq!(count(0.0316), 10);
}

#[test]
fn only_what_is_spoken_and_voiced_is_counted() {
    let sound = bursts(5, 4);
    let energy = Energy::of(&sound).unwrap();
    let count = |pitch: &PitchTrack, speech: &[Segment]| syllables(&energy, pitch, speech).unwrap();
    let all = voiced(&sound);
    assert_eq!(count(&all, &[]), 0);
    assert_eq!(
        count(&all, &[Segment::new(0.0, 0.95), Segment::new(3.0, 3.95)]),
        10
    );
    let mut half = all.clone();
    half.hz[125..].fill(None);
    assert_eq!(count(&half, &[Segment::new(0.0, 4.0)]), 10);
    // Times out of the recording end at its ends.
    assert_eq!(count(&all, &[Segment::new(-5.0, 400.0)]), 20);
    half.hz.pop();
    let error = syllables(&energy, &half, &[]).unwrap_err();
    assert!(matches!(error, AudioError::Length { .. }));
}

#[test]
fn a_sentence_that_was_spoken_has_about_the_syllables_that_it_has() {
    let file = include_bytes!("../fixtures/audio/speech.mp3");
    let sound = decode(file, &AudioLimits::default()).unwrap();
    let sound = sound.resampled(Sound::VOICE_RATE).unwrap();
    let speech = vec![Segment::new(0.0, sound.duration().as_secs_f64())];
    let prosody = Prosody::measure(&sound, speech, voiced(&sound)).unwrap();
    // "The quick brown fox jumps over the lazy dog": eleven, of which some run into each other.
    assert!(
        (9..=13).contains(&prosody.syllables),
        "{}",
        prosody.syllables
    );
}

#[test]
fn a_summary_says_the_middle_and_the_ends_of_the_pitch() {
    let sound = voice(sine(16_000, 200.0, 0.5, 101.0 * 0.016));
    let pitches: Vec<f64> = (0..101).map(|at| 100.0 + f64::from(at)).collect();
    let options = PitchOptions::default();
    let pitch = PitchTrack::from_swift_f0(&pitches, &[1.0; 101], &sound, &options).unwrap();
    let prosody = Prosody::measure(&sound, vec![Segment::new(0.5, 1.5)], pitch).unwrap();
    let summary = prosody.summary();
    assert_eq!(summary.pitch_median_hz, Some(150.0));
    assert_eq!(
        (summary.pitch_low_hz, summary.pitch_high_hz),
        (Some(105.0), Some(195.0))
    );
    assert_eq!((summary.segments, summary.speech_s), (1, 1.0));
    assert!((summary.level_db.unwrap() + 9.03).abs() < 0.05);
    assert_eq!(summary.voiced_share, 1.0);
}

#[test]
fn prosody_comes_back_from_its_json() {
    let sound = bursts(3, 2);
    let prosody = Prosody::measure(&sound, vec![Segment::new(0.0, 2.0)], voiced(&sound)).unwrap();
    let json = serde_json::to_string(&prosody).unwrap();
    assert_eq!(serde_json::from_str::<Prosody>(&json).unwrap(), prosody);
}

#[test]
fn segments_that_are_out_of_order_or_outside_are_refused() {
    let sound = bursts(3, 2);
    for speech in [
        vec![Segment::new(1.0, 1.5), Segment::new(0.0, 0.5)],
        vec![Segment::new(1.0, 0.5)],
        vec![Segment::new(0.0, 2.1)],
        vec![Segment::new(f64::NAN, 1.0)],
    ] {
        let error = Prosody::measure(&sound, speech, voiced(&sound)).unwrap_err();
        assert!(matches!(
            error,
            AudioError::Option {
                field: "speech",
                ..
            }
        ));
    }
}
