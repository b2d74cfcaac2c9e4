//! People found and cut out, on models that were built by hand: what is red is a person.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use image::RgbImage;
use pipeline_gpu::{
    Admission, Cancel, Context, Pipeline, Prior, RunError, Stage,
    onnx::{ElementType, OnnxModel, Tensor},
    stages::{CutOut, DetectFaces, DetectYolo, Figure, IfNobody, Persons, Region, Scene, part},
    vision::{BoundingBox, Letterbox, MatteModel, MatteRange, PixelScale, Yolo},
};
use progress_core::{Data, ProgressTracker, Reporter, TaskError, TaskState};
use serde_json::{Value, json};

use crate::support::{builder, load, model, red_on_grey, soon, tell, until};

fn yolo(model: &OnnxModel) -> DetectYolo {
    DetectYolo::new(model, Yolo::coco().only([0]).confidence(0.5)).unwrap()
}

/// The hand-built matting model: colours from 0 to 1 in, alpha out.
fn cut_out(model: &OnnxModel) -> CutOut {
    let preset = MatteModel::u2net()
        .size(64, 64)
        .normalised([0.0; 3], [1.0; 3])
        .scale(PixelScale::Full)
        .range(MatteRange::Alpha);
    CutOut::new(model, preset).unwrap()
}

/// Twice the size of the detector's input, so that the way there and back counts.
fn somebody() -> Arc<RgbImage> {
    red_on_grey(128, 128, [16..64, 32..96])
}

#[tokio::test]
async fn a_person_is_found_and_watchers_are_told() {
    let told = tell(yolo(&model("blob_det64")), Scene::new(somebody())).await;
    let found = told.result.as_ref().unwrap();
    assert_eq!(found.all.len(), 1);
    let bounds = found.selected().unwrap().bounds;
    for (side, expected) in [
        (bounds.left, 16.0),
        (bounds.top, 32.0),
        (bounds.right, 64.0),
        (bounds.bottom, 96.0),
    ] {
        assert!((side - expected).abs() < 3.0, "{bounds:?}");
    }
    assert_eq!(told.metadata("detected_persons"), 1);
    assert_eq!(told.metadata("selected_person")["person_id"], 0);
    assert!(told.metadata("selected_person")["confidence"].as_f64() > Some(0.99));
    assert_eq!(told.metadata("device"), "cpu");
    assert_eq!(told.metadata("provider"), "CPUExecutionProvider");
    assert_eq!(told.metadata("provider_proven"), true);
    assert_eq!(told.message(), "One person was found");
}

#[tokio::test]
async fn where_nobody_is_found_the_item_fails_with_a_way_out() {
    let grey = red_on_grey(64, 64, [0..0, 0..0]);
    let told = tell(yolo(&model("blob_det64")), Scene::new(grey)).await;
    let error = told.result.as_ref().unwrap_err();
    assert_eq!(error.code(), "NO_PERSON_FOUND");
    assert!(!error.is_retryable());
    assert!(!error.solutions().is_empty());
    assert_eq!(told.metadata("detected_persons"), 0);
}

#[tokio::test]
async fn where_nobody_is_found_the_whole_picture_may_do_and_watchers_are_told() {
    let grey = red_on_grey(64, 64, [0..0, 0..0]);
    let stage = yolo(&model("blob_det64")).if_nobody(IfNobody::WholePicture);
    let told = tell(stage, Scene::new(grey)).await;
    let found = told.result.as_ref().unwrap();
    assert_eq!((found.all.len(), found.selected), (0, None));
    assert_eq!(found.selected_figure((64, 64)), None);
    assert_eq!(told.metadata("selected_person"), Value::Null);
    assert_eq!(told.metadata("fallback"), "whole_picture");
    assert!(
        told.message().contains("whole picture"),
        "{}",
        told.message()
    );
}

