//! Real voices, and none, on the real models.

use pipeline_gpu::{
    audio::{Smoothing, Sound},
    onnx::OnnxModel,
    stages::{MeasureProsody, Recording},
};
use serde_json::Value;

use crate::support::{load, model, real, spoken, tell};

fn models() -> (OnnxModel, OnnxModel) {
    let silero = load(real("silero_vad_16k.onnx")).unwrap();
    let pitch = real("swift_f0.onnx").warm_up_shape("audio", [1, 16_000]);
    (silero, load(pitch).unwrap())
}

fn stage() -> MeasureProsody {
    let (silero, pitch) = models();
    MeasureProsody::new(&silero, &pitch).unwrap()
}

#[tokio::test]
async fn speech_is_heard_with_its_pitch_and_its_pace() {
    let sound = spoken("The quick brown fox jumps over the lazy dog.");
    assert_eq!(sound.rate(), 22_050);
    let told = tell(stage(), Recording::new(sound)).await;
    let prosody = told.result.as_ref().unwrap();
    assert!(prosody.speech_s() > 1.5, "{}", prosody.speech_s());
    // The sentence has eleven syllables.
    assert!(
        (8..=14).contains(&prosody.syllables),
        "{}",
        prosody.syllables
    );
    let summary = told.metadata("prosody");
    let hertz = summary["pitch_median_hz"].as_f64().unwrap();
    assert!((70.0..180.0).contains(&hertz), "{hertz}");
    assert_eq!(told.metadata("device"), "cpu");
    let devices = serde_json::json!({"speech": "cpu", "pitch": "cpu"});
    assert_eq!(told.metadata("devices"), devices);
    assert!(
        told.message().contains("syllables a second"),
        "{}",
        told.message()
    );
    let stage = &told.snapshot.stages[0];
    assert_eq!(
        (stage.current, stage.unit.as_deref()),
        (stage.total, Some("chunks"))
    );
    assert!(stage.total > Some(60));
}

#[tokio::test]
async fn an_item_says_how_its_pitch_is_smoothed() {
    let sound = spoken("Is it raining?");
    let rough = tell(stage(), Recording::new(sound.clone()))
        .await
        .result
        .unwrap();
    let smoothing = Smoothing::Median { frames: 9 };
    let smooth = Recording::new(sound).smoothing(smoothing);
    let smooth = tell(stage(), smooth).await.result.unwrap();
    let unrest = |hz: &[Option<f32>]| -> f32 {
        let steps = hz
            .windows(2)
            .filter_map(|two| Some((two[1]? - two[0]?).abs()));
        steps.sum()
    };
    assert!(unrest(&smooth.pitch.hz) < unrest(&rough.pitch.hz));
    assert_eq!(smooth.pitch.hz.len(), rough.pitch.hz.len());
}

#[tokio::test]
async fn silence_is_no_error_and_no_speech() {
    let sound = Sound::new(16_000, vec![0.0; 32_000]).unwrap();
    let told = tell(stage(), Recording::new(sound)).await;
    assert_eq!(told.result.as_ref().unwrap().speech, []);
    assert_eq!(told.message(), "No speech was heard");
    assert_eq!(told.metadata("prosody")["pitch_median_hz"], Value::Null);
}

#[tokio::test]
async fn recordings_shorter_than_any_window_are_measured() {
    for samples in [0, 1, 100, 700, 1_023, 1_024, 1_300] {
        let sound = Sound::new(16_000, vec![0.01; samples]).unwrap();
        let told = tell(stage(), Recording::new(sound)).await;
        let prosody = told
            .result
            .unwrap_or_else(|error| panic!("{samples}: {error}"));
        assert_eq!(prosody.pitch.hz.len(), (samples / 256).max(1));
    }
}

#[test]
fn models_that_are_exchanged_are_told() {
    let (silero, pitch) = models();
    let error = MeasureProsody::new(&pitch, &silero).unwrap_err();
    assert_eq!(error.model, "swift_f0");
    assert!(error.expected.contains("stateN"), "{error}");
    let error = MeasureProsody::new(&silero, &model("prosody")).unwrap_err();
    assert_eq!(error.model, "prosody");
}
