//! Gives the inputs of a model other shapes, before it is loaded.
//!
//! Some models are exported for one size though they would work with any. The runtime refuses what
//! is not of the shape that the file declares, and has no option for that; so the declaration is
//! changed. A model is a message of Protocol Buffers, and of it only the few fields on the way to
//! the shapes are looked into; all else is copied as it is.

use super::error::OnnxError;

/// A shape to declare; none for a dimension that is free.
pub(super) type NewShape = Vec<Option<usize>>;

// The numbers of the fields in `onnx.proto`, by the message that they are of.
const MODEL_GRAPH: u64 = 7;
const GRAPH_INPUT: u64 = 11;
const GRAPH_OUTPUT: u64 = 12;
const GRAPH_VALUE_INFO: u64 = 13;
const VALUE_NAME: u64 = 1;
const VALUE_TYPE: u64 = 2;
const TYPE_TENSOR: u64 = 1;
const TENSOR_SHAPE: u64 = 2;
const SHAPE_DIM: u64 = 1;
const DIM_VALUE: u64 = 1;

/// Returns the model with other shapes for the named inputs. What it declares of the shapes of its
/// outputs and of what is in between follows from them, and is left for the runtime to infer.
pub(super) fn with_input_shapes(
    name: &str,
    model: &[u8],
    shapes: &[(String, NewShape)],
) -> Result<Vec<u8>, OnnxError> {
    let mut known = Vec::new();
    let changed = graph_of(model, shapes, &mut known).ok_or_else(|| OnnxError::ModelInvalid {
        model: name.to_owned(),
        reason: "its bytes are no message of Protocol Buffers".into(),
    })?;
    match shapes.iter().find(|(input, _)| !known.contains(input)) {
        Some((input, _)) => Err(OnnxError::InputUnknown {
            name: input.clone(),
            known,
        }),
        None => Ok(changed),
    }
}

fn graph_of(
    model: &[u8],
    shapes: &[(String, NewShape)],
    known: &mut Vec<String>,
) -> Option<Vec<u8>> {
    rewrite(model, |number, graph| match number {
        MODEL_GRAPH => {
            let graph = rewrite(graph, |number, value| match number {
                GRAPH_INPUT => {
                    let name = name_of(value)?;
                    known.push(name.to_owned());
                    match shapes.iter().find(|(input, _)| input == name) {
                        Some((_, shape)) => with_shape(value, Some(shape)).map(Edit::Replace),
                        None => Some(Edit::Keep),
                    }
                }
                GRAPH_OUTPUT => with_shape(value, None).map(Edit::Replace),
                GRAPH_VALUE_INFO => Some(Edit::Drop),
                _ => Some(Edit::Keep),
            });
            graph.map(Edit::Replace)
        }
        _ => Some(Edit::Keep),
    })
}

/// The declaration of a value, with that shape or without any.
fn with_shape(value: &[u8], shape: Option<&NewShape>) -> Option<Vec<u8>> {
    rewrite(value, |number, kind| match number {
        VALUE_TYPE => {
            let kind = rewrite(kind, |number, tensor| match number {
                TYPE_TENSOR => {
                    let mut tensor = rewrite(tensor, |number, _| match number {
                        TENSOR_SHAPE => Some(Edit::Drop),
                        _ => Some(Edit::Keep),
                    })?;
                    if let Some(shape) = shape {
                        put_bytes(&mut tensor, TENSOR_SHAPE, &encoded(shape));
                    }
                    Some(Edit::Replace(tensor))
                }
                _ => Some(Edit::Keep),
            });
            kind.map(Edit::Replace)
        }
        _ => Some(Edit::Keep),
    })
}

fn encoded(shape: &NewShape) -> Vec<u8> {
    let mut dims = Vec::new();
    for size in shape {
        let mut dim = Vec::new();
        if let Some(size) = size {
            put_varint(&mut dim, DIM_VALUE << 3);
            put_varint(&mut dim, *size as u64);
        }
        put_bytes(&mut dims, SHAPE_DIM, &dim);
    }
    dims
}

/// The name in the declaration of a value.
fn name_of(value: &[u8]) -> Option<&str> {
    let mut rest = value;
    while !rest.is_empty() {
        let (field, after) = next(rest)?;
        if let (VALUE_NAME, Some(name)) = (field.number, field.message) {
            return std::str::from_utf8(name).ok();
        }
        rest = after;
    }
    Some("")
}

/// What becomes of a field.
enum Edit {
    Keep,
    Drop,
    Replace(Vec<u8>),
}

/// Copies a message, with `edit` applied to each of its fields that can hold a message. None if it
/// is no message.
fn rewrite(message: &[u8], mut edit: impl FnMut(u64, &[u8]) -> Option<Edit>) -> Option<Vec<u8>> {
    let mut copy = Vec::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let (field, after) = next(rest)?;
        let whole = &rest[..rest.len() - after.len()];
        match field
            .message
            .map_or(Some(Edit::Keep), |inner| edit(field.number, inner))?
        {
            Edit::Keep => copy.extend_from_slice(whole),
            Edit::Drop => {}
            Edit::Replace(inner) => put_bytes(&mut copy, field.number, &inner),
        }
        rest = after;
    }
    Some(copy)
}

struct Field<'a> {
    number: u64,
    /// The content, if it has a length and so may be a message.
    message: Option<&'a [u8]>,
}

/// Reads one field, and returns what comes after it.
fn next(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let (message, rest) = match tag & 7 {
        0 => (None, varint(rest)?.1),
        1 => (None, rest.get(8..)?),
        2 => {
            let (len, rest) = varint(rest)?;
            let (message, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            (Some(message), rest)
        }
        5 => (None, rest.get(4..)?),
        _ => return None,
    };
    let number = tag >> 3;
    Some((Field { number, message }, rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn put_bytes(bytes: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_varint(bytes, number << 3 | 2);
    put_varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models");
        std::fs::read(format!("{folder}/{name}.onnx")).unwrap()
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(varint(&bytes), Some((value, &[][..])));
        }
        assert_eq!(varint(&[0xff; 12]), None);
        assert_eq!(varint(&[]), None);
    }

    #[test]
    fn a_message_without_edits_is_copied_to_the_byte() {
        let model = model("blob_det64");
        assert_eq!(rewrite(&model, |_, _| Some(Edit::Keep)), Some(model));
    }

    #[test]
    fn what_is_no_model_is_refused() {
        let shapes = [("x".to_owned(), vec![Some(1)])];
        let error = |bytes: &[u8]| {
            with_input_shapes("m", bytes, &shapes)
                .unwrap_err()
                .to_string()
        };
        assert!(error(b"\x3a\x7fgarbage").contains("Protocol Buffers"));
        assert!(error(b"").contains("no input `x`; there are: "));
        let mut model = model("prosody");
        assert!(error(&model).contains("no input `x`; there are: audio"));
        for end in 0..model.len() {
            // However it is cut or damaged, it is refused or changed, and nothing panics.
            drop(with_input_shapes("m", &model[..end], &shapes));
        }
        for bit in 0..model.len() * 8 {
            model[bit / 8] ^= 1 << (bit % 8);
            drop(with_input_shapes("m", &model, &shapes));
            model[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
