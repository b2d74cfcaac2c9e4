//! Where in a recording somebody speaks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    error::{AudioError, all_finite, length, share},
    silero::Silero,
    sound::Sound,
};

/// A part of a recording, in seconds from its start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Segment {
    /// Where it begins.
    pub start_s: f64,
    /// Where it ends.
    pub end_s: f64,
}

impl Segment {
    /// A part between two times.
    #[must_use]
    pub fn new(start_s: f64, end_s: f64) -> Self {
        Self { start_s, end_s }
    }

    /// How long it takes, in seconds.
    #[must_use]
    pub fn duration_s(&self) -> f64 {
        self.end_s - self.start_s
    }
}

/// How the probabilities of [`Silero`] become segments of speech.
///
/// Speech begins at the threshold and ends where the probability has been below the threshold less the
/// hysteresis for as long as the least silence. What is shorter than the least speech is dropped;
/// what is left is padded at both ends, where two meet by half of what lies between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeechOptions {
    threshold: f32,
    hysteresis: f32,
    min_speech: Duration,
    min_silence: Duration,
    padding: Duration,
}

impl SpeechOptions {
    /// Sets from which probability on it is speech, from 0 to 1. Default: 0.5.
    #[must_use]
    pub fn threshold(mut self, threshold: f32) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets how far below the threshold speech goes on, from 0 to 1. Default: 0.15.
    #[must_use]
    pub fn hysteresis(mut self, hysteresis: f32) -> Self {
        self.hysteresis = hysteresis;
        self
    }

    /// Sets how short speech can be. Default: 250 ms.
    #[must_use]
    pub fn min_speech(mut self, min: Duration) -> Self {
        self.min_speech = min;
        self
    }

    /// Sets how short a pause can be that parts two segments. Default: 100 ms.
    #[must_use]
    pub fn min_silence(mut self, min: Duration) -> Self {
        self.min_silence = min;
        self
    }

    /// Sets how much is added at both ends. Default: 30 ms.
    #[must_use]
    pub fn padding(mut self, padding: Duration) -> Self {
        self.padding = padding;
        self
    }

    /// The speech in a recording of this duration, of one probability for each
    /// [chunk](Silero::CHUNK). Segments are in order, do not overlap and lie within the recording.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pipeline_gpu::audio::SpeechOptions;
    ///
    /// // A second: 0.32 s of silence, 0.48 s of speech, silence.
    /// let mut probabilities = [0.1; 32];
    /// probabilities[10..25].fill(0.9);
    /// let options = SpeechOptions::default().padding(Duration::ZERO);
    /// let speech = options.segments(&probabilities, Duration::from_secs(1))?;
    /// assert_eq!(speech.len(), 1);
    /// assert_eq!((speech[0].start_s, speech[0].end_s), (0.32, 0.8));
    /// # Ok::<(), pipeline_gpu::audio::AudioError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AudioError::Length`] if there are more or fewer probabilities than the duration has chunks,
    /// [`AudioError::NotFinite`] if one is not finite, [`AudioError::Option`] if an option makes no
    /// sense.
    pub fn segments(
        &self,
        probabilities: &[f32],
        duration: Duration,
    ) -> Result<Vec<Segment>, AudioError> {
        share("threshold", self.threshold)?;
        share("hysteresis", self.hysteresis)?;
        all_finite("the probabilities", probabilities)?;
        let rate = f64::from(Sound::VOICE_RATE);
        let samples = |of: Duration| (of.as_secs_f64() * rate).round() as usize;
        let total = samples(duration);
        length(
            "the probabilities",
            total.div_ceil(Silero::CHUNK),
            probabilities.len(),
        )?;
        let mut found = self.raw(probabilities, total, samples(self.min_silence));
        let least = samples(self.min_speech);
        found.retain(|(start, end)| end - start >= least);
        pad(&mut found, samples(self.padding), total);
        let seconds = |at: usize| at as f64 / rate;
        let told = found
            .into_iter()
            .map(|(start, end)| Segment::new(seconds(start), seconds(end)));
        Ok(told.collect())
    }

    /// Starts and ends in samples, of any length.
    fn raw(&self, probabilities: &[f32], total: usize, silence: usize) -> Vec<(usize, usize)> {
        let low = self.threshold - self.hysteresis;
        let mut found = Vec::new();
        let mut start = None;
        let mut pause = None;
        for (chunk, &probability) in probabilities.iter().enumerate() {
            let at = chunk * Silero::CHUNK;
            if probability >= self.threshold {
                start.get_or_insert(at);
                pause = None;
            } else if let Some(began) = start
                && probability < low
            {
                let ended = *pause.get_or_insert(at);
                if at + Silero::CHUNK - ended >= silence {
                    found.push((began, ended));
                    (start, pause) = (None, None);
                }
            }
        }
        if let Some(began) = start {
            // A pause at the end that was too short to count is none of the speech all the same.
            found.push((began, pause.unwrap_or(total)));
        }
        found
    }
}

impl Default for SpeechOptions {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            hysteresis: 0.15,
            min_speech: Duration::from_millis(250),
            min_silence: Duration::from_millis(100),
            padding: Duration::from_millis(30),
        }
    }
}

fn pad(found: &mut [(usize, usize)], padding: usize, total: usize) {
    let mut before = found.first().map_or(0, |(start, _)| *start);
    for at in 0..found.len() {
        let after = match found.get(at + 1) {
            Some((next, _)) => (next - found[at].1) / 2,
            None => total - found[at].1,
        };
        found[at].0 -= padding.min(before);
        found[at].1 += padding.min(after);
        before = after;
    }
}
