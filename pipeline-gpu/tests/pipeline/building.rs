//! What cannot be built says why.

use pipeline_gpu::{BuildError, Context, Pipeline, PipelineBuilder, Run};
use progress_core::TaskError;
use static_assertions::assert_impl_all;

use crate::common::Takes;

assert_impl_all!(Pipeline<u32, String>: Send, Sync, Clone, std::fmt::Debug);
assert_impl_all!(Run<String>: Send, Future);
assert_impl_all!(Context: Send, Sync, Clone);
assert_impl_all!(PipelineBuilder<u32, u32>: Send);

fn error<In: Send + 'static, Out: Send + 'static>(builder: PipelineBuilder<In, Out>) -> BuildError {
    builder.build().unwrap_err()
}

fn one(name: &str) -> PipelineBuilder<u32, u32> {
    Pipeline::builder("p").stage(name, Takes::millis(1))
}

#[tokio::test]
async fn a_pipeline_needs_stages_with_names_of_their_own() {
    assert_eq!(
        error(Pipeline::<u32, u32>::builder("p")),
        BuildError::NoStage
    );
    let early = Pipeline::builder("p")
        .weight(2.0)
        .stage("a", Takes::millis(1));
    assert_eq!(error(early), BuildError::NoStage);
    for name in ["", "a//b", "a\n", &"x".repeat(1_000)] {
        let name = name.to_owned();
        assert_eq!(error(one(&name)), BuildError::StageName { name });
    }
    let twice = one("a").stage("a", Takes::millis(1));
    assert_eq!(error(twice), BuildError::Duplicate { name: "a".into() });
    let many = (0..65).fold(one("first"), |builder, n| {
        builder.stage(&n.to_string(), Takes::millis(1))
    });
    assert_eq!(error(many), BuildError::TooManyStages { limit: 64 });
}

#[tokio::test]
async fn numbers_out_of_bounds_are_named_with_their_limit() {
    let out = |error: BuildError| match error {
        BuildError::OutOfBounds {
            field,
            stage,
            limit,
        } => (field, stage, limit),
        other => panic!("{other:?}"),
    };
    let of_a = Some("a".to_owned());
    assert_eq!(out(error(one("a").waiting(0))), ("waiting", None, 65_536.0));
    assert_eq!(
        out(error(one("a").concurrency(65_537))),
        ("concurrency", of_a.clone(), 65_536.0),
    );
    assert_eq!(
        out(error(one("a").queue(0))),
        ("queue", of_a.clone(), 65_536.0)
    );
    assert_eq!(out(error(one("a").weight(f64::NAN))).0, "weight");
    assert_eq!(out(error(one("a").label(&"x".repeat(1_000)))).0, "label");
    let error = error(one("a").weight(-1.0));
    assert!(
        error
            .to_string()
            .starts_with(r#"weight of stage "a" is out of bounds"#)
    );
}

#[test]
fn a_pipeline_needs_a_runtime() {
    assert_eq!(error(one("a")), BuildError::NoRuntime);
}

#[tokio::test]
async fn functions_and_types_are_stages_side_by_side() {
    let pipeline = Pipeline::builder("p")
        .stage("own", Takes::millis(1))
        .stage("function", |_cx: Context, n: u32| async move {
            Ok::<_, TaskError>(n.to_string())
        })
        .build()
        .unwrap();
    let nobody = progress_core::Reporter::noop();
    assert_eq!(pipeline.run(&nobody, 3).await, Ok("3".to_owned()));
}
