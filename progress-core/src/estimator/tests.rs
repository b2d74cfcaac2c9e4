//! Bounds that hold for any work, and errors on recorded shapes beside those of a naive mean.

use proptest::prelude::*;

use super::*;

fn after(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// What remains after work that was sampled at these times.
fn share(samples: impl IntoIterator<Item = (f64, f64)>) -> Estimator {
    let mut estimator = Estimator::default();
    for (at, done) in samples {
        estimator.record(after(at), Amount::Share(done));
    }
    estimator
}

fn seconds(estimator: &Estimator, at: f64, left: f64) -> Option<f64> {
    estimator
        .remaining(after(at), left)
        .map(|eta| eta.as_secs_f64())
}

#[test]
fn absent_until_it_means_something() {
    assert_eq!(seconds(&Estimator::default(), 5.0, 1.0), None);
    let two = share([(0.0, 0.0), (1.0, 0.1), (2.0, 0.2)]);
    assert_eq!(seconds(&two, 2.0, 0.8), None, "two steps");
    let hasty = share([(0.0, 0.0), (0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4)]);
    assert_eq!(seconds(&hasty, 0.4, 0.6), None, "less than half a second");
    // Steps below the scheduler's resolution are one.
    let blurred = share((0..100).map(|n| (f64::from(n) / 1e4, f64::from(n) / 1e3)));
    assert_eq!(seconds(&blurred, 1.0, 0.9), None);
    let idle = share((0..100).map(|n| (f64::from(n), 0.25)));
    assert_eq!(seconds(&idle, 100.0, 0.75), None, "nothing was ever done");
}

#[test]
fn nothing_remains_at_the_end() {
    let steady = share((0..=10).map(|n| (f64::from(n), f64::from(n) / 10.0)));
    assert_eq!(seconds(&steady, 10.0, 0.0), None);
    assert_eq!(seconds(&steady, 10.0, -1e-9), None);
    let nearly = seconds(&steady, 10.0, 1e-6).unwrap();
    assert!(nearly < 1e-3, "{nearly}");
}

#[test]
fn grows_while_nothing_happens() {
    let steady = share((0..=20).map(|n| (f64::from(n) / 2.0, f64::from(n) / 100.0)));
    // Half a second is the usual; then it grows, and goes on to.
    let mut before = seconds(&steady, 10.5, 0.8).unwrap();
    for at in 11..200 {
        let now = seconds(&steady, f64::from(at), 0.8).unwrap();
        assert!(now > before, "{now} after {before}");
        before = now;
    }
    assert!(before > 60.0, "{before}");
}

#[test]
fn a_long_gap_is_forgiven_soon() {
    // 40 of 100 in 40 s, a minute of nothing that nobody called a pause, 30 more in 30 s.
    let mut samples: Vec<_> = (0..=40)
        .map(|n| (f64::from(n), f64::from(n) / 100.0))
        .collect();
    samples.extend((41..=70).map(|n| (f64::from(n) + 60.0, f64::from(n) / 100.0)));
    let left = seconds(&share(samples), 130.0, 0.3).unwrap();
    let naive = 130.0 * 0.3 / 0.7;
    assert!((30.0..naive).contains(&left), "{left}, naive {naive}");
}

#[test]
fn work_taken_back_starts_it_afresh() {
    let mut estimator = share((0..=10).map(|n| (f64::from(n), f64::from(n) / 20.0)));
    estimator.record(after(11.0), Amount::Share(0.1));
    assert_eq!(seconds(&estimator, 11.0, 0.9), None);
    // Ten seconds for each tenth, from then on.
    for n in 2..=5 {
        let at = 1.0 + f64::from(n) * 10.0;
        estimator.record(after(at), Amount::Share(f64::from(n) / 10.0));
    }
    let left = seconds(&estimator, 51.0, 0.5).unwrap();
    assert!((45.0..55.0).contains(&left), "{left}");
    let mut counted = Estimator::default();
    for n in 0..=10 {
        counted.record(after(n as f64), Amount::Units(n));
    }
    counted.record(after(11.0), Amount::Units(9));
    assert_eq!(seconds(&counted, 11.0, 1.0), None);
}

#[test]
fn a_total_that_grows_is_more_to_do_at_the_same_speed() {
    // One a second, of 100; then of 150.
    let mut counted = Estimator::default();
    let mut shared = Estimator::default();
    for n in 0..=40 {
        let total = if n < 40 { 100.0 } else { 150.0 };
        counted.record(after(n as f64), Amount::Units(n));
        shared.record(after(n as f64), Amount::Share(n as f64 / total));
    }
    for left in [
        seconds(&counted, 40.0, 110.0),
        seconds(&shared, 40.0, 110.0 / 150.0),
    ] {
        let left = left.unwrap();
        assert!((105.0..115.0).contains(&left), "{left}");
    }
    // One that grows as fast as it is worked off: the units tell, the share stands still.
    let mut chased = Estimator::default();
    for n in 0..=40 {
        chased.record(after(n as f64), Amount::Units(n));
    }
    let left = seconds(&chased, 40.0, 40.0).unwrap();
    assert!((39.0..41.0).contains(&left), "{left}");
}

#[test]
fn a_change_of_measure_starts_it_afresh() {
    let mut estimator = share((0..=10).map(|n| (f64::from(n), f64::from(n) / 20.0)));
    estimator.record(after(11.0), Amount::Units(40));
    assert_eq!(seconds(&estimator, 11.0, 60.0), None);
}

#[test]
fn one_leap_is_no_speed() {
    // One a second of a hundred; at 20, forty at once that were there already.
    let done = |n: i32| f64::from(if n < 20 { n } else { n + 40 }) / 100.0;
    let leapt = share((0..=25).map(|n| (f64::from(n), done(n))));
    let left = seconds(&leapt, 25.0, 0.35).unwrap();
    assert!((15.0..40.0).contains(&left), "{left}");
    // Where they are the rule, they count.
    let by_leaps = share((0..=60).map(|n| {
        let leaps = f64::from(n / 10);
        (
            f64::from(n),
            (leaps * 10.0 + f64::from(n % 10) * 0.01) / 100.0,
        )
    }));
    let left = seconds(&by_leaps, 60.0, 0.4).unwrap();
    assert!((20.0..80.0).contains(&left), "{left}");
}

/// The mean error, as the logarithm of estimated to true, of ours and of a naive mean, over work
/// that is at `done(share of its time)` and is looked at a thousand times.
fn errors(length: f64, done: impl Fn(f64) -> f64) -> (f64, f64) {
    let mut estimator = Estimator::default();
    let (mut ours, mut naive, mut looks) = (0.0, 0.0, 0.0);
    for n in 0..970 {
        let time = f64::from(n) / 1_000.0;
        let (at, done) = (time * length, done(time));
        estimator.record(after(at), Amount::Share(done));
        let Some(estimate) = seconds(&estimator, at, 1.0 - done) else {
            continue;
        };
        let error = |estimate: f64| (estimate / (length - at)).ln().abs();
        ours += error(estimate);
        naive += error(at * (1.0 - done) / done);
        looks += 1.0;
    }
    assert!(looks > 500.0, "only {looks} estimates");
    (ours / looks, naive / looks)
}

#[test]
fn no_worse_than_a_naive_mean_on_recorded_shapes() {
    type Shape = fn(f64) -> f64;
    let shapes: [(&str, Shape); 9] = [
        ("steady", |t| t),
        ("accelerating", |t| t * t),
        ("decelerating", f64::sqrt),
        ("twice as fast in the second half", |t| {
            (t / 1.5).max((t - 0.25) / 0.75)
        }),
        ("half as fast in the second half", |t| {
            (t / 0.75).min(0.5 + t / 1.5 - 1.0 / 6.0)
        }),
        ("ten bursts", |t| (t * 10.0).floor() / 10.0),
        ("thirty bursts", |t| (t * 30.0).floor() / 30.0),
        ("half of it was there", |t| (t * 25.0).min(0.5) + t / 2.0),
        ("wavering", |t| t + (t * 40.0).sin() / 60.0),
    ];
    for length in [20.0, 100.0, 3_600.0] {
        for (name, shape) in shapes {
            let (ours, naive) = errors(length, |t| shape(t).clamp(0.0, 1.0));
            // Within an eighth of the truth anybody is content.
            assert!(
                ours <= naive.max(0.12),
                "{name} in {length} s: {ours:.3}, naive {naive:.3}"
            );
        }
    }
}

/// Where a naive mean is better: a tenth of the time works, and each burst looks like speed.
#[test]
fn bursts_that_take_a_while_cost_little() {
    for length in [20.0, 100.0, 3_600.0] {
        let (ours, naive) = errors(length, |t| {
            let burst = (t * 10.0).floor();
            (burst + ((t * 10.0 - burst) * 10.0 - 9.0).max(0.0)) / 10.0
        });
        assert!(ours < 0.45, "in {length} s: {ours:.3}, naive {naive:.3}");
    }
}

#[test]
fn a_pause_that_is_left_out_does_no_harm() {
    // The naive mean knows the wall's clock only.
    let mut estimator = Estimator::default();
    let (mut ours, mut naive) = (0.0_f64, 0.0_f64);
    for n in 1..=90 {
        let active = f64::from(n);
        let wall = active + if n > 30 { 200.0 } else { 0.0 };
        estimator.record(after(active), Amount::Share(active / 100.0));
        if n > 35 {
            let left = 100.0 - active;
            let estimate = seconds(&estimator, active, left / 100.0).unwrap();
            ours = ours.max((estimate / left).ln().abs());
            naive = naive.max((wall / active).ln().abs());
        }
    }
    assert!(ours < 0.1 && naive > 1.0, "{ours}, naive {naive}");
}

proptest! {
    /// However long it takes and however it is sampled.
    #[test]
    fn steady_work_is_estimated_within_a_tenth(
        length in 2.0..100_000.0_f64,
        steps in prop::collection::vec(0.1..10.0_f64, 8..200),
        part in 0.1..0.95_f64,
    ) {
        let all: f64 = steps.iter().sum();
        let mut estimator = Estimator::default();
        estimator.record(after(0.0), Amount::Share(0.0));
        let (mut at, mut samples) = (0.0, 0);
        for step in steps {
            at += step / all * part * length;
            estimator.record(after(at), Amount::Share(at / length));
            samples += 1;
            if samples > 5 && at > 1.0 {
                let left = length - at;
                // Shorter steps than the shortest are not looked at.
                let estimate = seconds(&estimator, at, left / length).unwrap();
                prop_assert!((estimate / left).ln().abs() < 0.1, "{estimate} for {left} at {at}");
            }
        }
    }

    /// Whatever is reported: a number that can be shown, or none.
    #[test]
    fn never_absurd(
        reports in prop::collection::vec(
            (0.0..1_000.0_f64, prop_oneof![
                (0.0..=1.0_f64).prop_map(Amount::Share),
                any::<u64>().prop_map(Amount::Units),
                Just(Amount::Share(0.0)),
                Just(Amount::Units(u64::MAX)),
            ]),
            1..60,
        ),
        left in prop_oneof![0.0..1.0_f64, 0.0..1e19_f64],
        later in 0.0..1e7_f64,
    ) {
        let mut estimator = Estimator::default();
        let mut at = 0.0;
        for (step, amount) in reports {
            at += step;
            estimator.record(after(at), amount);
            for at in [at, at + later] {
                if let Some(estimate) = seconds(&estimator, at, left) {
                    prop_assert!((0.0..LONGEST).contains(&estimate), "{estimate}");
                    prop_assert!(left > 0.0);
                }
            }
        }
    }
}
