//! Pictures through three stages, watched: drawn, blurred on a device that is shared, and described in
//! batches. One is broken, one is cancelled while it waits. No model is needed.
//!
//! `cargo run -p pipeline-gpu --no-default-features --example pictures` prints what a watcher sees, and
//! how long stages are expected to take next time.

use std::error::Error;

use pipeline_gpu::{Admission, BatchContext, Batched, Context, Pipeline, Prior, Stage, blocking};
use progress_core::{Data, Frame, ProgressTracker, TaskError};

/// Grey, one byte a pixel.
struct Picture {
    width: usize,
    pixels: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()?;
    let prior = runtime.block_on(work(512, 6))?;
    println!("kept for next time: {}", serde_json::to_string(&prior)?);
    Ok(())
}

async fn work(side: usize, pictures: u32) -> Result<Prior, Box<dyn Error>> {
    let tracker = ProgressTracker::new();
    let pipeline = pipeline(side)?;
    let watchers: Vec<_> = (0..pictures)
        .map(|n| {
            let id = format!("picture-{n}");
            let watcher = tokio::spawn(watch(tracker.clone(), id.clone()));
            let run = pipeline.submit(tracker.task(id).name(format!("Picture {n}")), n)?;
            if n == pictures - 1 {
                run.cancel("nobody wants the last one");
            }
            Ok(watcher)
        })
        .collect::<Result<_, Box<dyn Error>>>()?;
    for watcher in watchers {
        watcher.await?;
    }
    pipeline.close().await;
    Ok(pipeline.prior())
}

fn pipeline(side: usize) -> Result<Pipeline<u32, f64>, Box<dyn Error>> {
    let device = Admission::new("blur-unit", 1);
    let draw =
        blocking(move |_cx: &Context, n: u32| match n {
            2 => Err(TaskError::new("PICTURE_BROKEN", "The picture is broken")
                .solution("Take another one")),
            n => Ok(draw(side, n)),
        });
    let blur = blocking(|cx: &Context, picture: Picture| blur(cx, &picture));
    let describe = Batched::new(|_cx: BatchContext, pictures: Vec<Picture>| async move {
        Ok(pictures
            .iter()
            .map(|picture| Ok(brightness(picture)))
            .collect())
    });
    let pipeline = Pipeline::builder("pictures")
        .stage("draw", draw)
        .weight(1.0)
        .stage("blur", blur.on(&device))
        .weight(8.0)
        .concurrency(2)
        .stage("describe", describe.max_size(4))
        .weight(1.0)
        .build()?;
    Ok(pipeline)
}

/// Prints the milestones of a task, and its end.
async fn watch(tracker: ProgressTracker, id: String) {
    let mut frames = tracker.subscribe(&*id);
    while let Some(frame) = frames.next().await {
        let Frame::Event(delivered) = frame else {
            continue;
        };
        match delivered.event.data() {
            Data::Queued(queued) => match queued.position {
                Some(place) => println!("{id}: waits, {place} in line"),
                None => println!("{id}: is taken"),
            },
            Data::StageChange(change) => println!("{id}: {}", change.current_stage),
            Data::Complete(end) => match (&end.result, &end.error) {
                (Some(result), _) => println!("{id}: done, brightness {}", result.json()),
                (None, Some(error)) => println!("{id}: failed, {error}"),
                (None, None) => println!("{id}: ends, {}", end.cause.as_deref().unwrap_or("")),
            },
            _ => {}
        }
    }
}

fn draw(side: usize, n: u32) -> Picture {
    let at = |pixel: usize| ((pixel % side) ^ (pixel / side)).wrapping_mul(n as usize + 1);
    Picture {
        width: side,
        pixels: (0..side * side)
            .map(|pixel| at(pixel).to_le_bytes()[0])
            .collect(),
    }
}

/// Each pixel the mean of those around it; rows are counted, and it stops where it is to.
fn blur(cx: &Context, picture: &Picture) -> Result<Picture, TaskError> {
    const REACH: usize = 4;
    let height = picture.pixels.len() / picture.width;
    let rows = cx.reporter().clone().total(height as u64).unit("rows");
    let mut pixels = Vec::with_capacity(picture.pixels.len());
    for y in 0..height {
        if cx.is_cancelled() {
            return Err(TaskError::new("CANCELLED", "It was cancelled"));
        }
        for x in 0..picture.width {
            let (mut sum, mut count) = (0_u32, 0_u32);
            for row in y.saturating_sub(REACH)..(y + REACH).min(height) {
                for column in x.saturating_sub(REACH)..(x + REACH).min(picture.width) {
                    sum += u32::from(picture.pixels[row * picture.width + column]);
                    count += 1;
                }
            }
            pixels.push(u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX));
        }
        rows.inc(1);
    }
    Ok(Picture {
        width: picture.width,
        pixels,
    })
}

fn brightness(picture: &Picture) -> f64 {
    let sum: u64 = picture.pixels.iter().map(|pixel| u64::from(*pixel)).sum();
    sum as f64 / picture.pixels.len().max(1) as f64 / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_pictures_but_the_broken_and_the_cancelled_one_are_learned_from() {
        let prior = work(16, 6).await.unwrap();
        assert_eq!(prior.runs("describe"), 4);
        assert_eq!(prior.runs("blur"), 4);
    }
}
