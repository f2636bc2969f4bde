"""Documents out of files: one file per kind of file, each read as a stream from any place in it."""
