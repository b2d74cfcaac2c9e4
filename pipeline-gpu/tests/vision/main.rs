//! Pictures: decoding, letterboxing, reading detectors and mattes. The numbers of
//! `fixtures/vision.json` are not ours; the script beside it says whose they are.

mod decode;
mod faces;
mod letterbox;
mod matte;
mod nms;
mod reference;
mod yolo;
