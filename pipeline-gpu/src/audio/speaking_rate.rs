//! How fast somebody speaks.

use super::{energy::Energy, error::AudioError, error::length, pitch::PitchTrack, speech::Segment};

/// Counts what sounds like syllables within the speech of a recording.
///
/// A syllable has a vowel, and a vowel is loud and voiced: counted are the peaks of the level that are
/// at most 25 dB below the loudest of the speech and not below -60 dB, stand at least 2 dB above the
/// dip before and the dip behind, and have a voice. The level is smoothed over 48 ms before. This is the method of
/// de Jong and Wempe (2009, *Praat script to detect syllable nuclei and measure speech rate
/// automatically*), on frames of 16 ms. It needs no words and knows no language; fast speech, whose
/// syllables run into each other, is counted a little low.
///
/// ```
/// use pipeline_gpu::audio::{Energy, PitchOptions, PitchTrack, Segment, Sound, syllables};
///
/// let silence = Sound::new(16_000, vec![0.0; 16_000])?;
/// let energy = Energy::of(&silence)?;
/// let pitch = PitchTrack::from_swift_f0(&[0.0; 62], &[0.0; 62], &silence, &PitchOptions::default())?;
/// assert_eq!(syllables(&energy, &pitch, &[Segment::new(0.0, 1.0)])?, 0);
/// # Ok::<(), pipeline_gpu::audio::AudioError>(())
/// ```
///
/// # Errors
///
/// [`AudioError::Length`] if level and pitch have not the same frames.
pub fn syllables(
    energy: &Energy,
    pitch: &PitchTrack,
    speech: &[Segment],
) -> Result<usize, AudioError> {
    length("the pitch", energy.db.len(), pitch.hz.len())?;
    let level = smoothed(&energy.db);
    let voiced: Vec<bool> = pitch.voiced().collect();
    let spoken: Vec<_> = speech
        .iter()
        .map(|segment| {
            let frame = |time: f64| ((time / energy.hop_s).max(0.0) as usize).min(level.len());
            let start = frame(segment.start_s);
            start..frame(segment.end_s).max(start)
        })
        .collect();
    let loudest = spoken
        .iter()
        .flat_map(|frames| &level[frames.clone()])
        .copied()
        .fold(Energy::FLOOR_DB, f32::max);
    let least = (loudest - RANGE_DB).max(SILENT_DB);
    let counts = spoken.into_iter().map(|frames| {
        let (level, voiced) = (&level[frames.clone()], &voiced[frames]);
        let of_syllable = |peak: &usize| level[*peak] >= least && voiced[*peak];
        peaks(level)
            .iter()
            .filter(|&peak| of_syllable(peak))
            .count()
    });
    Ok(counts.sum())
}

/// The highest places that have a dip on both sides; the ends of a segment count as dips.
fn peaks(level: &[f32]) -> Vec<usize> {
    let mut peaks = Vec::new();
    let mut highest: Option<(usize, f32)> = None;
    let mut lowest = Energy::FLOOR_DB;
    for (at, &db) in level.iter().enumerate() {
        match highest {
            // On the way up: wait until it has come down by a dip.
            Some((_, top)) if db > top => highest = Some((at, db)),
            Some((peak, top)) if db <= top - DIP_DB => {
                peaks.push(peak);
                (highest, lowest) = (None, db);
            }
            Some(_) => {}
            // On the way down: wait until it has come up by a dip.
            None if db >= lowest + DIP_DB => highest = Some((at, db)),
            None => lowest = lowest.min(db),
        }
    }
    peaks.extend(highest.map(|(peak, _)| peak));
    peaks
}

/// The mean of three frames.
fn smoothed(db: &[f32]) -> Vec<f32> {
    (0..db.len())
        .map(|at| {
            let near = &db[at.saturating_sub(1)..(at + 2).min(db.len())];
            near.iter().sum::<f32>() / near.len() as f32
        })
        .collect()
}

/// How far below the loudest a syllable can be.
const RANGE_DB: f32 = 25.0;

/// How far the level falls between two syllables.
const DIP_DB: f32 = 2.0;

/// No syllable is as quiet, whatever the loudest is.
const SILENT_DB: f32 = -60.0;
