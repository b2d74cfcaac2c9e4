//! Bytes that remember whether more of them were asked for than there are.

use std::{
    cell::Cell,
    io::{self, BufRead, Cursor, Read, Seek, SeekFrom},
    rc::Rc,
};

/// Clones share what they remember, and read each at its own place.
#[derive(Clone)]
pub(super) struct Source<'a> {
    bytes: Cursor<&'a [u8]>,
    ended: Rc<Cell<bool>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes: Cursor::new(bytes),
            ended: Rc::default(),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }
}

impl Read for Source<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(target)?;
        if read < target.len() {
            self.ended.set(true);
        }
        Ok(read)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let rest = self.bytes.fill_buf()?;
        if rest.is_empty() {
            self.ended.set(true);
        }
        Ok(rest)
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(position)
    }
}
