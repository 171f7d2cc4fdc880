#!/usr/bin/env bash
# Pillow 13.0.0 (11.0 to 12.0, too; not 10.0): a turned, uncompressed TIFF opened by its path has other pixels than
# opened as a file: a grey image of 8x10 pixels and orientation 6 tells the size (10, 8), is (8, 10) once loaded, and each
# of its rows begins 2 pixels late. Opened as a file object it is right. (The memory map is told the turned size.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PYTHON'
import numpy as np
from PIL import Image, __version__

stored = np.arange(80, dtype=np.uint8).reshape(10, 8)
Image.fromarray(stored).save("turned.tif", tiffinfo={0x0112: 6})
upright = np.rot90(stored, -1)
with Image.open("turned.tif") as image:
    told = image.size
    by_path = np.asarray(image)
with open("turned.tif", "rb") as file, Image.open(file) as image:
    as_file = np.asarray(image)
print("Pillow", __version__, "tells", told, "by path", by_path.shape, "as file", as_file.shape)
print("by path right:", np.array_equal(by_path, upright), "as file right:", np.array_equal(as_file, upright))
print("first row by path", by_path[0].tolist(), "should be", upright[0].tolist())
assert told == (10, 8) and by_path.shape == (10, 8) and by_path[0].tolist() == [70, 60, 50, 40, 30, 20, 10, 0]
assert np.array_equal(as_file, upright)
PYTHON
