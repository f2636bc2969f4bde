"""A language model as the judge of responses, behind any endpoint that speaks OpenAI's chat completions.

Off unless it is asked for: instructions, references and responses are sent to the address that the user gives. The key,
if one is needed, is read from the environment variable JAXDEC_JUDGE_KEY, and goes to that address alone.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxdec.errors import UserError

KEY = "JAXDEC_JUDGE_KEY"
PROMPT = """You grade answers. Below are a task, an answer that is known to be good, and the answer of a student.

Task:
{task}

Good answer:
{reference}

Student's answer:
{response}

How well does the student's answer solve the task? Correctness counts most: other words than those of the good answer \
are fine where they are as right. 100 means flawless, 50 partly right, 0 wrong, empty or beside the point.
Reply with one whole number from 0 to 100 and nothing else."""
BUSY = (408, 429, 500, 502, 503, 504)  # of HTTP: asking again may help
MOST_BYTES = 2**20  # of a reply
GIVE_UP = 3  # entries in a row without any reply: the judge is down


@dataclass(frozen=True)
class Judge:
    """`url` is the endpoint's base, as http://127.0.0.1:8000/v1. Raises UserError for what is no such address."""

    url: str
    model: str
    timeout: float = 60.0  # seconds of one attempt
    attempts: int = 3
    pause: float = 1.0  # seconds before the second attempt, twice as many before each further one

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/\s]+", self.url):
            raise UserError(
                f"--judge {self.url!r} is no address: give the endpoint's base, as http://127.0.0.1:8000/v1"
            )
        if not self.model:
            raise UserError("the judge's model is not named: give --judge-model NAME, as the endpoint calls it")


class NoReply(Exception):
    """The judge did not answer, after all attempts."""


class Nonsense(Exception):
    """The judge answered something else than a number from 0 to 100."""


class Refused(UserError):
    """The endpoint does not accept the request, and will accept no other: a wrong key, model or path."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key must not follow a redirect to another address."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_NoRedirect)


def judge_all(judge: Judge, records: Sequence[MutableMapping[str, Any]]) -> dict[str, Any]:
    """Puts `judge`, from 0 to 100 or None, into each record; returns `judge_score`, the mean over those that were
    scored, `judged`, how many these are, `asked`, and `unjudged`, the reasons for the rest with their numbers."""
    reasons: Counter[str] = Counter()
    silent = 0
    for record in records:
        record["judge"] = None
        if silent >= GIVE_UP:
            reasons["not asked, since the judge was down"] += 1
            continue
        try:
            record["judge"], silent = score(judge, record), 0
        except Nonsense as error:
            reasons[str(error)] += 1
            silent = 0
        except (NoReply, Refused) as error:
            reasons[str(error)] += 1
            silent = GIVE_UP if isinstance(error, Refused) else silent + 1
    given = [record["judge"] for record in records if record["judge"] is not None]
    return {
        "judge_score": sum(given) / len(given) if given else None,
        "judged": len(given),
        "asked": len(records),
        "unjudged": dict(reasons.most_common()),
    }


def score(judge: Judge, record: Mapping[str, Any]) -> int:
    """What the judge gives one response. Raises NoReply, Nonsense, or Refused."""
    task = record["instruction"] + (f"\n\n{record['input']}" if record["input"] else "")
    content = PROMPT.format(task=task, reference=record["reference"], response=record["response"])
    reply = complete(judge, content)
    numbers = re.findall(r"-?\d+(?:\.\d+)?", reply)
    if len(numbers) != 1 or not numbers[0].isdigit() or int(numbers[0]) > 100:
        raise Nonsense("its reply was no whole number from 0 to 100")
    return int(numbers[0])


def complete(judge: Judge, content: str) -> str:
    """The text of the endpoint's reply to one message."""
    body = {"model": judge.model, "messages": [{"role": "user", "content": content}], "temperature": 0, "seed": 0}
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(KEY):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(
        f"{judge.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers, method="POST"
    )
    reason = ""
    for attempt in range(judge.attempts):
        if attempt:
            time.sleep(judge.pause * 2 ** (attempt - 1))
        try:
            with OPENER.open(request, timeout=judge.timeout) as reply:
                return text_of(reply.read(MOST_BYTES))
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code}"
            if error.code not in BUSY:
                raise Refused(
                    f"it answered HTTP {error.code}: is the address, --judge-model or ${KEY} wrong?"
                ) from None
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            reason = " ".join(str(getattr(error, "reason", None) or error or type(error).__name__).split())
    raise NoReply(f"no reply after {judge.attempts} attempts ({reason})")


def text_of(reply: bytes) -> str:
    """The message in a chat completion. Raises Nonsense."""
    try:
        text = json.loads(reply)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise Nonsense("its reply was no chat completion") from None
    if not isinstance(text, str):
        raise Nonsense("its reply had no text")
    return text
