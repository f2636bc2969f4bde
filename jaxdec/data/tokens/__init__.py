"""From pieces of text to token ids on disk: the split, encoding on all cores, the file, and work that can go on."""
