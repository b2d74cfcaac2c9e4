//! From the bytes of a file to samples of one channel.

use std::{
    io::{self, Cursor},
    panic,
    time::Duration,
};

use symphonia::core::{
    codecs::audio::AudioDecoder,
    errors::Error,
    formats::{FormatReader, TrackType, probe::Hint},
    io::{MediaSourceStream, ReadOnlySource},
};

use super::{
    error::AudioError,
    sound::{Sound, check_rate},
};

/// How large a recording can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AudioLimits {
    /// The most bytes of the file. Default: 64 MiB.
    pub bytes: usize,
    /// The longest duration. Default: 10 minutes. Checked against what the file says of itself, and
    /// again while it is decoded.
    pub duration: Duration,
    /// The most channels. Default: 8.
    pub channels: usize,
    /// The most samples of its one channel, of 4 bytes each in memory: silence of a high rate is small in a
    /// file. Default: 28.8 million, which are 10 minutes at 48 kHz.
    pub samples: usize,
}

impl AudioLimits {
    /// Sets the most bytes of the file.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the longest duration.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// Sets the most channels.
    #[must_use]
    pub fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the most samples.
    #[must_use]
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    fn check_frames(&self, frames: u64, rate: u32) -> Result<(), AudioError> {
        if frames as f64 > self.duration.as_secs_f64() * f64::from(rate) {
            return Err(AudioError::TooLong {
                limit: self.duration,
            });
        }
        if frames > self.samples as u64 {
            return Err(AudioError::TooManySamples {
                limit: self.samples,
            });
        }
        Ok(())
    }
}

impl Default for AudioLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            duration: Duration::from_secs(600),
            channels: 8,
            samples: 600 * 48_000,
        }
    }
}

/// Decodes a recording: WAV, MP3 or FLAC, told by its content. Channels are mixed to their mean.
///
/// What an encoder has added at the ends is cut. Up to a tenth of the packets may be damaged, as the
/// first of a cut MP3 is; they are left out.
///
/// ```
/// use pipeline_gpu::audio::{AudioError, AudioLimits, decode};
///
/// assert_eq!(decode(b"", &AudioLimits::default()), Err(AudioError::Empty));
/// ```
///
/// # Errors
///
/// [`AudioError`] says what is wrong with the file, or which limit it exceeds. A file that has less
/// than it says is [`AudioError::Truncated`]; some MP3s and streamed WAVs do not say how long they
/// are, and are read as far as they go. Silence is no error.
pub fn decode(bytes: &[u8], limits: &AudioLimits) -> Result<Sound, AudioError> {
    if bytes.is_empty() {
        return Err(AudioError::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(AudioError::TooManyBytes {
            bytes: bytes.len(),
            limit: limits.bytes,
        });
    }
    // The decoders are others', and read what strangers send: where one gives up by a panic, the file
    // is damaged, and nothing of the decoder is used again.
    panic::catch_unwind(|| read(bytes, limits)).unwrap_or_else(|_| {
        Err(AudioError::Corrupt {
            reason: "its decoder gave up".to_owned(),
        })
    })
}

fn read(bytes: &[u8], limits: &AudioLimits) -> Result<Sound, AudioError> {
    // Not seekable: of an MP3 that does not say how long it is, the length would be guessed.
    let source = Box::new(ReadOnlySource::new(Cursor::new(bytes)));
    let stream = MediaSourceStream::new(source, Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, Default::default(), Default::default())
        .map_err(|error| unrecognised(bytes, &error))?;
    let track = format
        .default_track(TrackType::Audio)
        .ok_or(AudioError::NoAudioTrack)?;
    let (id, declared) = (track.id, track.num_frames);
    let parameters = track
        .codec_params
        .as_ref()
        .and_then(|parameters| parameters.audio())
        .ok_or(AudioError::NoAudioTrack)?;
    if let Some(channels) = &parameters.channels {
        check_channels(channels.count(), limits)?;
    }
    if let Some(rate) = parameters.sample_rate {
        check_rate(rate)?;
        limits.check_frames(declared.unwrap_or(0), rate)?;
    }
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &Default::default())
        .map_err(|error| AudioError::UnsupportedCodec {
            reason: error.to_string(),
        })?;
    let mut mix = Mix {
        rate: parameters.sample_rate,
        mono: Vec::new(),
        packets: 0,
        damaged: 0,
        limits,
    };
    mix.read(format.as_mut(), decoder.as_mut(), id, declared)?;
    mix.finish(declared)
}

