/// How large a picture may be before it is refused with
/// [`ErrorKind::ImageTooLarge`](super::ErrorKind::ImageTooLarge).
///
/// A few kilobytes of PNG can claim billions of pixels; the limits are held against that claim before
/// memory is set aside. They concern decoding only: any file is hashed, whatever its size.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    width: u32,
    height: u32,
    memory: u64,
}

impl Limits {
    /// Sets the largest width in pixels, as stored in the file; 16384 unless set.
    #[must_use]
    pub const fn max_width(mut self, pixels: u32) -> Self {
        self.width = pixels;
        self
    }

    /// Sets the largest height in pixels, as stored in the file; 16384 unless set.
    #[must_use]
    pub const fn max_height(mut self, pixels: u32) -> Self {
        self.height = pixels;
        self
    }

    /// Sets the most bytes that the decoded pixels, and also the picture's file, may take; 256 MiB
    /// unless set.
    ///
    /// Decoders keep this limit as well as they can: some need small buffers beside it, and JPEG holds
    /// the file in memory next to the pixels.
    #[must_use]
    pub const fn max_memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    pub(super) const fn memory(&self) -> u64 {
        self.memory
    }

    pub(super) fn for_decoder(&self) -> image::Limits {
        let mut limits = image::Limits::no_limits();
        limits.max_image_width = Some(self.width);
        limits.max_image_height = Some(self.height);
        limits.max_alloc = Some(self.memory);
        limits
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The side a WebP can have at most, and above what phones and full-frame cameras deliver.
            width: 16_384,
            height: 16_384,
            // 89 megapixels of RGB. A server multiplies this by the analyses it runs at once.
            memory: 256 * 1024 * 1024,
        }
    }
}
