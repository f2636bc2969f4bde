"""`python -m jaxdec.evaluation.lm_eval run --model jaxdec --model_args run=RUN --tasks ... --include_path FOLDER`: the
command line of `lm-eval` with the model `jaxdec` in it."""

from __future__ import annotations

import sys

from jaxdec.errors import UserError, needs_extra


def main() -> int:
    """Registers the model and hands over. Our own errors are one line and exit code 2, as everywhere."""
    try:
        try:
            from lm_eval.__main__ import cli_evaluate
        except ImportError:
            raise needs_extra("the harness needs lm-eval", "lm-eval") from None
        import jaxdec.evaluation.lm_eval.adapter  # noqa: F401  (registers the model)

        cli_evaluate()
    except UserError as error:
        print(f"jaxdec: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
