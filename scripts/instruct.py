"""Finetunes a model on instructions, for schedulers that want a file: what follows is what follows `jaxdec train`;
without anything, the recipe instruct."""

import sys

from jaxdec.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *(sys.argv[1:] or ["instruct"])]))
