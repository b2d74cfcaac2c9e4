//! Any bytes as the file of a recording: samples within the limits, or an error that names what is
//! wrong. What is a recording has another rate when it is asked for one.

#![no_main]

mod decoders;

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pipeline_gpu::audio::{AudioLimits, decode};
use progress_core::TaskError;

fuzz_target!(init: decoders::may_give_up(), |bytes: &[u8]| {
    const LONGEST: Duration = Duration::from_secs(2);
    let limits = AudioLimits::default().duration(LONGEST).samples(100_000);
    match decode(bytes, &limits) {
        Ok(sound) => {
            assert!(sound.duration() <= LONGEST);
            assert!((1..=100_000).contains(&sound.samples().len()));
            assert!(sound.samples().iter().all(|sample| sample.is_finite()));
            let resampled = sound.resampled(16_000).expect("the rate is one that can be");
            assert_eq!(resampled.rate(), 16_000);
        }
        Err(error) => {
            let told = TaskError::from(error);
            assert!(!told.is_retryable(), "{told:?}");
        }
    }
});
