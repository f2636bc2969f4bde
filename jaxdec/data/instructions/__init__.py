"""Instructions with responses: read, put into the form of a template, cut into batches."""
