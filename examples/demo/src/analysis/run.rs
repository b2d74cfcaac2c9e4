use std::error::Error;
use std::io;

use image::ImageFormat;

use super::kind::Guess;
use super::{
    Analysis, AnalysisError, ErrorKind, ImageFacts, Limits, Observer, Source, Step, blurhash,
    colours, decode, exif, hash, sharpness,
};

/// Analyses one file, blocking until done.
///
/// # Errors
///
/// Fails if the file cannot be read, if it claims to be a picture and cannot be decoded within
/// `limits`, or if the observer asks to stop. What was found until then is in
/// [`AnalysisError::partial`].
pub fn analyse(
    source: &Source,
    limits: &Limits,
    observer: &mut dyn Observer,
) -> Result<Analysis, AnalysisError> {
    let file = identify(source, observer)?;
    look(source, file, limits, observer)
}

/// Does the first step of [`analyse`] alone: what is known of any file.
///
/// # Errors
///
/// As [`analyse`].
pub fn identify(source: &Source, observer: &mut dyn Observer) -> Result<Analysis, AnalysisError> {
    let hashed = step(observer, Step::Hash, |observer| {
        hash::hash(source.path(), observer)
    })?;
    Ok(Analysis {
        name: source.name().to_owned(),
        size: hashed.size,
        sha256: hashed.sha256,
        image: None,
    })
}

/// Does the other steps of [`analyse`], after [`identify`]: what can be seen in a picture.
///
/// # Errors
///
/// As [`analyse`].
pub fn look(
    source: &Source,
    mut file: Analysis,
    limits: &Limits,
    observer: &mut dyn Observer,
) -> Result<Analysis, AnalysisError> {
    let image = match source.guess() {
        Ok(Guess::Other) => return Ok(file),
        Ok(Guess::Image(format)) => see(source, format, limits, observer),
        Ok(Guess::Undecodable) => step(observer, Step::Decode, |_| {
            Err(ErrorKind::ImageFormatUnsupported.into())
        }),
        Err(error) => Err(StepFailure::from(error).at(Step::Decode)),
    };
    match image {
        Ok(image) => {
            file.image = Some(image);
            Ok(file)
        }
        Err(error) => Err(error.after(file)),
    }
}

fn see(
    source: &Source,
    format: ImageFormat,
    limits: &Limits,
    observer: &mut dyn Observer,
) -> Result<ImageFacts, AnalysisError> {
    let mut decoded = step(observer, Step::Decode, |observer| {
        decode::decode(source.path(), format, limits, observer)
    })?;
    let notes = step(observer, Step::Exif, |_| {
        let notes = exif::read(source.path());
        decoded.working.apply_orientation(notes.orientation);
        Ok(notes)
    })?;
    let colours = step(observer, Step::Colours, |_| {
        Ok(colours::dominant(&decoded.working))
    })?;
    let blurhash = step(observer, Step::Blurhash, |_| {
        Ok(blurhash::encode(&decoded.working))
    })?;
    let sharpness = step(observer, Step::Sharpness, |_| {
        Ok(sharpness::measure(&decoded.working))
    })?;
    let (width, height) = if exif::swaps_sides(notes.orientation) {
        (decoded.height, decoded.width)
    } else {
        (decoded.width, decoded.height)
    };
    Ok(ImageFacts {
        width,
        height,
        format: decoded.format.to_owned(),
        exif: notes.fields,
        colours,
        blurhash,
        sharpness,
    })
}

fn step<T>(
    observer: &mut dyn Observer,
    step: Step,
    work: impl FnOnce(&mut dyn Observer) -> Result<T, StepFailure>,
) -> Result<T, AnalysisError> {
    if observer.is_cancelled() {
        return Err(StepFailure::Cancelled.at(step));
    }
    observer.started(step);
    let value = work(observer).map_err(|failure| failure.at(step))?;
    observer.finished(step);
    Ok(value)
}

/// Why a step ended early, before it is known as an [`AnalysisError`] which step that was.
#[derive(Debug)]
pub(super) enum StepFailure {
    Cancelled,
    Failed {
        kind: ErrorKind,
        cause: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl StepFailure {
    fn at(self, step: Step) -> AnalysisError {
        match self {
            Self::Cancelled => AnalysisError::new(ErrorKind::Cancelled, step),
            Self::Failed { kind, cause: None } => AnalysisError::new(kind, step),
            Self::Failed {
                kind,
                cause: Some(cause),
            } => AnalysisError::new(kind, step).caused_by(cause),
        }
    }
}

impl From<ErrorKind> for StepFailure {
    fn from(kind: ErrorKind) -> Self {
        Self::Failed { kind, cause: None }
    }
}

impl From<io::Error> for StepFailure {
    fn from(error: io::Error) -> Self {
        Self::Failed {
            kind: ErrorKind::FileReadFailed,
            cause: Some(Box::new(error)),
        }
    }
}
