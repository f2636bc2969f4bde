"""SPEC: transformers' GPT-2 and our decoder, imported by its config.  jaxdec parity check examples/parity/hf_gpt2.py"""

from flax import nnx
from transformers import GPT2Config, GPT2LMHeadModel

from jaxdec.models.decoder import Decoder
from jaxdec.parity import Pair, Reference, from_nnx
from jaxdec.weights.huggingface.registry import config_of, rules_of, taps_of

sizes = GPT2Config(vocab_size=61, n_positions=16, n_embd=24, n_layer=2, n_head=3, bos_token_id=None, eos_token_id=None)
theirs = GPT2LMHeadModel(sizes).eval()
ours = Decoder(config_of(sizes), rngs=nnx.Rngs(0))

pair = Pair(
    name="hf-gpt2",
    reference=Reference(theirs, call=lambda model, batch: model(batch["tokens"], use_cache=False)),
    # Our decoder is told what to compute in: here, in what it holds its parameters in.
    candidate=from_nnx(ours, lambda model, batch: model(batch["tokens"], model.token_embed.embedding[...].dtype)),
    vocab_size=sizes.vocab_size,
    context=sizes.n_positions,
    weights=rules_of(sizes),
    taps=taps_of(sizes),
)
