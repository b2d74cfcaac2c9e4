//! Voices: decoding, resampling, speech, pitch, level, speaking rate.

mod decode;
mod pitch;
mod prosody;
mod silero;
mod sound;
mod speech;
mod wav;
