//! From a file to samples.

use std::time::Duration;

use hound::{SampleFormat, WavSpec};
use pipeline_gpu::audio::{AudioError, AudioLimits, decode};
use progress_core::TaskError;
use proptest::prelude::*;

use crate::wav::{loudness_at, rms, sine, wav, written};

const FLAC: &[u8] = include_bytes!("../fixtures/audio/tone.flac");
const MP3: &[u8] = include_bytes!("../fixtures/audio/tone.mp3");
const UNTAGGED: &[u8] = include_bytes!("../fixtures/audio/untagged.mp3");
const VORBIS: &[u8] = include_bytes!("../fixtures/audio/tone.ogg");
const ADPCM: &[u8] = include_bytes!("../fixtures/audio/adpcm.wav");

fn read(bytes: &[u8]) -> Result<pipeline_gpu::audio::Sound, AudioError> {
    decode(bytes, &AudioLimits::default())
}

#[test]
fn wav_of_every_depth_gives_the_samples_that_were_written() {
    let tone = sine(8_000, 440.0, 0.8, 0.1);
    for (bits, format) in [
        (8, SampleFormat::Int),
        (16, SampleFormat::Int),
        (24, SampleFormat::Int),
        (32, SampleFormat::Int),
        (32, SampleFormat::Float),
    ] {
        let spec = WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: bits,
            sample_format: format,
        };
        let full = f64::from(2.0f32.powi(i32::from(bits) - 1)) - 1.0;
        let bytes = written(spec, &tone, |writer, sample| match format {
            SampleFormat::Float => writer.write_sample(sample),
            SampleFormat::Int => writer.write_sample((f64::from(sample) * full) as i32),
        });
        let sound = read(&bytes).unwrap();
        assert_eq!(
            (sound.rate(), sound.samples().len()),
            (8_000, 800),
            "{bits} bits"
        );
        for (given, written) in sound.samples().iter().zip(&tone) {
            assert!((given - written).abs() < 2.1 / full as f32, "{bits} bits");
        }
    }
}

#[test]
fn flac_and_mp3_are_told_by_their_content_and_mixed_to_one_channel() {
    for (name, bytes) in [("FLAC", FLAC), ("MP3", MP3), ("untagged MP3", UNTAGGED)] {
        let sound = read(bytes).unwrap();
        assert_eq!(sound.rate(), 22_050, "{name}");
        // An MP3 that does not say how long it is keeps what its encoder has added.
        let extra = if name == "untagged MP3" { 0.15 } else { 0.0 };
        let seconds = sound.duration().as_secs_f64();
        assert!(
            (0.5..=0.5 + extra).contains(&seconds),
            "{name} has {seconds} s"
        );
        // A quarter at the left and nothing at the right: an eighth, which LAME makes a little quieter.
        let middle = &sound.samples()[4_000..8_000];
        let loudness = loudness_at(middle, 22_050, 440.0);
        assert!(
            (0.1175..0.1255).contains(&loudness),
            "{name} has {loudness}"
        );
    }
}

#[test]
fn channels_are_mixed_to_their_mean() {
    let sound = read(&wav(8_000, 2, &[0.5, -0.5, 0.5, 0.0, 1.0, 0.5])).unwrap();
    let expected = [0.0, 0.25, 0.75];
    for (given, expected) in sound.samples().iter().zip(expected) {
        assert!((given - expected).abs() < 1e-4);
    }
}

#[test]
fn silence_is_a_recording() {
    let sound = read(&wav(16_000, 1, &[0.0; 16_000])).unwrap();
    assert_eq!(sound.duration(), Duration::from_secs(1));
    assert_eq!(rms(sound.samples()), 0.0);
}

#[test]
fn a_file_that_ends_too_early_is_said_to() {
    let tone = sine(16_000, 440.0, 0.5, 1.0);
    for (name, whole) in [
        ("WAV", &wav(16_000, 1, &tone)[..]),
        ("FLAC", FLAC),
        ("MP3", MP3),
    ] {
        for share in [25, 50, 75, 95] {
            let error = read(&whole[..whole.len() * share / 100]).unwrap_err();
            assert_eq!(error, AudioError::Truncated, "{name} of {share} %");
        }
    }
    for header in [&b"RIFF\x24\0\0\0WAVEfmt "[..], b"fLaC\0\0\0\x22", b"RIFF"] {
        assert_eq!(read(header), Err(AudioError::Truncated));
    }
}