#[tokio::test]
async fn an_item_has_its_own_threshold() {
    let stage = yolo(&model("blob_det64"));
    // Paler: to the detector half a person.
    let pale = RgbImage::from_fn(64, 64, |x, y| {
        let is_pale = (8..32).contains(&x) && (16..48).contains(&y);
        image::Rgb(if is_pale { [255, 153, 153] } else { [128; 3] })
    });
    let pale = Arc::new(pale);
    let strict = tell(stage.clone(), Scene::new(Arc::clone(&pale))).await;
    assert_eq!(strict.result.unwrap_err().code(), "NO_PERSON_FOUND");
    let scene = Scene::new(Arc::clone(&pale)).confidence(0.3);
    assert_eq!(
        tell(stage.clone(), scene).await.result.unwrap().all.len(),
        1
    );
    let scene = Scene::new(pale).confidence(1.5);
    let error = tell(stage, scene).await.result.unwrap_err();
    assert_eq!(error.code(), "VISION_OPTION_INVALID");
    assert!(error.message().contains("confidence"), "{error}");
}

#[tokio::test]
async fn what_is_in_front_is_cut_out() {
    let picture = somebody();
    let told = tell(
        cut_out(&model("blob_mask64")),
        Region::new(Arc::clone(&picture)),
    )
    .await;
    let figure = told.result.as_ref().unwrap();
    assert_eq!(figure.image.dimensions(), (128, 128));
    let alpha = |x, y| figure.image.get_pixel(x, y)[3];
    assert_eq!((alpha(40, 64), alpha(100, 64), alpha(40, 10)), (255, 1, 1));
    // 48 x 64 of 128 x 128.
    assert!(
        (figure.coverage - 0.1875).abs() < 0.02,
        "{}",
        figure.coverage
    );
    let coverage = told.metadata("coverage").as_f64().unwrap();
    assert!((coverage - f64::from(figure.coverage)).abs() < 1e-3);
    assert_eq!(told.metadata("device"), "cpu");
}

#[tokio::test]
async fn of_two_people_the_selected_one_is_kept() {
    let two = RgbImage::from_fn(128, 64, |x, _| {
        let is_red = (8..40).contains(&x) || (88..120).contains(&x);
        image::Rgb(if is_red { [255, 0, 0] } else { [128; 3] })
    });
    let left = BoundingBox::new(0.0, 0.0, 48.0, 64.0);
    let region = Region::new(two).only(left);
    let figure = tell(cut_out(&model("blob_mask64")), region).await.result;
    let figure = figure.unwrap();
    let alpha = |x| figure.image.get_pixel(x, 32)[3];
    assert!(alpha(24) > 250);
    assert_eq!(alpha(104), 0);
}

#[tokio::test]
async fn a_cut_out_of_nothing_fails_with_a_way_out() {
    let grey = red_on_grey(64, 64, [0..0, 0..0]);
    let told = tell(cut_out(&model("blob_mask64")), Region::new(grey)).await;
    let error = told.result.unwrap_err();
    assert_eq!(error.code(), "NOTHING_CUT_OUT");
    assert!(!error.solutions().is_empty());
}

#[test]
fn a_model_of_another_kind_is_told_before_any_item() {
    let one_output = DetectFaces::new(&model("blob_det64")).unwrap_err();
    assert!(
        one_output.to_string().contains("at least 4 outputs"),
        "{one_output}"
    );
    let no_picture = CutOut::new(&model("prosody"), MatteModel::u2net()).unwrap_err();
    assert!(no_picture.to_string().contains("audio"), "{no_picture}");
    let error = TaskError::from(no_picture);
    assert_eq!(error.code(), "MODEL_MISFIT");
    assert!(!error.solutions().is_empty());
}

#[tokio::test]
async fn an_output_of_another_shape_fails_its_item() {
    // A mean is no detection.
    let told = tell(yolo(&model("heavy")), Scene::new(somebody())).await;
    assert_eq!(told.result.unwrap_err().code(), "MODEL_OUTPUT_SHAPE");
}

