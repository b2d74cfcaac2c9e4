"""Writes the models that the tests run: small, hand-built, and exact enough to assert numbers.

    pip install onnx==1.23.2
    python generate.py

What each takes and gives is in README.md beside this file. The files are committed; run this only to change one.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

FLOAT = TensorProto.FLOAT
HERE = Path(__file__).parent


def const(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def port(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(name, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    model.producer_name = "generate.py"
    checker.check_model(model, full_check=True)
    path = HERE / f"{name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{path.name}: {path.stat().st_size} bytes")


def redness(weight):
    """How much redder a pixel is than green and blue: 1 where it is pure red, 0 where it is grey."""
    return helper.make_node("Conv", ["images", weight], ["contrast"], kernel_shape=[1, 1])


def detector(size):
    """An image with one red blob -> [1, 84, cells] as YOLOv8 has it: centre, size, then 80 scores."""
    grid = size // 8
    cells = grid * grid
    centres = (np.arange(grid, dtype=np.float32) + 0.5) * 8
    xs = np.tile(centres, grid).reshape(1, 1, cells)
    ys = np.repeat(centres, grid).reshape(1, 1, cells)

    def moment(axis):
        """The mean and the spread of the blob along one axis, weighed by how red the cells are."""
        return [
            helper.make_node("Mul", ["score", axis], [f"{axis}_w"]),
            helper.make_node("ReduceSum", [f"{axis}_w", "last"], [f"{axis}_sum"], keepdims=1),
            helper.make_node("Div", [f"{axis}_sum", "mass"], [f"{axis}_mean"]),
            helper.make_node("Sub", [axis, f"{axis}_mean"], [f"{axis}_off"]),
            helper.make_node("Mul", [f"{axis}_off", f"{axis}_off"], [f"{axis}_sq"]),
            helper.make_node("Mul", ["score", f"{axis}_sq"], [f"{axis}_sq_w"]),
            helper.make_node("ReduceSum", [f"{axis}_sq_w", "last"], [f"{axis}_sq_sum"], keepdims=1),
            helper.make_node("Div", [f"{axis}_sq_sum", "mass"], [f"{axis}_var"]),
            helper.make_node("Sqrt", [f"{axis}_var"], [f"{axis}_sd"]),
            # A uniform spread of this deviation is that wide.
            helper.make_node("Mul", [f"{axis}_sd", "width"], [f"{axis}_size"]),
        ]

    nodes = [
        redness("red"),
        helper.make_node("Relu", ["contrast"], ["positive"]),
        helper.make_node(
            "AveragePool", ["positive"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]
        ),
        helper.make_node("Reshape", ["pooled", "flat"], ["raw_score"]),
        helper.make_node("Clip", ["raw_score", "zero", "one"], ["score"]),
        helper.make_node("ReduceSum", ["score", "last"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "tiny"], ["mass"]),
        *moment("xs"),
        *moment("ys"),
        helper.make_node(
            "Concat", ["xs_mean", "ys_mean", "xs_size", "ys_size"], ["box"], axis=1
        ),
        helper.make_node("Expand", ["box", "boxes_shape"], ["boxes"]),
        helper.make_node("Expand", ["zero", "rest_shape"], ["rest"]),
        helper.make_node("Concat", ["boxes", "score", "rest"], ["output0"], axis=1),
    ]
    constants = [
        const("red", np.array([1, -0.5, -0.5]).reshape(1, 3, 1, 1)),
        const("flat", [1, 1, cells], np.int64),
        const("last", [2], np.int64),
        const("zero", 0.0),
        const("one", 1.0),
        const("tiny", 1e-6),
        const("width", np.sqrt(12)),
        const("xs", xs),
        const("ys", ys),
        const("boxes_shape", [1, 4, cells], np.int64),
        const("rest_shape", [1, 79, cells], np.int64),
    ]
    save(
        f"blob_det{size}",
        nodes,
        [port("images", [1, 3, size, size])],
        [port("output0", [1, 84, cells])],
        constants,
    )


def matte(name, shape, out):
    """An image -> how much of each pixel belongs to what is red, 0 to 1."""
    blur = np.zeros((1, 3, 3, 3), dtype=np.float32)
    blur[0, 0], blur[0, 1], blur[0, 2] = 1 / 9, -0.5 / 9, -0.5 / 9
    nodes = [
        helper.make_node(
            "Conv", ["images", "blur"], ["contrast"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]
        ),
        helper.make_node("Mul", ["contrast", "gain"], ["steep"]),
        helper.make_node("Add", ["steep", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["matte"]),
    ]
    constants = [const("blur", blur), const("gain", 20.0), const("bias", -6.0)]
    save(name, nodes, [port("images", shape)], [port("matte", out)], constants)


def prosody():
    """Audio at 16 kHz -> per 20 ms the RMS, and the RMS of what changes from sample to sample."""
    nodes = [
        helper.make_node("Reshape", ["audio", "by_channel"], ["signal"]),
        helper.make_node("Mul", ["signal", "signal"], ["power"]),
        helper.make_node(
            "AveragePool", ["power"], ["mean"], kernel_shape=[320], strides=[320]
        ),
        helper.make_node("Sqrt", ["mean"], ["rms"]),
        helper.make_node(
            "Conv", ["signal", "difference"], ["high"], kernel_shape=[2], pads=[1, 0]
        ),
        helper.make_node("Mul", ["high", "high"], ["high_power"]),
        helper.make_node(
            "AveragePool", ["high_power"], ["high_mean"], kernel_shape=[320], strides=[320]
        ),
        helper.make_node("Sqrt", ["high_mean"], ["high_rms"]),
        helper.make_node("Concat", ["rms", "high_rms"], ["rows"], axis=1),
        helper.make_node("Transpose", ["rows"], ["features"], perm=[0, 2, 1]),
    ]
    constants = [
        const("by_channel", [1, 1, -1], np.int64),
        const("difference", np.array([-0.7071, 0.7071]).reshape(1, 1, 2)),
    ]
    save(
        "prosody",
        nodes,
        [port("audio", [1, "samples"])],
        [port("features", [1, "frames", 2])],
        constants,
    )


def slow():
    """A loop of many small products: minutes of work that can be stopped between any two."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
            helper.make_node("MatMul", ["state", "state"], ["product"]),
            helper.make_node("Tanh", ["product"], ["state_out"]),
        ],
        "body",
        [
            port("i", [], TensorProto.INT64),
            port("go_on", [], TensorProto.BOOL),
            port("state", [256, 256]),
        ],
        [port("go_on_out", [], TensorProto.BOOL), port("state_out", [256, 256])],
    )
    nodes = [helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)]
    save(
        "slow",
        nodes,
        [port("x", [256, 256])],
        [port("y", [256, 256])],
        [const("trips", 100_000, np.int64)],
    )


