use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use image::{DynamicImage, ImageError, ImageFormat, ImageReader};

use super::run::StepFailure;
use super::{ErrorKind, Limits, Observer, Step, jpeg};

/// A picture after decoding.
pub(super) struct Decoded {
    /// The size in the file, before orientation.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) format: &'static str,
    /// A copy in RGBA whose longer side is at most [`WORKING_SIDE`].
    pub(super) working: DynamicImage,
}

pub(super) fn decode(
    path: &Path,
    format: ImageFormat,
    limits: &Limits,
    observer: &mut dyn Observer,
) -> Result<Decoded, StepFailure> {
    let file = File::open(path)?;
    let total = file.metadata()?.len();
    // JPEG reads the file into memory before any limit of the decoder's applies.
    if total > limits.memory() {
        return Err(ErrorKind::ImageTooLarge.into());
    }
    if format == ImageFormat::Jpeg {
        let complete = jpeg::is_complete(&mut BufReader::with_capacity(BUFFER_LEN, &file))?;
        if !complete {
            return Err(ErrorKind::ImageDecodeFailed.into());
        }
        (&file).rewind()?;
    }
    observer.progress(Step::Decode, 0, total);
    let stopped = RefCell::new(None);
    let counted = Counted {
        file,
        done: 0,
        total,
        observer,
        stopped: &stopped,
    };
    let mut reader =
        ImageReader::with_format(BufReader::with_capacity(BUFFER_LEN, counted), format);
    reader.limits(limits.for_decoder());
    let result = reader.decode();
    // Decoders wrap a reader's error in their own, so it is the reader that knows why they stopped.
    if let Some(failure) = stopped.take() {
        return Err(failure);
    }
    let image = result.map_err(explain)?;
    Ok(Decoded {
        width: image.width(),
        height: image.height(),
        format: name(format),
        working: scale_down(image),
    })
}

/// Counts the bytes that a decoder reads, and ends the reading when the observer asks for it.
struct Counted<'a> {
    file: File,
    done: u64,
    total: u64,
    observer: &'a mut dyn Observer,
    stopped: &'a RefCell<Option<StepFailure>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.observer.is_cancelled() {
            *self.stopped.borrow_mut() = Some(StepFailure::Cancelled);
            return Err(io::Error::other("cancelled"));
        }
        match self.file.read(buffer) {
            Ok(read) => {
                // Decoders that seek read some bytes twice; the end of the file is the end of the count.
                let done = self.total.min(self.done + read as u64);
                if done > self.done {
                    self.done = done;
                    self.observer.progress(Step::Decode, done, self.total);
                }
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                *self.stopped.borrow_mut() = Some(error.into());
                Err(kind.into())
            }
        }
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

fn explain(error: ImageError) -> StepFailure {
    let kind = match &error {
        ImageError::Limits(_) => ErrorKind::ImageTooLarge,
        ImageError::Unsupported(_) => ErrorKind::ImageFormatUnsupported,
        _ => ErrorKind::ImageDecodeFailed,
    };
    StepFailure::Failed {
        kind,
        cause: Some(Box::new(error)),
    }
}

fn scale_down(image: DynamicImage) -> DynamicImage {
    let image = if image.width().max(image.height()) > WORKING_SIDE {
        image.thumbnail(WORKING_SIDE, WORKING_SIDE)
    } else {
        image
    };
    image.into_rgba8().into()
}

const fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Bmp => "bmp",
        ImageFormat::Gif => "gif",
        ImageFormat::Jpeg => "jpeg",
        ImageFormat::Png => "png",
        ImageFormat::Pnm => "pnm",
        ImageFormat::Qoi => "qoi",
        ImageFormat::Tiff => "tiff",
        ImageFormat::WebP => "webp",
        _ => "other",
    }
}

/// Fixed, so that sharpness scores of different pictures compare; large enough for them to differ.
const WORKING_SIDE: u32 = 512;

/// Also the granularity of the progress, since decoders read through the buffer.
const BUFFER_LEN: usize = 64 * 1024;
