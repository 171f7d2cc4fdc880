#!/usr/bin/env bash
# Pillow 13.0.0: the transparent grey of a PNG of 2 or 4 bits is not found: samples are spread to 0..255, the value in
# the chunk tRNS is not. Four greys of 2 bits of which 1 is transparent: the pixel of 85 stays opaque. At 1 and 8 bits it
# is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PYTHON'
import io
import struct
import zlib

import numpy as np
from PIL import Image, __version__


def png(depth, row, key):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    parts = [(b"IHDR", struct.pack(">IIBBBBB", 4, 1, depth, 0, 0, 0, 0)), (b"tRNS", struct.pack(">H", key))]
    parts += [(b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)))


found = {
    depth: np.asarray(png(depth, row, key).convert("LA"))[0].tolist()
    for depth, row, key in ((2, b"\x1b", 1), (4, b"\x05\xaf", 5), (8, b"\x00\x55\xaa\xff", 85))
}
print("Pillow", __version__, "grey and alpha, the second of four pixels being the transparent one:", found)
assert found[2] == found[4] == [[0, 255], [85, 255], [170, 255], [255, 255]]  # all opaque
assert found[8] == [[0, 255], [85, 0], [170, 255], [255, 255]]
PYTHON
