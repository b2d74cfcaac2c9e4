//! The work itself: a small film, written, drawn and encoded as a GIF.

use std::f32::consts::TAU;

use gif::{Encoder, EncodingError, Frame, Repeat};
use sha2::{Digest as _, Sha256};

/// Frames of a scene.
pub(crate) const FRAMES: u64 = 12;
/// Colours of a scene.
const COLOURS: u32 = 64;
const WIDTH: u16 = 160;
const HEIGHT: u16 = 90;
/// Hundredths of a second that a frame is shown.
const DELAY: u16 = 8;
/// A thumbnail has every so many of a frame's dots.
const SMALLER: u16 = 2;

/// Writes a scene's line of the script.
pub(crate) fn line(title: &str, scene: u64) -> String {
    const WHO: [&str; 8] = [
        "A lighthouse",
        "The night train",
        "An old map",
        "The river",
        "A paper boat",
        "The last bus",
        "A red kite",
        "The orchard",
    ];
    const DOES: [&str; 8] = [
        "waits for",
        "remembers",
        "drifts towards",
        "answers",
        "follows",
        "outlives",
        "dreams of",
        "runs from",
    ];
    const WHAT: [&str; 8] = [
        "the rain",
        "a stranger",
        "the morning",
        "its own shadow",
        "the sea",
        "an empty square",
        "somebody's song",
        "the first snow",
    ];
    let seed = Sha256::digest(format!("{title}/{scene}"));
    let word = |words: [&'static str; 8], byte: usize| words[usize::from(seed[byte]) % 8];
    let (who, does, what) = (word(WHO, 0), word(DOES, 1), word(WHAT, 2));
    format!("{who} {does} {what}.")
}

/// What a scene is drawn from.
#[derive(Debug, Clone)]
pub(crate) struct Asset {
    palette: Vec<u8>,
    waves: [f32; 3],
    /// The digest of the line that it was made for.
    pub(crate) digest: String,
}

impl Asset {
    /// Makes the colours and waves of a line.
    pub(crate) fn of(line: &str) -> Self {
        let seed = Sha256::digest(line);
        let mix = |from: u8, to: u8, step: u32| {
            let mixed = u32::from(from) * (COLOURS - 1 - step) + u32::from(to) * step;
            u8::try_from(mixed / (COLOURS - 1)).unwrap_or(u8::MAX)
        };
        let palette = (0..COLOURS)
            .flat_map(|step| (0..3).map(move |part| (step, part)))
            .map(|(step, part)| mix(seed[part] / 2, seed[part + 3] | 0x80, step))
            .collect();
        let wave = |byte: usize| 1.0 + f32::from(seed[byte] % 5);
        Self {
            palette,
            waves: [wave(6), wave(7), wave(8)],
            digest: hex(&seed),
        }
    }

    /// Draws a frame: a number of the palette for each dot.
    fn draw(&self, frame: u64, smaller: u16) -> Frame<'static> {
        let (width, height) = (WIDTH / smaller, HEIGHT / smaller);
        let time = TAU * frame as f32 / FRAMES as f32;
        let [across, down, both] = self.waves;
        let columns: Vec<f32> = (0..width)
            .map(|x| (TAU * across * f32::from(x) / f32::from(width) + time).sin())
            .collect();
        let mut dots = Vec::with_capacity(usize::from(width) * usize::from(height));
        for y in 0..height {
            let y = f32::from(y) / f32::from(height);
            let row = (TAU * down * y - time).cos();
            let slant = both * y;
            dots.extend(columns.iter().map(|column| {
                let sum = column + row + (slant * column).sin();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a sum of three waves is from -3 to 3"
                )]
                let number = ((sum + 3.0) / 6.0 * (COLOURS - 1) as f32) as u8;
                number
            }));
        }
        let mut drawn = Frame::from_palette_pixels(width, height, dots, &*self.palette, None);
        drawn.delay = DELAY;
        drawn
    }

    /// The film's picture in small, a GIF too.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded.
    pub(crate) fn thumbnail(&self) -> Result<Vec<u8>, EncodingError> {
        let mut encoder = Encoder::new(Vec::new(), WIDTH / SMALLER, HEIGHT / SMALLER, &[])?;
        encoder.write_frame(&self.draw(FRAMES / 2, SMALLER))?;
        encoder.into_inner()
    }
}

/// A film in the making.
pub(crate) struct Film {
    encoder: Encoder<Vec<u8>>,
}

impl Film {
    /// # Errors
    ///
    /// If it cannot be encoded.
    pub(crate) fn new() -> Result<Self, EncodingError> {
        let mut encoder = Encoder::new(Vec::new(), WIDTH, HEIGHT, &[])?;
        encoder.set_repeat(Repeat::Infinite)?;
        Ok(Self { encoder })
    }

    /// Draws and encodes the next frame, which takes a millisecond or so.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded.
    pub(crate) fn push(&mut self, asset: &Asset, frame: u64) -> Result<(), EncodingError> {
        self.encoder.write_frame(&asset.draw(frame, 1))
    }

    /// # Errors
    ///
    /// If it cannot be encoded.
    pub(crate) fn finish(self) -> Result<Vec<u8>, EncodingError> {
        self.encoder.into_inner()
    }
}

/// The SHA-256 of a film.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_has_all_its_frames_and_is_the_same_each_time() {
        let make = || {
            let asset = Asset::of(&line("Rain", 1));
            let mut film = Film::new().unwrap();
            for frame in 0..FRAMES {
                film.push(&asset, frame).unwrap();
            }
            film.finish().unwrap()
        };
        let film = make();
        assert_eq!(digest(&film), digest(&make()));
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut frames = options.read_info(&*film).unwrap();
        let mut pictures = Vec::new();
        while let Some(frame) = frames.read_next_frame().unwrap() {
            assert_eq!((frame.width, frame.height), (WIDTH, HEIGHT));
            pictures.push(frame.buffer.to_vec());
        }
        assert_eq!(pictures.len(), FRAMES as usize);
        assert_ne!(pictures[0], pictures[1], "it moves");
    }

    #[test]
    fn each_scene_has_a_line_and_colours_of_its_own() {
        let lines: Vec<_> = (0..3).map(|scene| line("Rain", scene)).collect();
        assert_ne!(lines[0], lines[1]);
        let (one, other) = (Asset::of(&lines[0]), Asset::of(&lines[1]));
        assert_ne!(one.palette, other.palette);
        assert_eq!(one.palette.len(), 3 * COLOURS as usize);
    }
}
