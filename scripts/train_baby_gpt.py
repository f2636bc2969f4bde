"""Trains recipe baby-gpt: the same as `jaxdec train baby-gpt`, for schedulers that want a file. Flags are passed on."""

import sys

from jaxdec.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", "baby-gpt", *sys.argv[1:]]))
