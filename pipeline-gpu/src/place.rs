//! Places of those who wait.

/// Places up to here are told whenever they change.
const EXACT: u64 = 64;

/// Tells whether one who was told a place (0: none yet) is to hear that it has another.
///
/// Far behind only when it has moved by one part in 64 of the way: else whoever leaves a long line
/// would make an event for each that waits in it, and a line that empties their square.
pub(crate) fn is_news(told: u64, place: u64) -> bool {
    told != place && (told == 0 || place <= EXACT || told.abs_diff(place) >= told.div_ceil(EXACT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_far_behind_hears_less_often_and_the_last_places_all() {
        let mut heard = vec![];
        for place in (1..=65_536).rev() {
            if is_news(heard.last().copied().unwrap_or(0), place) {
                heard.push(place);
            }
        }
        assert!(heard.len() < 520, "{}", heard.len());
        assert!(heard.ends_with(&(1..=64).rev().collect::<Vec<_>>()));
        for pair in heard.windows(2) {
            assert!(pair[0] - pair[1] <= pair[0] / 64 + 1, "{pair:?}");
        }
    }
}
