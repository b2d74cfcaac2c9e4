//! Readers and writers of std.

use std::io::{self, BufRead, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};

use progress_core::Track;

use crate::{counted, stage, started};

/// Gives or takes at most three bytes at a time, and fails once in between.
#[derive(Debug, Default)]
struct Choppy {
    bytes: io::Cursor<Vec<u8>>,
    calls: usize,
}

impl Choppy {
    fn of(len: u8) -> Self {
        Self {
            bytes: io::Cursor::new((0..len).collect()),
            calls: 0,
        }
    }

    fn failing(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.calls {
            2 => Err(io::Error::other("second call")),
            _ => Ok(()),
        }
    }
}

impl Read for Choppy {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.failing()?;
        let len = buf.len().min(3);
        self.bytes.read(&mut buf[..len])
    }
}

impl Write for Choppy {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.failing()?;
        self.bytes.write(&buf[..buf.len().min(3)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_counts_bytes_as_they_come() {
    let (_tracker, task) = started();
    let reporter = task.stage("s").total(10);
    let mut reader = Choppy::of(10).track(&reporter);
    let mut buf = [0; 8];
    assert_eq!(reader.read(&mut buf).unwrap(), 3);
    let failed = reader.read(&mut buf).unwrap_err();
    assert_eq!(failed.to_string(), "second call");
    assert_eq!(counted(&task).await, (Some(3), Some(10)));
    assert_eq!(stage(&task).await.unit.as_deref(), Some("bytes"));
    let mut rest = Vec::new();
    assert_eq!(reader.read_to_end(&mut rest).unwrap(), 7);
    assert_eq!(rest, (3..10).collect::<Vec<u8>>());
    assert_eq!(reader.read(&mut buf).unwrap(), 0);
    assert_eq!(counted(&task).await, (Some(10), Some(10)));
}

#[tokio::test(start_paused = true)]
async fn a_buffered_reader_counts_what_is_consumed() {
    let (_tracker, task) = started();
    let text = b"one\ntwo\nthree\n";
    let mut reader = text.as_slice().track(&task.stage("s"));
    assert_eq!(reader.fill_buf().unwrap(), text);
    assert_eq!(
        counted(&task).await,
        (Some(0), None),
        "filled, not consumed"
    );
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(counted(&task).await, (Some(4), None));
    // Both ways add up.
    let mut buf = [0; 2];
    reader.read_exact(&mut buf).unwrap();
    let rest: Vec<_> = reader.lines().collect::<io::Result<_>>().unwrap();
    assert_eq!(rest, ["o", "three"]);
    assert_eq!(counted(&task).await, (Some(14), None));
}

#[tokio::test(start_paused = true)]
async fn a_writer_counts_what_was_accepted() {
    let (_tracker, task) = started();
    let mut writer = Choppy::default().track(&task.stage("s"));
    assert_eq!(writer.write(b"abcdef").unwrap(), 3);
    assert!(writer.write(b"defg").is_err());
    assert_eq!(counted(&task).await, (Some(3), None));
    writer.write_all(b"defg").unwrap();
    write!(writer, "{}", 123).unwrap();
    writer.flush().unwrap();
    assert_eq!(counted(&task).await, (Some(10), None));
    assert_eq!(writer.get_ref().bytes.get_ref(), b"abcdefg123");
}

#[tokio::test(start_paused = true)]
async fn vectored_operations_count_all_their_buffers() {
    let (_tracker, task) = started();
    let reporter = task.stage("s");
    let mut writer = Vec::new().track(&reporter);
    let parts = [
        IoSlice::new(b"ab"),
        IoSlice::new(b""),
        IoSlice::new(b"cdef"),
    ];
    assert_eq!(writer.write_vectored(&parts).unwrap(), 6);
    assert_eq!(counted(&task).await.0, Some(6));
    let written = writer.into_inner();
    let (mut a, mut b) = ([0; 4], [0; 4]);
    let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
    let mut reader = written.as_slice().track(&reporter);
    assert_eq!(reader.read_vectored(&mut bufs).unwrap(), 6);
    assert_eq!(counted(&task).await.0, Some(12));
}

#[tokio::test(start_paused = true)]
async fn a_seek_sets_the_position() {
    let (_tracker, task) = started();
    let reporter = task.stage("s").total(10);
    let mut file = io::Cursor::new((0..10).collect::<Vec<u8>>()).track(&reporter);
    assert_eq!(file.seek(SeekFrom::End(-4)).unwrap(), 6);
    assert_eq!(counted(&task).await.0, Some(6));
    file.read_exact(&mut [0; 3]).unwrap();
    assert_eq!(counted(&task).await.0, Some(9));
    assert!(file.seek(SeekFrom::Current(-20)).is_err());
    assert_eq!(file.stream_position().unwrap(), 9);
    assert_eq!(counted(&task).await.0, Some(9));
    file.rewind().unwrap();
    assert_eq!(counted(&task).await.0, Some(0));
}
