"""Tiny Shakespeare: 40,000 lines of the plays, as Karpathy put them together (char-rnn, 2015)."""

from __future__ import annotations

from jaxdec.data.corpora.real import RealCorpus

CORPUS = RealCorpus(
    name="tinyshakespeare",
    about="40,000 lines of Shakespeare's plays",
    file="input.txt",
    size=1_115_394,
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    mirrors=(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
    ),
    licence="public domain text",
    origin="karpathy/char-rnn",
)
