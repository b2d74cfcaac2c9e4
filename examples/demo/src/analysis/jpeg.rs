use std::io::{self, BufRead, Seek};

/// Says whether a JPEG goes on to its end-of-image marker.
///
/// The decoder fills what is missing from a file that was cut short with grey and calls it a success.
/// Here that is a damaged file, so the markers are followed to the end without decoding anything.
pub(super) fn is_complete(reader: &mut (impl BufRead + Seek)) -> io::Result<bool> {
    loop {
        reader.skip_until(0xFF)?;
        let mut marker = 0xFF;
        // Any number of 0xFF may pad a marker.
        while marker == 0xFF {
            let mut byte = [0];
            if reader.read(&mut byte)? == 0 {
                return Ok(false);
            }
            marker = byte[0];
        }
        match marker {
            END_OF_IMAGE => return Ok(true),
            // A stuffed zero, a restart or a start of image: nothing follows that belongs to it.
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            _ => {
                let mut length = [0; 2];
                match reader.read_exact(&mut length) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                    Err(error) => return Err(error),
                }
                // The length counts itself. Skipping the segment skips the thumbnail in it, which has
                // an end-of-image marker of its own.
                let rest = u16::from_be_bytes(length).saturating_sub(2);
                reader.seek_relative(i64::from(rest))?;
            }
        }
    }
}

const END_OF_IMAGE: u8 = 0xD9;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::is_complete;

    #[test]
    fn end_marker_inside_a_segment_does_not_count() {
        let mut file = vec![0xFF, 0xD8, 0xFF, 0xE1, 0, 6, 0xFF, 0xD9, 0, 0];
        assert!(!is_complete(&mut Cursor::new(&file)).unwrap());
        file.extend([0xFF, 0xDA, 0, 2, 1, 0xFF, 0, 2, 0xFF, 0xD3, 3]);
        assert!(!is_complete(&mut Cursor::new(&file)).unwrap());
        file.extend([0xFF, 0xFF, 0xD9]);
        assert!(is_complete(&mut Cursor::new(&file)).unwrap());
    }

    #[test]
    fn segment_longer_than_the_file_is_incomplete() {
        let file = [0xFF, 0xD8, 0xFF, 0xE1, 0xFF, 0xFF, 0xFF, 0xD9];
        assert!(!is_complete(&mut Cursor::new(file)).unwrap());
    }
}
