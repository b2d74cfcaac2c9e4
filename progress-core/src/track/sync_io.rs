//! Readers and writers of std, by the byte.
//!
//! Only the operations that move bytes are passed on: all others (`read_to_end`, `write_all`, …)
//! come back to these, so that a long one is seen on its way.

use std::io::{BufRead, IoSlice, IoSliceMut, Read, Result, Seek, SeekFrom, Write};

use crate::track::Tracked;

impl<R: Read> Read for Tracked<R> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.meter.begin_bytes();
        let len = self.inner.read(buf)?;
        self.meter.add(len);
        Ok(len)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> Result<usize> {
        self.meter.begin_bytes();
        let len = self.inner.read_vectored(bufs)?;
        self.meter.add(len);
        Ok(len)
    }
}

impl<R: BufRead> BufRead for Tracked<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.meter.begin_bytes();
        self.inner.fill_buf()
    }

    fn consume(&mut self, len: usize) {
        self.inner.consume(len);
        self.meter.add(len);
    }
}

impl<W: Write> Write for Tracked<W> {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        self.meter.begin_bytes();
        let len = self.inner.write(buf)?;
        self.meter.add(len);
        Ok(len)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> Result<usize> {
        self.meter.begin_bytes();
        let len = self.inner.write_vectored(bufs)?;
        self.meter.add(len);
        Ok(len)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

impl<S: Seek> Seek for Tracked<S> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.meter.begin_bytes();
        let position = self.inner.seek(to)?;
        self.meter.move_to(position);
        Ok(position)
    }

    /// Asks where it stands, which is no seek and sets no count.
    fn stream_position(&mut self) -> Result<u64> {
        self.inner.stream_position()
    }
}
