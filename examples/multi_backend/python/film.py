"""The work itself: a small film, written, drawn and encoded as an animated PNG."""

import hashlib
import math
import struct
import zlib

FRAMES = 12
WIDTH, HEIGHT = 96, 54

WHO = ["A lighthouse", "The night train", "An old map", "The river", "A paper boat", "The last bus",
       "A red kite", "The orchard"]
DOES = ["waits for", "remembers", "drifts towards", "answers", "follows", "outlives", "dreams of",
        "runs from"]
WHAT = ["the rain", "a stranger", "the morning", "its own shadow", "the sea", "an empty square",
        "somebody's song", "the first snow"]


def line(title, scene):
    """Writes a scene's line of the script."""
    seed = hashlib.sha256(f"{title}/{scene}".encode()).digest()
    return f"{WHO[seed[0] % 8]} {DOES[seed[1] % 8]} {WHAT[seed[2] % 8]}."


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Asset:
    """What a scene is drawn from: colours and waves of its line."""

    def __init__(self, text):
        seed = hashlib.sha256(text.encode()).digest()
        dark, light = [part // 2 for part in seed[:3]], [part | 0x80 for part in seed[3:6]]
        self.palette = [
            bytes((a * (255 - step) + b * step) // 255 for a, b in zip(dark, light)) for step in range(256)
        ]
        self.across, self.down = 1 + seed[6] % 5, 1 + seed[7] % 5

    def draw(self, frame, width=WIDTH, height=HEIGHT):
        """Draws a frame: rows of RGB, each behind the byte that says that it is not filtered."""
        time = math.tau * frame / FRAMES
        columns = [math.sin(math.tau * self.across * x / width + time) for x in range(width)]
        rows = []
        for y in range(height):
            row = math.cos(math.tau * self.down * y / height - time)
            rows.append(b"\0")
            rows.extend(self.palette[int((column + row + 2) / 4 * 255)] for column in columns)
        return zlib.compress(b"".join(rows))

    def thumbnail(self):
        width, height = WIDTH // 2, HEIGHT // 2
        picture = self.draw(FRAMES // 2, width, height)
        return SIGNATURE + header(width, height) + chunk(b"IDAT", picture) + chunk(b"IEND", b"")


class Film:
    """A film in the making: an animated PNG of so many frames."""

    def __init__(self, frames):
        self.parts = [SIGNATURE, header(WIDTH, HEIGHT), chunk(b"acTL", struct.pack(">II", frames, 0))]
        self.frames = self.numbered = 0

    def push(self, asset, frame):
        control = struct.pack(">IIIIHHBB", WIDTH, HEIGHT, 0, 0, 8, 100, 0, 0)
        self.parts.append(chunk(b"fcTL", self.number() + control))
        picture = asset.draw(frame)
        if self.frames == 0:
            self.parts.append(chunk(b"IDAT", picture))
        else:
            self.parts.append(chunk(b"fdAT", self.number() + picture))
        self.frames += 1

    def number(self):
        self.numbered += 1
        return struct.pack(">I", self.numbered - 1)

    def finish(self):
        return b"".join(self.parts) + chunk(b"IEND", b"")


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def header(width, height):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