#[test]
fn what_does_not_say_how_long_it_is_is_read_as_far_as_it_goes() {
    let part = read(&UNTAGGED[..UNTAGGED.len() / 2]).unwrap();
    assert!((0.2..0.4).contains(&part.duration().as_secs_f64()));
    // As ffmpeg writes WAV to a pipe.
    let mut streamed = wav(16_000, 1, &sine(16_000, 440.0, 0.5, 1.0));
    streamed[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    streamed[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    let sound = read(&streamed).unwrap();
    assert!((0.9..=1.0).contains(&sound.duration().as_secs_f64()));
}

#[test]
fn limits_are_named() {
    let limits = AudioLimits::default();
    let bytes = wav(8_000, 3, &[0.0; 24_000]);
    let error = decode(&bytes, &limits.bytes(100)).unwrap_err();
    assert_eq!(
        error,
        AudioError::TooManyBytes {
            bytes: bytes.len(),
            limit: 100
        }
    );
    let error = decode(&bytes, &limits.channels(2)).unwrap_err();
    assert_eq!(
        error,
        AudioError::TooManyChannels {
            channels: 3,
            limit: 2
        }
    );
    let limit = Duration::from_millis(999);
    assert_eq!(
        decode(&bytes, &limits.duration(limit)),
        Err(AudioError::TooLong { limit })
    );
    let all = limits
        .bytes(bytes.len())
        .channels(3)
        .duration(Duration::from_secs(1));
    assert!(decode(&bytes, &all).is_ok());
    let error = read(&wav(3_999, 1, &[0.0; 10])).unwrap_err();
    assert_eq!(
        error,
        AudioError::Rate {
            given: 3_999,
            expected: None
        }
    );
}

#[test]
fn a_recording_that_does_not_say_how_long_it_is_is_stopped_on_the_way() {
    let limit = Duration::from_millis(100);
    let error = decode(UNTAGGED, &AudioLimits::default().duration(limit));
    assert_eq!(error, Err(AudioError::TooLong { limit }));
}

#[test]
fn samples_that_are_not_finite_are_refused() {
    let spec = WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 32,
        sample_format: SampleFormat::Float,
    };
    let bytes = written(spec, &[0.0, 0.5, f32::NAN], |writer, of| {
        writer.write_sample(of)
    });
    let error = read(&bytes).unwrap_err();
    assert_eq!(
        error,
        AudioError::NotFinite {
            of: "the recording",
            index: 2
        }
    );
}

#[test]
fn what_is_wrong_is_told_with_a_code_and_a_way_out() {
    for (bytes, code) in [
        (&b""[..], "AUDIO_EMPTY"),
        (&wav(8_000, 1, &[]), "AUDIO_EMPTY"),
        (b"%PDF-1.7 is no recording", "AUDIO_UNSUPPORTED"),
        (&[0; 5_000], "AUDIO_UNSUPPORTED"),
        (VORBIS, "AUDIO_UNSUPPORTED"),
        (ADPCM, "AUDIO_UNSUPPORTED"),
        (&MP3[..MP3.len() / 2], "AUDIO_TRUNCATED"),
        (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "AUDIO_UNSUPPORTED"),
    ] {
        let error = TaskError::from(read(bytes).unwrap_err());
        assert_eq!(error.code(), code, "{}", error.message());
        assert!(!error.is_retryable());
        assert_eq!(error.solutions().len(), 1);
    }
}

#[test]
fn a_recording_has_no_more_samples_than_it_may() {
    let second = wav(48_000, 1, &[0.0; 48_000]);
    let limits = AudioLimits::default().samples(47_999);
    let error = decode(&second, &limits).unwrap_err();
    assert_eq!(error, AudioError::TooManySamples { limit: 47_999 });
    let error = TaskError::from(error);
    assert_eq!(error.code(), "AUDIO_TOO_LONG");
    assert!(error.solutions()[0].contains("48 kHz"), "{error:?}");
    decode(&second, &AudioLimits::default().samples(48_000)).unwrap();
}

#[test]
fn a_header_that_a_decoder_cannot_stand_is_an_error() {
    let mut bytes = wav(8_000, 1, &[0.0; 100]);
    // More channels than there are bytes for in a frame.
    bytes[22..24].copy_from_slice(&0x8002u16.to_le_bytes());
    assert!(read(&bytes).is_err());
}

proptest! {
    #[test]
    fn a_damaged_file_is_a_recording_or_an_error_and_never_a_panic(
        whole in prop_oneof![
            Just(FLAC.to_vec()), Just(MP3.to_vec()), Just(wav(8_000, 2, &[0.1; 4_000])),
        ],
        wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = whole;
        for (at, byte) in wounds {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let limit = Duration::from_secs(5);
        if let Ok(sound) = decode(&bytes, &AudioLimits::default().duration(limit)) {
            prop_assert!(sound.duration() <= limit);
        }
    }
}
