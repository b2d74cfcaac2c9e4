//! Analyses one file on disk: what it is, its SHA-256, and for a picture what can be seen in it.
//!
//! [`analyse`] is blocking and knows no progress crate: it tells an [`Observer`] which [`Step`] it is
//! in and how far that step has come, and asks it whether to stop. Run it on a thread that may block,
//! such as `tokio::task::spawn_blocking`.
//!
//! ```
//! use demo::analysis::{Limits, Observer, Source, Step, analyse};
//!
//! struct Print;
//!
//! impl Observer for Print {
//!     fn progress(&mut self, step: Step, done: u64, total: u64) {
//!         println!("{step}: {done} of {total}");
//!     }
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("upload");
//! # std::fs::write(&path, b"hello")?;
//! let source = Source::new(&path, "notes.txt").content_type("text/plain");
//! let analysis = analyse(&source, &Limits::default(), &mut Print)?;
//! assert_eq!(analysis.size, 5);
//! assert!(analysis.image.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Behaviour
//!
//! - **Order.** Steps run one after another in the order of [`Step::for_kind`]. The hash always comes
//!   first, so a picture that then fails still has one: see [`AnalysisError::partial`].
//! - **Cancelling.** The observer is asked before each step, after each chunk that is hashed and at each
//!   read of a decoder. A JPEG is read whole before its pixels are computed, so a cancel that
//!   arrives in between waits for the decoder.
//! - **Memory.** One chunk while hashing; while decoding, what [`Limits`] allows. The full picture is
//!   dropped as soon as it is scaled down, before the later steps start.
//!
//! # Limitations
//!
//! Animations count as their first frame. A JPEG whose bytes are damaged but not cut short is decoded
//! as far as it goes, as browsers do. Colour profiles are ignored. HEIC, AVIF, SVG, ICO and camera raw are
//! known as pictures and refused with [`ErrorKind::ImageFormatUnsupported`].

mod blurhash;
mod colours;
mod decode;
mod error;
mod exif;
mod facts;
mod hash;
mod jpeg;
mod kind;
mod limits;
mod observer;
mod run;
mod sharpness;
mod source;
mod step;

pub use self::error::{AnalysisError, ErrorKind};
pub use self::facts::{Analysis, Colour, ImageFacts, Sharpness, Verdict};
pub use self::kind::Kind;
pub use self::limits::Limits;
pub use self::observer::Observer;
pub use self::run::{analyse, identify, look};
pub use self::source::Source;
pub use self::step::Step;
