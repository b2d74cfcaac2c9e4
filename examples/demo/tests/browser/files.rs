//! A page that takes files and shows what becomes of them.

use std::path::PathBuf;

use image::ImageFormat;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use crate::{driver::Browser, fixtures};

/// A file's row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Row {
    pub(crate) task: String,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) percent: u8,
    pub(crate) activity: String,
    pub(crate) outcome: String,
}

/// The batch's summary.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Batch {
    pub(crate) state: String,
    pub(crate) percent: u8,
    pub(crate) counts: String,
    pub(crate) verdict: String,
    pub(crate) outcome: String,
}

impl Browser {
    /// Waits until the page says that nothing more is to come.
    pub(crate) async fn until_final(&self) {
        self.until("document.body.dataset.connection === 'final'")
            .await;
    }

    /// Waits until there are so many rows in a state.
    pub(crate) async fn until_rows(&self, number: usize, state: &str) {
        self.until(&format!(
            "document.querySelectorAll('[data-testid=row][data-state={state}]').length === {number}"
        ))
        .await;
    }

    /// Waits until the bar of the batch says so much, which comes after what its files say.
    pub(crate) async fn until_percent(&self, percent: u8) {
        self.until(&format!(
            "document.querySelector('[data-testid=batch] [role=progressbar]').ariaValueNow === '{percent}'"
        ))
        .await;
    }

    /// Waits until the sentence about the batch contains a text.
    pub(crate) async fn until_verdict(&self, text: &str) {
        let text = json!(text);
        self.until(&format!(
            "document.querySelector('[data-testid=verdict]').textContent.includes({text})"
        ))
        .await;
    }

    pub(crate) async fn rows(&self) -> Vec<Row> {
        self.read(
            "const text = (row, id) => row.querySelector(`[data-testid=${id}]`).textContent;
             return [...document.querySelectorAll('[data-testid=row]')].map((row) => ({
               task: row.dataset.task,
               name: text(row, 'name'),
               state: row.dataset.state,
               percent: Number(row.querySelector('[role=progressbar]').ariaValueNow),
               activity: text(row, 'activity'),
               outcome: text(row, 'outcome'),
             }));",
        )
        .await
    }

    pub(crate) async fn batch(&self) -> Batch {
        self.read(
            "const batch = document.querySelector('[data-testid=batch]');
             return {
               state: batch.dataset.state,
               percent: Number(batch.querySelector('[role=progressbar]').ariaValueNow),
               counts: batch.querySelector('[data-testid=counts]').textContent,
               verdict: batch.querySelector('[data-testid=verdict]').textContent,
               outcome: batch.querySelector('.outcome').textContent,
             };",
        )
        .await
    }

    async fn read<T: DeserializeOwned>(&self, script: &str) -> T {
        let value = self.client.execute(script, Vec::new()).await.unwrap();
        serde_json::from_value(value).unwrap()
    }

    /// Drops files on the page: the files are real, the mouse is not.
    pub(crate) async fn drop_files(&self, files: &[PathBuf]) {
        self.client
            .execute(
                "const input = document.createElement('input');
                 Object.assign(input, { type: 'file', multiple: true, id: 'hand' });
                 document.body.append(input);",
                Vec::new(),
            )
            .await
            .unwrap();
        self.give("#hand", files).await;
        self.client
            .execute(
                "const input = document.querySelector('#hand');
                 const dataTransfer = new DataTransfer();
                 for (const file of input.files) dataTransfer.items.add(file);
                 input.remove();
                 const about = { dataTransfer, bubbles: true, cancelable: true };
                 for (const type of ['dragenter', 'dragover', 'drop'])
                   document.querySelector('h1').dispatchEvent(new DragEvent(type, about));",
                Vec::new(),
            )
            .await
            .unwrap();
    }
}

/// A photo with a camera's notes; each seed gives another.
pub(crate) fn photo(seed: usize) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(900, 600, |x, y| {
        let (x, y, seed) = (x as usize, y as usize, seed * 37);
        let band = (x * 3 + y * seed) / 64 % 3;
        let grain = (x * 7919 + y * 104_729 + seed) % 23;
        let light = |part: usize| ((x * part + y + band * 40 + seed + grain) / 6 % 256) as u8;
        image::Rgb([light(1), light(2), light(seed % 3 + 1)])
    });
    let jpeg = fixtures::encode(&picture, ImageFormat::Jpeg);
    fixtures::with_exif(&jpeg, &fixtures::camera_notes())
}
