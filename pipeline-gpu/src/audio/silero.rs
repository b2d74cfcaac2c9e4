//! What Silero has to be told with each chunk of a recording, and what it has to be told again.

use super::{
    error::{AudioError, all_finite, length},
    sound::Sound,
};

/// The state of Silero's voice detector between two chunks, apart from whatever runs the model.
///
/// For each chunk of [`CHUNK`](Self::CHUNK) samples at 16 kHz: [`next_input`](Self::next_input), run
/// the model, [`take`](Self::take) its outputs. The two take turns. One recording has one of these.
#[derive(Debug, Clone, PartialEq)]
pub struct Silero {
    context: Vec<f32>,
    state: Vec<f32>,
    is_due: bool,
}

/// What one run of Silero takes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SileroInput {
    /// `input`: `[1, 576]`, the end of the last chunk and this one.
    pub audio: Vec<f32>,
    /// `state`: `[2, 1, 128]`.
    pub state: Vec<f32>,
}

impl Silero {
    /// How many new samples a run takes: 512, which are 32 ms.
    pub const CHUNK: usize = 512;

    /// How many samples of the chunk before go first: 64.
    pub const CONTEXT: usize = 64;

    /// The shape of `input`.
    pub const INPUT_SHAPE: [usize; 2] = [1, Self::CONTEXT + Self::CHUNK];

    /// The shape of `state` and of `stateN`.
    pub const STATE_SHAPE: [usize; 3] = [2, 1, 128];

    /// The state before a recording: silence.
    #[must_use]
    pub fn new() -> Self {
        Self {
            context: vec![0.0; Self::CONTEXT],
            state: vec![0.0; Self::STATE_SHAPE.iter().product()],
            is_due: false,
        }
    }

    /// How many runs a recording takes.
    #[must_use]
    pub fn runs(sound: &Sound) -> usize {
        sound.samples().len().div_ceil(Self::CHUNK)
    }

    /// What the model takes for the next chunk. The last chunk of a recording may be shorter, and is
    /// filled with silence.
    ///
    /// # Errors
    ///
    /// [`AudioError::Length`] if the chunk is longer than [`CHUNK`](Self::CHUNK),
    /// [`AudioError::OutOfTurn`] if the last output has not been taken. Both leave the state as it
    /// was.
    pub fn next_input(&mut self, chunk: &[f32]) -> Result<SileroInput, AudioError> {
        if self.is_due {
            return Err(AudioError::OutOfTurn);
        }
        if chunk.len() > Self::CHUNK {
            return Err(AudioError::Length {
                of: "a chunk",
                expected: Self::CHUNK,
                given: chunk.len(),
            });
        }
        let mut audio = Vec::with_capacity(Self::INPUT_SHAPE[1]);
        audio.extend_from_slice(&self.context);
        audio.extend_from_slice(chunk);
        audio.resize(Self::INPUT_SHAPE[1], 0.0);
        self.context.copy_from_slice(&audio[Self::CHUNK..]);
        self.is_due = true;
        Ok(SileroInput {
            audio,
            state: self.state.clone(),
        })
    }

    /// Takes the model's `output` and `stateN`; gives the probability that the chunk is speech, from
    /// 0 to 1.
    ///
    /// # Errors
    ///
    /// [`AudioError::Length`] or [`AudioError::NotFinite`] if an output is of another kind,
    /// [`AudioError::OutOfTurn`] if no input has been asked for. Whoever goes on after an error goes
    /// on with the state before the run.
    pub fn take(&mut self, output: &[f32], state: &[f32]) -> Result<f32, AudioError> {
        if !std::mem::take(&mut self.is_due) {
            return Err(AudioError::OutOfTurn);
        }
        let &[probability] = output else {
            return Err(AudioError::Length {
                of: "Silero's output",
                expected: 1,
                given: output.len(),
            });
        };
        length("Silero's state", self.state.len(), state.len())?;
        all_finite("Silero's output", output)?;
        all_finite("Silero's state", state)?;
        self.state.copy_from_slice(state);
        Ok(probability.clamp(0.0, 1.0))
    }
}

impl Default for Silero {
    fn default() -> Self {
        Self::new()
    }
}
