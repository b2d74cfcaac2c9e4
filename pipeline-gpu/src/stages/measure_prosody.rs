//! Measures how something is said.

use std::{collections::HashMap, sync::Arc, time::Duration};

use progress_core::{Reporter, TaskError};

use super::{TO_STOP, misfit::Misfit};
use crate::{
    audio::{Energy, PitchOptions, PitchTrack, Prosody, Silero, Smoothing, Sound, SpeechOptions},
    context::Context,
    onnx::{OnnxModel, Tensor},
    stage::Stage,
};

/// A recording whose prosody is to be measured.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recording {
    /// The recording, at any rate.
    pub sound: Arc<Sound>,
    /// How its pitch is smoothed, in place of what the stage has been set to.
    pub smoothing: Option<Smoothing>,
}

impl Recording {
    /// A recording, to be measured as the stage is set.
    pub fn new(sound: impl Into<Arc<Sound>>) -> Self {
        Self {
            sound: sound.into(),
            smoothing: None,
        }
    }

    /// Sets how the pitch of this recording is smoothed (default as the stage is set).
    #[must_use]
    pub fn smoothing(mut self, smoothing: impl Into<Option<Smoothing>>) -> Self {
        self.smoothing = smoothing.into();
        self
    }
}

/// Measures how something is said: where there is speech with Silero, how high it is with SwiftF0, how loud and how fast by
/// counting. The two models run beside each other.
///
/// Progress goes chunk by chunk. Metadata: `prosody`, the [summary](Prosody::summary); `devices`, where its models
/// run, `{speech, pitch}`; `device` and the like are those of the model of pitches, which takes most of the time. Silence is no error.
#[derive(Debug, Clone)]
pub struct MeasureProsody {
    silero: OnnxModel,
    swift_f0: OnnxModel,
    /// Whether it is told the range of pitches, as it was exported in two ways.
    is_told_range: bool,
    speech: SpeechOptions,
    pitch: PitchOptions,
}

impl MeasureProsody {
    /// Measures with these two models: Silero 5 or 6 for 16 kHz (`input` and `state` in, `output` and `stateN` out), and SwiftF0
    /// (`audio` in, `pitch` and `confidence` out).
    ///
    /// # Errors
    ///
    /// [`Misfit`] if one of them has other inputs or outputs.
    pub fn new(silero: &OnnxModel, swift_f0: &OnnxModel) -> Result<Self, Misfit> {
        fits(silero, &["input", "state"], &["output", "stateN"])?;
        let is_told_range = has(swift_f0, "fmin");
        let inputs: &[&str] = match is_told_range {
            true => &["audio", "fmin", "fmax"],
            false => &["audio"],
        };
        fits(swift_f0, inputs, &["pitch", "confidence"])?;
        Ok(Self {
            silero: silero.clone(),
            swift_f0: swift_f0.clone(),
            is_told_range,
            speech: SpeechOptions::default(),
            pitch: PitchOptions::default(),
        })
    }

    /// Sets what counts as speech (default [`SpeechOptions::default`]).
    #[must_use]
    pub fn speech(mut self, options: SpeechOptions) -> Self {
        self.speech = options;
        self
    }

    /// Sets what counts as a voice, and how it is smoothed (default [`PitchOptions::default`]: not).
    #[must_use]
    pub fn pitch(mut self, options: PitchOptions) -> Self {
        self.pitch = options;
        self
    }

    /// The probability of speech in each chunk.
    async fn listen(&self, cx: &Context, sound: &Sound) -> Result<Vec<f32>, TaskError> {
        let _hand = cx.hand();
        let mut silero = Silero::new();
        let chunks = sound.samples().chunks(Silero::CHUNK);
        let mut probabilities = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            cx.ready().await?;
            let input = silero.next_input(chunk)?;
            let inputs = [
                ("input", Tensor::new(Silero::INPUT_SHAPE, input.audio)?),
                ("state", Tensor::new(Silero::STATE_SHAPE, input.state)?),
            ];
            let mut outputs = self.silero.run_in(cx, inputs).await?;
            let output: Vec<f32> = outputs.take_vec("output")?;
            let state: Vec<f32> = outputs.take_vec("stateN")?;
            probabilities.push(silero.take(&output, &state)?);
            cx.reporter().inc(1);
        }
        Ok(probabilities)
    }

    /// Pitch and confidence, frame by frame.
    async fn hear(&self, cx: &Context, sound: &Sound) -> Result<(Vec<f64>, Vec<f32>), TaskError> {
        let _hand = cx.hand();
        let frames = (sound.samples().len() / Energy::HOP).max(1);
        let mut samples = sound.samples().to_vec();
        // Of less than its window the model makes nothing.
        samples.resize(samples.len().max(LEAST_SAMPLES), 0.0);
        let mut inputs =
            crate::onnx::Inputs::new().with("audio", Tensor::new([1, samples.len()], samples)?);
        if self.is_told_range {
            inputs = inputs
                .with("fmin", Tensor::scalar(LOWEST_HZ))
                .with("fmax", Tensor::scalar(HIGHEST_HZ));
        }
        let mut outputs = self.swift_f0.run_in(cx, inputs).await?;
        let mut pitch = doubles(outputs.take("pitch")?)?;
        let mut confidence: Vec<f32> = outputs.take_vec("confidence")?;
        if sound.samples().len() < LEAST_SAMPLES {
            pitch.truncate(frames);
            confidence.truncate(frames);
        }
        Ok((pitch, confidence))
    }
}