def heavy():
    """Twelve convolutions of 32 channels whose weights are made when it is loaded: much work, small file."""
    nodes, constants, value = [], [], "images"
    for layer in range(12):
        channels = 3 if layer == 0 else 32
        constants.append(const(f"shape{layer}", [32, channels, 3, 3], np.int64))
        nodes += [
            helper.make_node(
                "ConstantOfShape",
                [f"shape{layer}"],
                [f"weight{layer}"],
                # The mean of what it sees, so that values neither grow nor vanish.
                value=helper.make_tensor("value", FLOAT, [1], [1 / (channels * 9)]),
            ),
            helper.make_node(
                "Conv",
                [value, f"weight{layer}"],
                [f"conv{layer}"],
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
            ),
            helper.make_node("Relu", [f"conv{layer}"], [f"layer{layer}"]),
        ]
        value = f"layer{layer}"
    nodes.append(helper.make_node("ReduceMean", [value], ["mean"], axes=[1, 2, 3], keepdims=0))
    save("heavy", nodes, [port("images", [1, 3, 320, 320])], [port("mean", [1])], constants)


def not_finite():
    """The square root of what it is given, and its inverse: NaN below zero, infinity at zero."""
    nodes = [
        helper.make_node("Sqrt", ["x"], ["root"]),
        helper.make_node("Reciprocal", ["root"], ["inverse"]),
    ]
    save(
        "not_finite",
        nodes,
        [port("x", ["n"])],
        [port("root", ["n"]), port("inverse", ["n"])],
    )


def kinds():
    """One value of each type that a tensor can have, given back; and a scalar."""
    types = {
        "f32": FLOAT,
        "f64": TensorProto.DOUBLE,
        "f16": TensorProto.FLOAT16,
        "bf16": TensorProto.BFLOAT16,
        "i8": TensorProto.INT8,
        "i16": TensorProto.INT16,
        "i32": TensorProto.INT32,
        "i64": TensorProto.INT64,
        "u8": TensorProto.UINT8,
        "u16": TensorProto.UINT16,
        "u32": TensorProto.UINT32,
        "u64": TensorProto.UINT64,
        "bool": TensorProto.BOOL,
    }
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in types]
    nodes.append(helper.make_node("Identity", ["scalar"], ["scalar_out"]))
    inputs = [port(name, ["n"], kind) for name, kind in types.items()]
    outputs = [port(f"{name}_out", ["n"], kind) for name, kind in types.items()]
    save(
        "kinds",
        nodes,
        [*inputs, port("scalar", [], FLOAT)],
        [*outputs, port("scalar_out", [], FLOAT)],
    )


def sequence():
    """Gives a list of tensors, which is no tensor."""
    nodes = [helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0)]
    parts = helper.make_tensor_sequence_value_info("parts", FLOAT, None)
    save("sequence", nodes, [port("x", ["n", 2])], [parts])


detector(64)
detector(320)
matte("blob_mask64", [1, 3, 64, 64], [1, 1, 64, 64])
matte("blob_mask_dyn", ["n", 3, "h", "w"], ["n", 1, "h", "w"])
prosody()
slow()
heavy()
not_finite()
kinds()
sequence()
