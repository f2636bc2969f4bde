"""The parts of a decoder, one idea a file."""