impl Stage<Recording, Prosody> for MeasureProsody {
    async fn run(&self, cx: Context, recording: Recording) -> Result<Prosody, TaskError> {
        let reporter = cx.reporter();
        self.swift_f0.report_device(reporter);
        let devices = [("speech", &self.silero), ("pitch", &self.swift_f0)];
        let devices = devices.map(|(role, model)| (role, model.placement().device()));
        reporter.metadata("devices", HashMap::from(devices));
        reporter.message("Listening to the voice");
        let sound = recording.sound;
        let sound = match sound.rate() {
            Sound::VOICE_RATE => sound,
            _ => {
                let resample =
                    move || Ok(Arc::unwrap_or_clone(sound).resampled(Sound::VOICE_RATE)?);
                Arc::new(cx.pool().run(&cx, resample).await?)
            }
        };
        let chunks = Silero::runs(&sound) as u64;
        reporter.set_unit("chunks");
        reporter.set_total(chunks.max(1));
        let (probabilities, (pitch, confidence)) =
            tokio::try_join!(self.listen(&cx, &sound), self.hear(&cx, &sound))?;
        let speech = self.speech;
        let pitch_options = match recording.smoothing {
            Some(smoothing) => self.pitch.smoothing(smoothing),
            None => self.pitch,
        };
        let measure = move || {
            let speech = speech.segments(&probabilities, sound.duration())?;
            let pitch = PitchTrack::from_swift_f0(&pitch, &confidence, &sound, &pitch_options)?;
            Ok(Prosody::measure(&sound, speech, pitch)?)
        };
        let prosody = cx.pool().run(&cx, measure).await?;
        tell(reporter, &prosody);
        Ok(prosody)
    }

    fn concurrency(&self) -> usize {
        self.swift_f0.workers()
    }

    fn grace(&self) -> Duration {
        TO_STOP
    }
}

fn tell(reporter: &Reporter, prosody: &Prosody) {
    let summary = prosody.summary();
    reporter.metadata("prosody", summary);
    let text = match summary.pitch_median_hz {
        _ if summary.segments == 0 => "No speech was heard".to_owned(),
        Some(hz) => format!(
            "{:.1} s of speech, at {hz:.0} Hz, {:.1} syllables a second",
            summary.speech_s, summary.speaking_rate
        ),
        None => format!("{:.1} s of speech without a pitch", summary.speech_s),
    };
    reporter.message(text);
}

/// Pitches of either width: exports of the model differ in it.
fn doubles(pitch: Tensor) -> Result<Vec<f64>, TaskError> {
    Ok(match pitch.as_slice::<f32>() {
        Ok(single) => single.iter().copied().map(f64::from).collect(),
        Err(_) => pitch.into_vec()?,
    })
}

fn has(model: &OnnxModel, input: &str) -> bool {
    model.inputs().iter().any(|port| port.name() == input)
}

fn fits(model: &OnnxModel, inputs: &[&str], outputs: &[&str]) -> Result<(), Misfit> {
    let given = |name: &&str| model.outputs().iter().any(|port| port.name() == *name);
    let takes_no_more = model.inputs().len() == inputs.len();
    if takes_no_more && inputs.iter().all(|name| has(model, name)) && outputs.iter().all(given) {
        return Ok(());
    }
    let (inputs, outputs) = (inputs.join(", "), outputs.join(", "));
    let expected = format!("inputs {inputs}; outputs {outputs}");
    Err(Misfit::new(model, expected))
}

/// The range that SwiftF0 knows.
const LOWEST_HZ: f32 = 46.875;
const HIGHEST_HZ: f32 = 2_093.75;
/// Its window.
const LEAST_SAMPLES: usize = 1_024;
