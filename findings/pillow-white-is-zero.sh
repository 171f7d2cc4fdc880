#!/usr/bin/env bash
# Pillow 13.0.0: a grey TIFF whose PhotometricInterpretation says that white is zero is inverted when read at 8 bits,
# and not at 16: the same black bar on white is white on black then.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PYTHON'
import struct

import numpy as np
from PIL import Image, __version__


def tiff(bits, values):
    data = struct.pack(f"<4{'B' if bits == 8 else 'H'}", *values)
    tags = [(256, 4), (257, 1), (258, bits), (259, 1), (262, 0), (273, 8), (277, 1), (278, 1), (279, len(data))]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    data = data.ljust(8, b"\0")
    return b"II*\0" + struct.pack("<I", 16) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


found = {}
for bits, values in ((8, (0, 85, 170, 255)), (16, (0, 21845, 43690, 65535))):  # white to black
    with open("bar.tif", "wb") as file:
        file.write(tiff(bits, values))
    with Image.open("bar.tif") as image:
        found[bits] = image.mode, np.asarray(image)[0].tolist()
print("Pillow", __version__, found)
assert found == {8: ("L", [255, 170, 85, 0]), 16: ("I;16", [0, 21845, 43690, 65535])}
PYTHON
