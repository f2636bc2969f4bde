"""The parts of a decoder, one idea per file."""
