//! Pictures that move, as an animated PNG: the first is whole, of the others only what moves is kept.

use std::fmt;

use image::{Rgba, RgbaImage, imageops};

use super::drive::Drive;

/// There are no pictures.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnimateError {
    /// They could not be written.
    Encoding(png::EncodingError),
    /// Nobody wants them any more.
    Stopped,
}

impl fmt::Display for AnimateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding(_) => "the pictures could not be written",
            Self::Stopped => "nobody wants the pictures any more",
        })
    }
}

impl std::error::Error for AnimateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encoding(error) => Some(error),
            Self::Stopped => None,
        }
    }
}

impl From<png::EncodingError> for AnimateError {
    fn from(error: png::EncodingError) -> Self {
        Self::Encoding(error)
    }
}

/// Makes the picture speak: opens its mouth, or moves a bar below it where none is known, in the longest side of 400 pixels.
///
/// Each picture is asked for anew whether it is still wanted: a long drive has thousands.
///
/// # Errors
///
/// [`AnimateError`] if the pictures could not be written, or are not wanted.
pub fn animate(
    picture: &RgbaImage,
    drive: &Drive,
    is_wanted: impl Fn() -> bool,
) -> Result<Vec<u8>, AnimateError> {
    let (picture, scale) = fitted(picture);
    let moving = match drive.mouth {
        Some(corners) => Moving::mouth(&picture, corners.map(|(x, y)| (x * scale, y * scale))),
        None => None,
    };
    let (picture, moving) = match moving {
        Some(mouth) => (picture, mouth),
        None => Moving::bar(&picture),
    };
    // What is open as far looks the same, so there are few to draw.
    let drawn: Vec<RgbaImage> = (0..=LEVELS)
        .map(|level| moving.at(&picture, level))
        .collect();
    let frames = u32::try_from(drive.open.len()).unwrap_or(u32::MAX).max(1);

    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_animated(frames, 0)?;
    encoder.set_frame_delay(1_000, (Drive::FPS * 1_000.0) as u16)?;
    encoder.set_blend_op(png::BlendOp::Source)?;
    let mut writer = encoder.write_header()?;
    let mut levels = drive.open.iter().map(|open| level(*open));
    let mut first = picture.clone();
    let (left, top) = (moving.left, moving.top);
    let closed = &drawn[levels.next().unwrap_or_default()];
    imageops::replace(&mut first, closed, i64::from(left), i64::from(top));
    writer.write_image_data(&first)?;
    for level in levels {
        if !is_wanted() {
            return Err(AnimateError::Stopped);
        }
        let part = &drawn[level];
        // The size first: it has to lie within the picture from where the last one was.
        writer.reset_frame_position()?;
        writer.set_frame_dimension(part.width(), part.height())?;
        writer.set_frame_position(left, top)?;
        writer.write_image_data(part)?;
    }
    writer.finish()?;
    Ok(file)
}

/// The part of the picture that moves.
struct Moving {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    what: What,
}

enum What {
    /// Its middle, and half its width.
    Mouth {
        x: f32,
        y: f32,
        half: f32,
    },
    Bar,
}

impl Moving {
    /// None if the mouth is too small to be seen, or not in the picture.
    fn mouth(picture: &RgbaImage, [left, right]: [(f32, f32); 2]) -> Option<Self> {
        let (x, y) = ((left.0 + right.0) / 2.0, (left.1 + right.1) / 2.0);
        let half = (right.0 - left.0).hypot(right.1 - left.1) / 2.0;
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let is_seen = half >= 2.0 && (0.0..width).contains(&x) && (0.0..height).contains(&y);
        if !is_seen {
            return None;
        }
        // From above the lips to below the chin.
        let (from_x, to_x) = ((x - REACH * half).max(0.0), (x + REACH * half).min(width));
        let (from_y, to_y) = ((y - half).max(0.0), (y + CHIN * half).min(height));
        let (left, top) = (from_x as u32, from_y as u32);
        Some(Self {
            left,
            top,
            width: (to_x.ceil() as u32).min(picture.width()) - left,
            height: (to_y.ceil() as u32).min(picture.height()) - top,
            what: What::Mouth { x, y, half },
        })
    }

