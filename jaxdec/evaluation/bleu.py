"""BLEU (Papineni et al. 2002) as sacrebleu computes it (Post 2018), so that figures can be compared."""

from __future__ import annotations

from collections.abc import Sequence

from jaxdec.errors import UserError


def require_sacrebleu() -> None:
    """Raises UserError where sacrebleu is not installed: before a run, not at its end."""
    try:
        import sacrebleu  # noqa: F401
    except ImportError:
        raise UserError(
            "BLEU needs the package sacrebleu: pip install 'jaxdec[translate]' (or pip install sacrebleu)"
        ) from None


def bleu(translations: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """From 0 to 100, over the whole corpus; `references[i]` are all that count as right for `translations[i]`."""
    require_sacrebleu()
    from sacrebleu.metrics.bleu import BLEU

    most = max(map(len, references))
    streams = [[each[k] if k < len(each) else None for each in references] for k in range(most)]
    return BLEU().corpus_score(translations, streams).score  # type: ignore[arg-type]  # None: no such reference


def signature() -> str:
    """Sacrebleu's short description of how `bleu` counts: the settings of its defaults, and its version."""
    require_sacrebleu()
    import sacrebleu

    return f"nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
