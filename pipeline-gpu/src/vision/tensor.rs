//! What a model that sees takes.

/// One picture as a model takes it: 32-bit floats of shape `[1, 3, height, width]`, the planes in
/// the order red, green, blue, each row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct ChwTensor {
    width: usize,
    height: usize,
    data: Vec<f32>,
}

impl ChwTensor {
    /// Of interleaved bytes, three a pixel; `value` makes a channel's byte a number.
    pub(super) fn from_rgb(
        width: u32,
        height: u32,
        rgb: &[u8],
        value: impl Fn(usize, u8) -> f32,
    ) -> Self {
        let (width, height) = (width as usize, height as usize);
        let mut data = Vec::with_capacity(3 * width * height);
        for channel in 0..3 {
            // One table a channel: a byte has few values, and a picture many bytes.
            let table: [f32; 256] = std::array::from_fn(|byte| value(channel, byte as u8));
            data.extend(
                rgb.iter()
                    .skip(channel)
                    .step_by(3)
                    .map(|&byte| table[usize::from(byte)]),
            );
        }
        Self {
            width,
            height,
            data,
        }
    }

    /// Its shape: `[1, 3, height, width]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        [1, 3, self.height, self.width]
    }

    /// Its values.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Its values, as a runtime takes them over.
    #[must_use]
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}
