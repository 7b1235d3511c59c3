#!/usr/bin/python3
"""Makes an example to measure: bright cells on an uneven ground, as an uncompressed TIFF (TIFF 6.0, section 3) of 8 bits."""
import math
import random
import struct
import sys

N = 512
r = random.Random(1970)
cells = [(r.uniform(20, N - 20), r.uniform(20, N - 20), r.uniform(7, 16), r.uniform(70, 130)) for _ in range(60)]
pixels = bytearray(N * N)
for y in range(N):
    near = [c for c in cells if abs(c[1] - y) < c[2] + 4]
    for x in range(N):
        value = 35 + 25 * x / N + r.gauss(0, 5)
        value += max((light / (1 + math.exp(math.hypot(x - u, y - v) - size)) for u, v, size, light in near if abs(x - u) < size + 4), default=0)
        pixels[y * N + x] = min(255, max(0, round(value)))
tags = [(256, 3, N), (257, 3, N), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, N), (279, 4, N * N)]
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<2sHI", b"II", 42, 8 + N * N) + pixels + struct.pack("<H", len(tags)))
    for tag, kind, value in tags:
        f.write(struct.pack("<HHII", tag, kind, 1, value))
    f.write(struct.pack("<I", 0))