/// What has been decoded so far.
struct Mix<'a> {
    rate: Option<u32>,
    mono: Vec<f32>,
    packets: usize,
    damaged: usize,
    limits: &'a AudioLimits,
}

impl Mix<'_> {
    fn read(
        &mut self,
        format: &mut dyn FormatReader,
        decoder: &mut dyn AudioDecoder,
        track: u32,
        declared: Option<u64>,
    ) -> Result<(), AudioError> {
        let mut interleaved = Vec::new();
        loop {
            let packet = match format.next_packet() {
                Ok(Some(packet)) => packet,
                // A new list of tracks; no format read here has one.
                Ok(None) | Err(Error::ResetRequired) => return Ok(()),
                Err(Error::IoError(error)) if is_end(&error) => {
                    return match declared {
                        Some(_) => Err(AudioError::Truncated),
                        None => Ok(()),
                    };
                }
                Err(error) => return Err(corrupt(&error)),
            };
            if packet.track_id != track {
                continue;
            }
            self.packets += 1;
            match decoder.decode(&packet) {
                Ok(buffer) => {
                    let (rate, channels) = {
                        let spec = buffer.spec();
                        (spec.rate(), spec.channels().count())
                    };
                    buffer.copy_to_vec_interleaved(&mut interleaved);
                    self.add(rate, channels, &interleaved)?;
                }
                Err(Error::DecodeError(_)) => self.damaged += 1,
                Err(Error::IoError(error)) if is_end(&error) => self.damaged += 1,
                Err(Error::Unsupported(reason)) => {
                    return Err(AudioError::UnsupportedCodec {
                        reason: reason.to_owned(),
                    });
                }
                Err(error) => return Err(corrupt(&error)),
            }
        }
    }

    fn add(&mut self, rate: u32, channels: usize, interleaved: &[f32]) -> Result<(), AudioError> {
        if *self.rate.get_or_insert(rate) != rate {
            return Err(AudioError::Corrupt {
                reason: "the sample rate changes on the way".to_owned(),
            });
        }
        check_channels(channels, self.limits)?;
        if channels == 0 {
            return Err(AudioError::NoAudioTrack);
        }
        let frames = self.mono.len() + interleaved.len() / channels;
        self.limits.check_frames(frames as u64, rate)?;
        let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
        self.mono
            .extend(interleaved.chunks_exact(channels).map(mean));
        Ok(())
    }

    fn finish(self, declared: Option<u64>) -> Result<Sound, AudioError> {
        if self.damaged * 10 > self.packets {
            return Err(AudioError::Corrupt {
                reason: format!("{} of {} packets", self.damaged, self.packets),
            });
        }
        let is_short = declared.is_some_and(|declared| (self.mono.len() as u64) < declared);
        if is_short && self.damaged == 0 {
            return Err(AudioError::Truncated);
        }
        match self.rate {
            Some(rate) if !self.mono.is_empty() => Sound::new(rate, self.mono),
            _ => Err(AudioError::NoSamples),
        }
    }
}

fn check_channels(channels: usize, limits: &AudioLimits) -> Result<(), AudioError> {
    if channels > limits.channels {
        return Err(AudioError::TooManyChannels {
            channels,
            limit: limits.channels,
        });
    }
    Ok(())
}

/// Why no format could be made of it. The end of the file tells nothing: whoever looks for a marker
/// reads up to there. So the first bytes decide whether it began as one.
fn unrecognised(bytes: &[u8], error: &Error) -> AudioError {
    let is_known = [&b"RIFF"[..], b"fLaC", b"ID3"]
        .iter()
        .any(|marker| bytes.starts_with(marker));
    match error {
        Error::IoError(error) if is_known && is_end(error) => AudioError::Truncated,
        // Less than any of their headers has.
        _ if is_known && bytes.len() < 12 => AudioError::Truncated,
        Error::Unsupported(reason) if is_known => AudioError::UnsupportedCodec {
            reason: (*reason).to_owned(),
        },
        Error::DecodeError(_) | Error::LimitError(_) if is_known => corrupt(error),
        _ => AudioError::UnknownFormat,
    }
}

fn corrupt(error: &Error) -> AudioError {
    AudioError::Corrupt {
        reason: error.to_string(),
    }
}

fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}