/// What goes through the whole pipeline.
struct Job {
    name: &'static str,
    picture: Arc<RgbImage>,
}

fn portraits(detector: &OnnxModel, matte: &OnnxModel) -> Pipeline<Job, (&'static str, Figure)> {
    Pipeline::builder("portraits")
        .stage(
            "detect",
            part(
                yolo(detector),
                |job: Job| (Scene::new(Arc::clone(&job.picture)), job),
                |job: Job, persons: Persons| (job, persons),
            ),
        )
        .stage(
            "cut-out",
            part(
                cut_out(matte),
                |(job, persons): (Job, Persons)| {
                    let only = persons.selected_figure(job.picture.dimensions());
                    (Region::new(job.picture).only(only), job.name)
                },
                |name, figure: Figure| (name, figure),
            ),
        )
        .build()
        .unwrap()
}

#[tokio::test]
async fn stages_work_on_a_part_of_items_that_are_more() {
    let pipeline = portraits(&model("blob_det64"), &model("blob_mask64"));
    let tracker = ProgressTracker::new();
    let job = Job {
        name: "ada",
        picture: somebody(),
    };
    let run = pipeline.item(job).submit_with(
        tracker.task("portrait"),
        |(name, figure)| json!({ "name": name, "coverage": figure.coverage }),
    );
    let (name, _) = soon(run.unwrap()).await.unwrap();
    assert_eq!(name, "ada");
    let snapshot = tracker.snapshot("portrait").await.unwrap();
    let stages = serde_json::to_value(&snapshot.stages).unwrap();
    assert_eq!(stages[0]["path"], "detect");
    assert_eq!(stages[0]["metadata"]["selected_person"]["person_id"], 0);
    assert_eq!(stages[1]["path"], "cut-out");
    assert!(stages[1]["metadata"]["coverage"].as_f64() > Some(0.15));
}

#[tokio::test]
async fn a_failure_names_its_stage_and_the_next_item_goes_through() {
    let pipeline = portraits(&model("blob_det64"), &model("blob_mask64"));
    let tracker = ProgressTracker::new();
    let empty = Job {
        name: "nobody",
        picture: red_on_grey(64, 64, [0..0, 0..0]),
    };
    let failed = pipeline
        .item(empty)
        .submit_with(tracker.task("nobody"), |_| ());
    let full = Job {
        name: "somebody",
        picture: somebody(),
    };
    let through = pipeline
        .item(full)
        .submit_with(tracker.task("somebody"), |_| ());
    let RunError::Failed(error) = soon(failed.unwrap()).await.unwrap_err() else {
        panic!("it is a failure");
    };
    let error = serde_json::to_value(&error).unwrap();
    assert_eq!(
        (&error["code"], &error["stage"]),
        (&json!("NO_PERSON_FOUND"), &json!("detect"))
    );
    assert_eq!(soon(through.unwrap()).await.unwrap().0, "somebody");
}

