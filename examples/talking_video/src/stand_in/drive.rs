//! What moves, and when.

use pipeline_gpu::audio::{Energy, Prosody, Segment, Sound};
use serde::{Deserialize, Serialize};

/// What the stand-in is told in the job's `config`: how far the mouth is open in each picture, and where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drive {
    /// How far the mouth is open, from 0 to 1, [`FPS`](Self::FPS) times a second.
    pub open: Vec<f32>,
    /// The corners of the mouth in pixels of the picture, the left one first; none if no face is known.
    pub mouth: Option<[(f32, f32); 2]>,
}

impl Drive {
    /// The option's name.
    pub const OPTION: &'static str = "stand_in";
    /// Pictures a second: five frames of [`Energy`] each.
    pub const FPS: f64 = 12.5;
    /// The most pictures: ten minutes of them.
    pub const FRAMES: usize = 7_500;

    /// Of what was heard: the mouth is open where there is speech, as far as it is loud.
    #[must_use]
    pub fn of(prosody: &Prosody, mouth: Option<[(f32, f32); 2]>) -> Self {
        Self {
            open: open(&prosody.energy, Some(&prosody.speech)),
            mouth,
        }
    }

    /// Of a recording alone, at 16 kHz: whatever is loud is taken for speech.
    ///
    /// # Errors
    ///
    /// If it has another rate.
    pub fn of_sound(sound: &Sound) -> Result<Self, pipeline_gpu::audio::AudioError> {
        Ok(Self {
            open: open(&Energy::of(sound)?, None),
            mouth: None,
        })
    }

    /// What is there of it if it makes sense.
    pub(super) fn checked(mut self) -> Option<Self> {
        let is_fine = (1..=Self::FRAMES).contains(&self.open.len());
        self.open.iter_mut().for_each(|open| {
            *open = if open.is_finite() {
                open.clamp(0.0, 1.0)
            } else {
                0.0
            };
        });
        let known = |(x, y): &(f32, f32)| x.is_finite() && y.is_finite();
        self.mouth = self.mouth.filter(|corners| corners.iter().all(known));
        is_fine.then_some(self)
    }
}

fn open(energy: &Energy, speech: Option<&[Segment]>) -> Vec<f32> {
    let loudest = energy.db.iter().copied().fold(Energy::FLOOR_DB, f32::max);
    let frames = (1.0 / (Drive::FPS * energy.hop_s)).round().max(1.0) as usize;
    let is_spoken = |at: f64| {
        speech.is_none_or(|speech| {
            let holds = |part: &Segment| (part.start_s..=part.end_s).contains(&at);
            speech.iter().any(holds)
        })
    };
    let pictures = energy.db.chunks(frames).enumerate();
    let open = pictures.map(|(picture, levels)| {
        let middle = (picture as f64 + 0.5) / Drive::FPS;
        if loudest <= SILENCE_DB || !is_spoken(middle) {
            return 0.0;
        }
        let level = levels.iter().copied().fold(Energy::FLOOR_DB, f32::max);
        // What is this much quieter than the loudest is said with the mouth closed.
        (1.0 + (level - loudest) / RANGE_DB).clamp(0.0, 1.0)
    });
    open.take(Drive::FRAMES).collect()
}

/// Decibels below full scale.
const SILENCE_DB: f32 = -60.0;
/// Decibels from an open mouth to a closed one.
const RANGE_DB: f32 = 25.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mouth_is_open_where_it_is_loud() {
        // A second of silence, a second of a tone.
        let tone = |at: u32| {
            if at < 16_000 {
                0.0
            } else {
                (at as f32 * 0.2).sin() * 0.5
            }
        };
        let sound = Sound::new(16_000, (0..32_000).map(tone).collect()).unwrap();
        let drive = Drive::of_sound(&sound).unwrap();
        assert_eq!(drive.open.len(), 25);
        assert!(
            drive.open[..12].iter().all(|open| *open == 0.0),
            "{drive:?}"
        );
        assert!(drive.open[13..].iter().all(|open| *open > 0.9), "{drive:?}");
    }

    #[test]
    fn silence_opens_no_mouth() {
        let sound = Sound::new(16_000, vec![0.0; 16_000]).unwrap();
        let drive = Drive::of_sound(&sound).unwrap();
        assert!(drive.open.iter().all(|open| *open == 0.0));
    }

    #[test]
    fn what_makes_no_sense_is_not_taken() {
        let drive = |open: Vec<f32>| Drive {
            open,
            mouth: Some([(0.0, f32::NAN), (1.0, 1.0)]),
        };
        assert_eq!(drive(Vec::new()).checked(), None);
        assert_eq!(drive(vec![0.0; Drive::FRAMES + 1]).checked(), None);
        let mended = drive(vec![f32::NAN, 7.0]).checked().unwrap();
        assert_eq!(mended.open, [0.0, 1.0]);
        assert_eq!(mended.mouth, None);
    }
}
