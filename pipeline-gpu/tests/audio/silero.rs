//! What Silero is told.

use pipeline_gpu::audio::{AudioError, Silero, Sound};

#[test]
fn each_input_begins_with_the_end_of_the_chunk_before() {
    let mut silero = Silero::new();
    let chunk: Vec<f32> = (1..=512).map(|at| at as f32).collect();
    let first = silero.next_input(&chunk).unwrap();
    assert_eq!(first.audio.len(), Silero::INPUT_SHAPE[1]);
    assert_eq!(first.audio[..64], [0.0; 64]);
    assert_eq!(first.audio[64..], chunk);
    silero.take(&[0.5], &first.state).unwrap();
    let second = silero.next_input(&chunk[..100]).unwrap();
    assert_eq!(second.audio[..64], chunk[448..]);
    assert_eq!(second.audio[64..164], chunk[..100]);
    assert_eq!(second.audio[164..], [0.0; 412]);
}

#[test]
fn the_state_of_one_run_goes_into_the_next() {
    let mut silero = Silero::new();
    let first = silero.next_input(&[0.0; 512]).unwrap();
    assert_eq!(first.state, [0.0; 256]);
    let state: Vec<f32> = (0..256).map(|at| at as f32).collect();
    assert_eq!(silero.take(&[0.7], &state), Ok(0.7));
    assert_eq!(silero.next_input(&[0.0; 512]).unwrap().state, state);
}

#[test]
fn inputs_and_outputs_take_turns() {
    let mut silero = Silero::new();
    assert_eq!(silero.take(&[0.5], &[0.0; 256]), Err(AudioError::OutOfTurn));
    silero.next_input(&[1.0; 512]).unwrap();
    let before = silero.clone();
    assert_eq!(silero.next_input(&[2.0; 512]), Err(AudioError::OutOfTurn));
    assert_eq!(silero, before);
    assert!(silero.take(&[0.5], &[0.0; 256]).is_ok());
}

#[test]
fn outputs_of_another_kind_are_refused_and_the_next_run_has_the_old_state() {
    let mut silero = Silero::new();
    for (output, state) in [
        (&[][..], &[1.0; 256][..]),
        (&[0.5, 0.5], &[1.0; 256]),
        (&[0.5], &[1.0; 255]),
        (&[f32::NAN], &[1.0; 256]),
        (&[0.5], &[f32::INFINITY; 256]),
    ] {
        let input = silero.next_input(&[0.0; 512]).unwrap();
        assert_eq!(input.state, [0.0; 256]);
        let error = silero.take(output, state).unwrap_err();
        assert!(["MODEL_OUTPUT_SHAPE", "MODEL_OUTPUT_NOT_FINITE"].contains(&error.code()));
    }
    let error = silero.next_input(&[0.0; 513]).unwrap_err();
    assert!(matches!(
        error,
        AudioError::Length {
            expected: 512,
            given: 513,
            ..
        }
    ));
}

#[test]
fn a_recording_takes_a_run_for_each_chunk_that_it_begins() {
    for (samples, runs) in [(0, 0), (1, 1), (512, 1), (513, 2), (16_000, 32)] {
        let sound = Sound::new(16_000, vec![0.0; samples]).unwrap();
        assert_eq!(Silero::runs(&sound), runs);
    }
}
