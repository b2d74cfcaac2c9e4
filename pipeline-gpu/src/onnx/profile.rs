//! What the runtime's own record of a run says about who ran it.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read as _},
    path::Path,
};

use serde::{
    Deserialize, Deserializer as _,
    de::{SeqAccess, Visitor},
};

use super::placement::Shares;

/// One event of the record. Of its fields only these matter.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    name: String,
    #[serde(default)]
    cat: String,
    #[serde(default)]
    dur: u64,
    #[serde(default)]
    args: Args,
}

#[derive(Deserialize, Default)]
struct Args {
    #[serde(default)]
    provider: String,
    #[serde(default)]
    op_name: String,
}

/// More than the million events at which the runtime stops recording, of some hundred bytes each.
const LARGEST: u64 = 512 << 20;

/// Reads the file that the runtime wrote.
pub(super) fn shares(file: &Path) -> io::Result<Shares> {
    parse(BufReader::new(File::open(file)?.take(LARGEST)))
}

fn parse(record: impl io::Read) -> io::Result<Shares> {
    let mut reader = serde_json::Deserializer::from_reader(record);
    let shares = reader.deserialize_seq(Count)?;
    reader.end()?;
    Ok(shares)
}

/// Counts events as they are read, so that none is kept.
struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = Shares;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the events of a run")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<Shares, A::Error> {
        let mut shares = Shares::new();
        while let Some(Event {
            name,
            cat,
            dur,
            args,
        }) = events.next_element()?
        {
            // Each operation has an event for what its kernel did, and may have others around it. A
            // copy between devices is no operation of the model.
            let is_kernel = cat == "Node" && name.ends_with("_kernel_time");
            if is_kernel && !args.provider.is_empty() && !args.op_name.starts_with("Memcpy") {
                let share = shares.entry(args.provider).or_default();
                share.operations += 1;
                share.micros += dur;
            }
        }
        Ok(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_counted_by_provider() {
        let record = r#"[
{"cat" : "Session","pid" :1,"tid" :1,"dur" :30,"ts" :1,"ph" : "X","name" :"model_loading_array","args" : {}},
{"cat" : "Node","dur" :3,"name" :"conv_fence_before","args" : {"op_name" : "Conv"}},
{"cat" : "Node","dur" :5,"name" :"conv_kernel_time","args" : {"op_name" : "Conv","provider" : "CUDAExecutionProvider"}},
{"cat" : "Node","dur" :7,"name" :"relu_kernel_time","args" : {"op_name" : "Relu","provider" : "CUDAExecutionProvider"}},
{"cat" : "Node","dur" :9,"name" :"m_kernel_time","args" : {"op_name" : "MemcpyToHost","provider" : "CUDAExecutionProvider"}},
{"cat" : "Node","dur" :2,"name" :"shape_kernel_time","args" : {"op_name" : "Shape","provider" : "CPUExecutionProvider"}}
]"#;
        let shares = parse(record.as_bytes()).unwrap();
        let cuda = shares["CUDAExecutionProvider"];
        assert_eq!((cuda.operations, cuda.micros), (2, 12));
        assert_eq!(shares["CPUExecutionProvider"].operations, 1);
        assert_eq!(shares.len(), 2);
    }

    #[test]
    fn a_record_that_was_cut_off_is_an_error() {
        assert!(parse(&b"[{\"cat\": \"Node\""[..]).is_err());
    }
}
