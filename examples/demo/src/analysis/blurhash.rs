use image::DynamicImage;

use super::sharpness::on_white;

pub(super) fn encode(working: &DynamicImage) -> String {
    let small = on_white(&working.thumbnail_exact(SIDE, SIDE));
    blurhash::encode(COMPONENTS_X, COMPONENTS_Y, SIDE, SIDE, small.as_raw())
        .expect("the numbers of components are from 1 to 9")
}

const COMPONENTS_X: u32 = 4;
const COMPONENTS_Y: u32 = 3;

/// A few pixels for each of the components are enough. The hash does not know the aspect, hence a square.
const SIDE: u32 = 32;