    /// The picture with room for a bar below it.
    fn bar(picture: &RgbaImage) -> (RgbaImage, Self) {
        let (width, height) = picture.dimensions();
        let mut taller = RgbaImage::new(width, height + BAR);
        imageops::replace(&mut taller, picture, 0, 0);
        let moving = Self {
            left: 0,
            top: height,
            width,
            height: BAR,
            what: What::Bar,
        };
        (taller, moving)
    }

    fn at(&self, picture: &RgbaImage, level: usize) -> RgbaImage {
        let open = level as f32 / LEVELS as f32;
        RgbaImage::from_fn(self.width, self.height, |x, y| match self.what {
            What::Bar => match x as f32 <= open * self.width as f32 && level > 0 {
                true => BAR_FULL,
                false => BAR_EMPTY,
            },
            What::Mouth {
                x: middle,
                y: lips,
                half,
            } => {
                let (x, y) = (x + self.left, y + self.top);
                let aside = (x as f32 + 0.5 - middle) / half;
                let below = (y as f32 + 0.5 - lips) / half;
                opened(picture, (x, y), aside, below, open, half)
            }
        })
    }
}

/// A pixel of a face whose mouth is open. Places are in halves of the mouth, from its middle.
fn opened(
    picture: &RgbaImage,
    (x, y): (u32, u32),
    aside: f32,
    below: f32,
    open: f32,
    half: f32,
) -> Rgba<u8> {
    let still = *picture.get_pixel(x, y);
    if below <= 0.0 || aside.abs() >= REACH {
        return still;
    }
    // The jaw goes down as one, less at the cheeks, and not at all below the chin.
    let cheeks = (1.0 - (aside / REACH).powi(2)).max(0.0);
    let chin = (1.0 - below / CHIN).clamp(0.0, 1.0).sqrt();
    let down = OPEN * open * cheeks * chin;
    let gap = OPEN * open * (1.0 - aside * aside).max(0.0).sqrt();
    let from = (below - down) * half;
    let source = y as f32 - below * half + from.max(0.0);
    let row = (source.max(0.0) as u32).min(picture.height() - 1);
    let moved = *picture.get_pixel(x, row);
    // Its edge is as soft as a pixel.
    let inside = ((gap - below) * half).clamp(0.0, 1.0);
    let Rgba([red, green, blue, alpha]) = moved;
    let Rgba([dark_red, dark_green, dark_blue, _]) = INSIDE;
    let mix = |light: u8, dark: u8| {
        (f32::from(light) * (1.0 - inside) + f32::from(dark) * inside).round() as u8
    };
    Rgba([
        mix(red, dark_red),
        mix(green, dark_green),
        mix(blue, dark_blue),
        alpha,
    ])
}

/// No larger than it has to be, and by how much smaller.
fn fitted(picture: &RgbaImage) -> (RgbaImage, f32) {
    let longest = picture.width().max(picture.height());
    if longest <= LONGEST {
        return (picture.clone(), 1.0);
    }
    let scale = LONGEST as f32 / longest as f32;
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let (width, height) = (side(picture.width()), side(picture.height()));
    let filter = imageops::FilterType::Triangle;
    (imageops::resize(picture, width, height, filter), scale)
}

fn level(open: f32) -> usize {
    (open * LEVELS as f32).round() as usize
}

const LONGEST: u32 = 400;
const LEVELS: usize = 8;
/// How wide open it is at most, how far cheeks and chin are, in halves of the mouth.
const OPEN: f32 = 0.9;
const REACH: f32 = 1.8;
const CHIN: f32 = 3.0;
const INSIDE: Rgba<u8> = Rgba([64, 18, 24, 255]);
const BAR: u32 = 16;
const BAR_FULL: Rgba<u8> = Rgba([46, 125, 50, 255]);
const BAR_EMPTY: Rgba<u8> = Rgba([221, 221, 221, 255]);

#[cfg(test)]
mod tests {
    use super::*;

