#!/usr/bin/env bash
# Pillow 13.0.0: ImageOps.pad (and contain) of an image whose shorter side would come to less than half a pixel gives a
# blank canvas without a word: a black line of 100x3 pixels, padded to 16x16 with white, is white throughout. Up to 12.0 it
# was a ValueError: height and width must be > 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PYTHON'
from PIL import Image, ImageOps, __version__

line = Image.new("L", (100, 3), 0)
padded = ImageOps.pad(line, (16, 16), color=255)
print("Pillow", __version__, "padded", padded.size, padded.getextrema(), "contained", ImageOps.contain(line, (16, 16)).size)
assert padded.size == (16, 16) and padded.getextrema() == (255, 255)
assert ImageOps.contain(line, (16, 16)).size == (16, 0)
PYTHON
