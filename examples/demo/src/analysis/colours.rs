use image::DynamicImage;
use kmeans_colors::{Calculate, CentroidData, Kmeans, Sort, get_kmeans};
use palette::white_point::D65;
use palette::{FromColor, Lab, Srgb};

use super::Colour;

/// In double precision, so that the mean of equal colours is that colour.
type Point = Lab<D65, f64>;

pub(super) fn dominant(working: &DynamicImage) -> Vec<Colour> {
    let points = points(working);
    if points.is_empty() {
        return Vec::new();
    }
    let best = (0..RUNS)
        .map(|seed| get_kmeans(COLOURS, MAX_ITERATIONS, CONVERGED, false, &points, seed))
        .min_by(|a, b| spread(a, &points).total_cmp(&spread(b, &points)))
        .unwrap_or_else(Kmeans::new);
    let mut clusters = Point::sort_indexed_colors(&best.centroids, &best.indices);
    // Fewer colours than clusters leave some of them empty.
    clusters.retain(|cluster| cluster.percentage > 0.0);
    clusters.sort_by(|a, b| b.percentage.total_cmp(&a.percentage));
    merge(clusters)
}

fn points(working: &DynamicImage) -> Vec<Point> {
    // Nearest neighbour: averaging would invent colours between those of the picture.
    let small = working.resize(SIDE, SIDE, image::imageops::FilterType::Nearest);
    small
        .to_rgba8()
        .pixels()
        .filter(|pixel| pixel.0[3] >= VISIBLE)
        .map(|pixel| {
            let [red, green, blue, _] = pixel.0;
            Lab::from_color(Srgb::new(red, green, blue).into_format::<f64>())
        })
        .collect()
}

/// How far the points lie from their clusters. The crate's own score says only whether it settled.
fn spread(clusters: &Kmeans<Point>, points: &[Point]) -> f32 {
    points
        .iter()
        .zip(&clusters.indices)
        .map(|(point, &index)| Point::difference(point, &clusters.centroids[usize::from(index)]))
        .sum()
}

/// Joins clusters that round to the same colour, which would look like a mistake in a list.
fn merge(clusters: Vec<CentroidData<Point>>) -> Vec<Colour> {
    let mut colours: Vec<Colour> = Vec::new();
    for cluster in clusters {
        let (red, green, blue) = Srgb::from_color(cluster.centroid)
            .into_format::<u8>()
            .into_components();
        let hex = format!("#{red:02x}{green:02x}{blue:02x}");
        let share = f64::from(cluster.percentage);
        match colours.iter_mut().find(|colour| colour.hex == hex) {
            Some(colour) => colour.share += share,
            None => colours.push(Colour { hex, share }),
        }
    }
    for colour in &mut colours {
        colour.share = (colour.share * 1e4).round() / 1e4;
    }
    colours
}

const COLOURS: usize = 5;

/// 4096 points at most: more of them no longer move the clusters.
const SIDE: u32 = 64;

/// The starting points of k-means are drawn at random, with the number of the run as the seed, so the
/// result is the same each time. The best of three avoids most unlucky draws.
const RUNS: u64 = 3;

const MAX_ITERATIONS: usize = 20;

/// In squared units of Lab, where 1 is about the smallest difference that is seen.
const CONVERGED: f32 = 0.01;

/// Pixels less than half opaque show what is behind them.
const VISIBLE: u8 = 128;
