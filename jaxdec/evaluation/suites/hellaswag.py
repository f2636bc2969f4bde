"""Suite `hellaswag`: which of four endings goes on with a text (Zellers et al., ACL 2019), in four protocols.

- llm.c's completion style (Karpathy, llm.c and build-nanogpt, hellaswag.py): the context `ctx` and a space and the
  ending, each encoded for itself. acc takes the greatest log-probability, acc_norm the greatest per token.
- Eleuther's (`lm-eval`, task hellaswag): the activity stands before the context, the beginning of the second sentence
  gets a capital, marks in brackets go. acc as above, acc_norm takes the greatest per character of the ending.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdec.data.corpora.hellaswag import CORPUS, HellaSwag, questions
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError
from jaxdec.evaluation.suites.continuations import Continuations, Request
from jaxdec.evaluation.suites.multiple_choice import accuracies, first, listed_examples, requests, score_choices
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.runs.loading import LoadedRun

# acc and acc_norm of all 10,042 questions, as llm.c's and build-nanogpt's hellaswag.py print them in their docstrings.
PUBLISHED = {
    "GPT-2 124M": "llm.c 0.2859 / 0.2955, Eleuther 0.2892 / 0.3114",
    "GPT-2 XL (1558M)": "llm.c 0.3842 / 0.4893, Eleuther 0.4004 / 0.5089",
}


def evaluate(run: LoadedRun, options: SuiteOptions) -> Mapping[str, Any]:
    """The accuracies of both styles, each as it is and normalised, with standard errors."""
    path = options.file or CORPUS.obtain()
    asked = first(questions(path), options.limit)
    tokenizer, scorer = run.tokenizer, Continuations(run.model, run.params)
    labels = [question.label for question in asked]
    where = [f"question {number} of {path}" for number in range(1, len(asked) + 1)]
    cleaned = [eleuther(question) for question in asked]
    groups = [completions(tokenizer, question, place) for question, place in zip(asked, where, strict=True)]
    groups += [
        requests(tokenizer, context, [f" {ending}" for ending in endings], place)
        for (context, endings), place in zip(cleaned, where, strict=True)
    ]
    endings = [*(question.endings for question in asked), *(endings for _, endings in cleaned)]
    scored, cut = score_choices(scorer, groups, endings, [*labels, *labels])
    plain, tidy = scored[: len(asked)], scored[len(asked) :]
    result: dict[str, Any] = {
        "questions": len(asked),
        "file": Path(path).name,
        "llm.c": accuracies(plain, "tokens"),
        "Eleuther": accuracies(tidy, "characters"),
        "contexts_cut": cut,
        "published, acc / acc_norm of 10,042 questions": PUBLISHED,
    }
    if options.examples:
        styles = zip(listed_examples(plain), listed_examples(tidy), strict=True)
        result["examples"] = [{"llm.c": ours, "Eleuther": theirs} for ours, theirs in styles]
    return result


def completions(tokenizer: Tokenizer, question: HellaSwag, where: str) -> list[Request]:
    """llm.c's rows of a question. Raises UserError, with the place, for characters that the tokenizer has not."""
    try:
        context = tokenizer.encode(question.context).tolist()
        return [Request(context, tokenizer.encode(f" {ending}").tolist()) for ending in question.endings]
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def eleuther(question: HellaSwag) -> tuple[str, Sequence[str]]:
    """The context and the endings as `lm-eval` makes them."""
    context = f"{question.activity}: {question.first} {question.second.capitalize()}"
    return _clean(context), [_clean(ending) for ending in question.endings]


def _clean(text: str) -> str:
    """Without the marks of WikiHow: a title ends a sentence, what else stands in brackets goes."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")
