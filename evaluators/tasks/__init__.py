"""Tasks: labelled images to classify, read, checked, split and handed out in batches."""
