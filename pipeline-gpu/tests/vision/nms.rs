//! Suppression of doubles, whatever the boxes.

use pipeline_gpu::vision::{BoundingBox, Nms, VisionError};
use proptest::prelude::*;

type Boxes = Vec<(BoundingBox, f32, usize)>;

fn boxes() -> impl Strategy<Value = Boxes> {
    // Whole numbers, so that equal boxes and equal scores come up.
    let one = (0..40i16, 0..40i16, 0..20i16, 0..20i16, 0..10u8, 0..3usize);
    let made = one.prop_map(|(x, y, width, height, score, class)| {
        let [x, y, width, height] = [x, y, width, height].map(f32::from);
        let bounds = BoundingBox::new(x, y, x + width, y + height);
        (bounds, f32::from(score) / 10.0, class)
    });
    prop::collection::vec(made, 0..60)
}

fn keep(nms: Nms, boxes: &Boxes) -> Vec<usize> {
    let bounds: Vec<_> = boxes.iter().map(|of| of.0).collect();
    let scores: Vec<_> = boxes.iter().map(|of| of.1).collect();
    let classes: Vec<_> = boxes.iter().map(|of| of.2).collect();
    nms.keep(&bounds, &scores, &classes).unwrap()
}

fn may_suppress(agnostic: bool, one: usize, other: usize) -> bool {
    agnostic || one == other
}

proptest! {
    #[test]
    fn no_two_kept_boxes_overlap_more_than_allowed(
        boxes in boxes(), iou in 0.0..1.0f32, agnostic: bool,
    ) {
        let nms = Nms::new().iou(iou);
        let kept = keep(if agnostic { nms.agnostic() } else { nms }, &boxes);
        for (at, &one) in kept.iter().enumerate() {
            for &other in &kept[at + 1..] {
                let (one, other) = (&boxes[one], &boxes[other]);
                prop_assert!(one.1 >= other.1);
                if may_suppress(agnostic, one.2, other.2) {
                    prop_assert!(one.0.iou(&other.0) <= f64::from(iou));
                }
            }
        }
    }

    #[test]
    fn what_is_dropped_overlaps_something_better(
        boxes in boxes(), iou in 0.0..1.0f32, agnostic: bool,
    ) {
        let nms = Nms::new().iou(iou);
        let kept = keep(if agnostic { nms.agnostic() } else { nms }, &boxes);
        for (at, dropped) in boxes.iter().enumerate() {
            let is_explained = kept.contains(&at) || dropped.0.is_empty() || kept.iter().any(|&better| {
                let better = &boxes[better];
                better.1 >= dropped.1
                    && may_suppress(agnostic, better.2, dropped.2)
                    && better.0.iou(&dropped.0) > f64::from(iou)
            });
            prop_assert!(is_explained, "box {at} is gone");
        }
    }

    #[test]
    fn the_order_of_the_boxes_does_not_matter(
        (boxes, shuffled) in boxes().prop_flat_map(|boxes| {
            let shuffled = Just(boxes.clone()).prop_shuffle();
            (Just(boxes), shuffled)
        }),
        iou in 0.0..1.0f32,
        most in 1..20usize,
    ) {
        let nms = Nms::new().iou(iou).max_detections(most).max_candidates(30);
        let told = |boxes: &Boxes| -> Boxes {
            keep(nms, boxes).into_iter().map(|at| boxes[at]).collect()
        };
        prop_assert_eq!(told(&boxes), told(&shuffled));
    }

    #[test]
    fn no_more_boxes_come_out_than_were_asked_for(boxes in boxes(), most in 0..5usize) {
        let best = keep(Nms::new(), &boxes);
        let few = keep(Nms::new().max_detections(most), &boxes);
        prop_assert_eq!(&few[..], &best[..most.min(best.len())]);
        prop_assert!(keep(Nms::new().iou(1.0).max_candidates(most), &boxes).len() <= most);
    }
}

#[test]
fn scores_and_boxes_that_are_not_finite_are_refused() {
    let fine = BoundingBox::new(0.0, 0.0, 1.0, 1.0);
    let endless = BoundingBox::new(0.0, 0.0, f32::INFINITY, 1.0);
    for bad in [f32::NAN, f32::INFINITY] {
        let error = Nms::new().keep(&[fine; 2], &[0.5, bad], &[0, 0]);
        assert_eq!(
            error,
            Err(VisionError::NotFinite {
                output: "scores",
                index: 1
            })
        );
    }
    let error = Nms::new().keep(&[endless], &[0.5], &[0]);
    assert_eq!(
        error,
        Err(VisionError::NotFinite {
            output: "boxes",
            index: 0
        })
    );
    let error = Nms::new().keep(&[fine], &[0.5, 0.5], &[0]);
    assert!(matches!(
        error,
        Err(VisionError::Length {
            output: "scores",
            ..
        })
    ));
}