#[tokio::test]
async fn the_wait_for_a_session_is_not_learned() {
    let model = load(builder("blob_det320")).unwrap();
    let pipeline = Pipeline::builder("busy")
        .stage("detect", yolo(&model).letterbox(Letterbox::yolo(320)))
        .build()
        .unwrap();
    // Others have the one session, for much longer than the item needs it.
    let before = (0..1_000).map(|_| {
        let model = model.clone();
        let picture = [(
            "images",
            Tensor::zeros(ElementType::F32, [1, 3, 320, 320]).unwrap(),
        )];
        tokio::spawn(async move { model.run(picture, &Cancel::new()).await.map(drop) })
    });
    let before: Vec<_> = before.collect();
    until(|| model.running() == 1).await;
    let began = Instant::now();
    let nobody = Reporter::noop();
    soon(pipeline.run(&nobody, Scene::new(somebody())))
        .await
        .unwrap();
    let (took, learned) = (
        began.elapsed(),
        pipeline.prior().expected("detect").unwrap(),
    );
    assert!(learned * 2 < took, "{learned:?} of {took:?}");
    for run in before {
        run.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_item_stops_within_the_model() {
    // A detector that takes long, and would fail if it came to its end.
    let slow = load(builder("heavy").without_warm_up()).unwrap();
    let pipeline = Pipeline::builder("slow")
        .stage("detect", yolo(&slow).letterbox(Letterbox::yolo(320)))
        .build()
        .unwrap();
    let tracker = ProgressTracker::new();
    // On a busy machine it may come to its end before it is cancelled.
    for id in ["slow-1", "slow-2", "slow-3", "slow-4", "slow-5"] {
        let item = pipeline.item(Scene::new(somebody()));
        let mut run = item.submit_with(tracker.task(id), |_| ()).unwrap();
        tokio::select! {
            biased;
            () = until(|| slow.running() == 1) => {}
            _ = &mut run => continue,
        }
        tracker.cancel(id, "not needed").await.ok();
        let ended = soon(run).await;
        until(|| slow.running() == 0).await;
        if matches!(ended, Err(RunError::Cancelled { .. })) {
            let snapshot = tracker.snapshot(id).await.unwrap();
            assert_eq!(snapshot.state, TaskState::Cancelled);
            return;
        }
    }
    panic!("each came to its end");
}

#[tokio::test]
async fn a_device_is_free_when_the_run_that_was_stopped_is_over() {
    let slow = load(builder("heavy").without_warm_up()).unwrap();
    let gpu = Admission::new("gpu", 1);
    let first = Pipeline::builder("first")
        .stage(
            "detect",
            yolo(&slow).letterbox(Letterbox::yolo(320)).on(&gpu),
        )
        .build()
        .unwrap();
    let model = slow.clone();
    let look = move |_cx: Context, (): ()| {
        let running = model.running();
        async move { Ok::<_, TaskError>(running) }
    };
    let second = Pipeline::builder("second")
        .stage("look", look.on(&gpu))
        .build()
        .unwrap();
    for _ in 0..5 {
        let mut run = first.item(Scene::new(somebody())).run(&Reporter::noop());
        tokio::select! {
            biased;
            () = until(|| slow.running() == 1) => {}
            _ = &mut run => continue,
        }
        let next = second.item(()).run(&Reporter::noop());
        until(|| gpu.waiting() == 1).await;
        run.cancel("not needed");
        assert_eq!(soon(next).await, Ok(0));
        if matches!(soon(run).await, Err(RunError::Cancelled { .. })) {
            return;
        }
    }
    panic!("each came to its end");
}

#[tokio::test]
async fn how_far_a_model_is_is_estimated_once_it_is_known_how_long_it_takes() {
    let slow = load(builder("heavy").without_warm_up()).unwrap();
    let mut prior = Prior::new();
    for _ in 0..Prior::ENOUGH {
        prior.learn("detect", Duration::from_millis(200));
    }
    let pipeline = Pipeline::builder("slow")
        .prior(prior)
        .stage("detect", yolo(&slow).letterbox(Letterbox::yolo(320)))
        .build()
        .unwrap();
    let tracker = ProgressTracker::new();
    let mut frames = tracker.subscribe("slow");
    let item = pipeline.item(Scene::new(somebody()));
    let run = item.submit_with(tracker.task("slow"), |_| ()).unwrap();
    let mut estimates = 0;
    let told = async {
        while let Some(frame) = frames.next().await {
            if let Some(Data::ProgressUpdate(update)) = frame.event().map(|event| event.data())
                && update.metadata.get("estimated") == Some(&Value::Bool(true))
            {
                let percent = update.stage_progress.unwrap();
                assert!((0.0..=95.0).contains(&percent), "{percent}");
                estimates += 1;
            }
        }
    };
    soon(told).await;
    assert!(estimates > 0);
    // What it gives is no detection.
    assert!(soon(run).await.is_err());
}
