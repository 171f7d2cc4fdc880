"""One file a format: each reads images and labels into RawData, or ends in a TaskError."""
