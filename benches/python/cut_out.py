"""Cuts out photos by u2netp when it is told to: the contender of the bench `pipeline_onnx`.

    python cut_out.py u2netp.onnx SESSIONS THREADS [PHOTO]

Needs onnxruntime 1.31.1 and numpy, and Pillow for the file of a photo; without one it makes up its pixels, and writes
no file. A line on its input is a number of photos; it answers with the seconds that they took and those of the
processors. `echo 32 | python cut_out.py …` runs it by itself. One session works on one photo after the other, as the
scripts of Python's users do: all threads on one picture, which spin while they wait. Several sessions are those of a
pool of as many threads: onnxruntime, numpy and Pillow let go of the interpreter's lock while they work. PNG is written
at the level that is quickest.
"""

import io
import os
import queue
import sys
import time
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime

SIDE = 320
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def photo():
    """A red disc on grey."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    disc = (x * x + y * y < 100 * 100)[..., None]
    return np.where(disc, np.uint8([200, 25, 25]), np.uint8([125, 125, 125]))


def prepared(photo):
    values = (photo.astype(np.float32) / np.float32(photo.max()) - MEAN) / DEVIATION
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def composed(photo, matte):
    least, most = matte.min(), matte.max()
    alpha = ((matte - least) * (255 / max(most - least, np.finfo(np.float32).eps))).astype(np.uint8)
    return np.dstack([photo, alpha])


def from_file_to_file(path, matte_of):
    from PIL import Image, ImageOps

    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    small = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    matte = matte_of(prepared(small))
    least, most = matte.min(), matte.max()
    alpha = Image.fromarray(((matte - least) * (255 / max(most - least, np.finfo(np.float32).eps))).astype(np.uint8))
    photo.putalpha(alpha.resize(photo.size, Image.Resampling.LANCZOS))
    png = io.BytesIO()
    photo.save(png, "PNG", compress_level=1)
    return png.getvalue()


def main():
    model, sessions, threads, *file = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    # There is one for each thread that takes one: none ever waits here.
    idle = queue.SimpleQueue()
    for _ in range(int(sessions)):
        idle.put(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))

    def matte_of(values):
        session = idle.get()
        [matte] = session.run(["1959"], {"input.1": values})
        idle.put(session)
        return matte[0, 0]

    def cut_out(_number):
        if file:
            return from_file_to_file(file[0], matte_of)
        picture = photo()
        return composed(picture, matte_of(prepared(picture)))

    pool = ThreadPoolExecutor(int(sessions))
    each = map if int(sessions) == 1 else pool.map

    def cut_out_all(photos):
        for _ in each(cut_out, range(photos)):
            pass

    cut_out_all(int(sessions))
    for line in sys.stdin:
        began, processors = time.perf_counter(), time.process_time()
        cut_out_all(int(line))
        print(time.perf_counter() - began, time.process_time() - processors, flush=True)


main()
