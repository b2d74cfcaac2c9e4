//! Whether a JPEG is whole. Decoders are lenient about a missing end, for a browser's sake; a model
//! would judge the grey that they fill in.

/// Whether the file reaches its end marker. Walks segments by their lengths, so that the end of a
/// thumbnail inside of one is not taken for the end of the picture.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(&[0xFF, SOI]) else {
        return false;
    };
    loop {
        // Entropy-coded data lies before a marker; in it 0xFF is followed by 0 or by a restart.
        let marker = loop {
            let Some(at) = rest.iter().position(|&byte| byte == 0xFF) else {
                return false;
            };
            let Some(&marker) = rest.get(at + 1) else {
                return false;
            };
            rest = &rest[at + 1..];
            // 0xFF before a marker is padding.
            if marker != 0xFF {
                rest = &rest[1..];
                break marker;
            }
        };
        match marker {
            EOI => return true,
            0 | TEM | RST0..=RST7 => {}
            _ => {
                let &[high, low, ..] = rest else { return false };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(after) = rest.get(length.max(2)..) else {
                    return false;
                };
                rest = after;
            }
        }
    }
}

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const TEM: u8 = 0x01;
const RST0: u8 = 0xD0;
const RST7: u8 = 0xD7;

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end_of_the_picture() {
        let segment = [0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9];
        let start: Vec<u8> = [&[0xFF, 0xD8][..], &segment].concat();
        assert!(!is_whole(&start));
        assert!(is_whole(&[&start[..], &[0xFF, 0xD9]].concat()));
    }

    #[test]
    fn stuffed_bytes_restarts_and_padding_are_passed_over() {
        let scan = [
            0xFF, 0xD8, 0xFF, 0xDA, 0, 2, 7, 0xFF, 0, 0xFF, 0xD3, 9, 0xFF, 0xFF, 0xD9,
        ];
        assert!(is_whole(&scan));
        for length in 0..scan.len() {
            assert!(!is_whole(&scan[..length]), "{length} bytes");
        }
    }
}
