"""Files that are always whole: what was there before, or all of what is written."""