    /// Each picture of a file, whole.
    fn played(file: &[u8]) -> Vec<RgbaImage> {
        use image::AnimationDecoder as _;
        let decoder = image::codecs::png::PngDecoder::new(std::io::Cursor::new(file)).unwrap();
        let frames = decoder
            .apng()
            .unwrap()
            .into_frames()
            .collect_frames()
            .unwrap();
        frames.into_iter().map(image::Frame::into_buffer).collect()
    }

    fn dark(picture: &RgbaImage) -> usize {
        picture
            .pixels()
            .filter(|pixel| pixel[0] < 100 && pixel[3] > 0)
            .count()
    }

    #[test]
    fn a_mouth_opens_as_far_as_it_is_told() {
        let face = RgbaImage::from_pixel(120, 160, Rgba([200, 160, 140, 255]));
        let drive = Drive {
            open: vec![0.0, 0.5, 1.0, 0.0],
            mouth: Some([(45.0, 100.0), (75.0, 100.0)]),
        };
        let pictures = played(&animate(&face, &drive, || true).unwrap());
        let open: Vec<_> = pictures.iter().map(dark).collect();
        assert_eq!((open.len(), open[0], open[3]), (4, 0, 0), "{open:?}");
        assert!(open[1] > 50 && open[2] > open[1] * 3 / 2, "{open:?}");
        // What is above the mouth stands still.
        let forehead = |picture: &RgbaImage| imageops::crop_imm(picture, 0, 0, 120, 80).to_image();
        assert_eq!(forehead(&pictures[2]), forehead(&face));
    }

    #[test]
    fn where_no_face_is_known_a_bar_moves() {
        let picture = RgbaImage::from_pixel(100, 50, Rgba([200, 200, 200, 255]));
        let drive = Drive {
            open: vec![0.0, 1.0],
            mouth: None,
        };
        let pictures = played(&animate(&picture, &drive, || true).unwrap());
        assert_eq!(pictures[0].dimensions(), (100, 50 + BAR));
        let green =
            |picture: &RgbaImage| picture.pixels().filter(|pixel| **pixel == BAR_FULL).count();
        assert_eq!((green(&pictures[0]), green(&pictures[1])), (0, 1_600));
    }

    #[test]
    fn large_pictures_are_made_smaller_and_mouths_stay_where_they_are() {
        let face = RgbaImage::from_pixel(800, 1_600, Rgba([200, 160, 140, 255]));
        let drive = Drive {
            open: vec![1.0],
            mouth: Some([(300.0, 1_000.0), (500.0, 1_000.0)]),
        };
        let pictures = played(&animate(&face, &drive, || true).unwrap());
        assert_eq!(pictures[0].dimensions(), (200, 400));
        assert!(pictures[0].get_pixel(100, 255)[0] < 100);
        assert!(pictures[0].get_pixel(100, 240)[0] > 150);
    }

    #[test]
    fn what_nobody_wants_is_given_up_at_once() {
        let picture = RgbaImage::new(40, 40);
        let drive = Drive {
            open: vec![0.5; Drive::FRAMES],
            mouth: None,
        };
        let asked = std::cell::Cell::new(0);
        let is_wanted = || {
            asked.set(asked.get() + 1);
            asked.get() < 3
        };
        let given_up = animate(&picture, &drive, is_wanted);
        assert!(matches!(given_up, Err(AnimateError::Stopped)));
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn a_mouth_at_the_edge_is_no_error() {
        let face = RgbaImage::from_pixel(60, 60, Rgba([200, 160, 140, 255]));
        for corners in [
            [(-10.0, 58.0), (30.0, 59.0)],
            [(0.0, 0.0), (59.0, 0.0)],
            [(50.0, 30.0), (90.0, 30.0)],
            [(5.0, 5.0), (5.5, 5.0)],
        ] {
            let drive = Drive {
                open: vec![0.0, 1.0, 0.3],
                mouth: Some(corners),
            };
            assert_eq!(
                played(&animate(&face, &drive, || true).unwrap()).len(),
                3,
                "{corners:?}"
            );
        }
    }
}
