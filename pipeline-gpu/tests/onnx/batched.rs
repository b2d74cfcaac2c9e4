//! A model that takes several items at a time, shown those that come together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use pipeline_gpu::{
    BatchContext, BatchStage, Batched, Cancel, Pipeline,
    onnx::{OnnxModel, Tensor},
};
use progress_core::{Reporter, TaskError};

use crate::support::{model, picture};

/// One run for all pictures, which is counted.
struct Mattes(OnnxModel, Arc<AtomicUsize>);

impl BatchStage<Tensor, Tensor> for Mattes {
    async fn run(
        &self,
        cx: BatchContext,
        pictures: Vec<Tensor>,
    ) -> Result<Vec<Result<Tensor, TaskError>>, TaskError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let count = pictures.len();
        let inputs = [("images", Tensor::stack(pictures)?)];
        let mut outputs = self.0.run(inputs, cx.cancel()).await?;
        let mattes = outputs.take("matte")?.split(count)?;
        Ok(mattes.into_iter().map(Ok).collect())
    }
}

#[tokio::test]
async fn items_that_come_together_are_one_run_and_each_has_its_own() {
    let (model, runs) = (model("blob_mask_dyn"), Arc::default());
    let pipeline = Pipeline::builder("mattes")
        .stage(
            "matte",
            Batched::new(Mattes(model.clone(), Arc::clone(&runs))).max_size(8),
        )
        .build()
        .unwrap();
    let pictures: Vec<_> = (1..=8)
        .map(|edge| picture(40, 30, move |x, _| x < edge * 4))
        .collect();
    let nobody = Reporter::noop();
    let mattes = pictures
        .iter()
        .map(|picture| pipeline.run(&nobody, picture.clone()));
    let mattes = join_all(mattes).await;
    for (picture, matte) in pictures.into_iter().zip(mattes) {
        let alone = model.run([("images", picture)], &Cancel::new()).await;
        assert_eq!(alone.unwrap().take("matte").unwrap(), matte.unwrap());
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}
