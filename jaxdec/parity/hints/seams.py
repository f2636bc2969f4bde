"""Where PyTorch and JAX models are known to differ: what a port gets wrong silently, and how much it costs.

Effects are relative differences, of the tensor named or else of what the module returns, measured on small models with
random weights. Hints name seams of this table.
"""

from __future__ import annotations

from typing import NamedTuple


class Seam(NamedTuple):
    name: str
    differs: str
    effect: str


SEAMS: tuple[Seam, ...] = (
    # Weights
    Seam("transpose", "a JAX kernel is [in, out], a torch weight [out, in]; a square one fits both", "0.3 to 0.75"),
    Seam("fused projections", "query, key and value in three blocks, or side by side for each head", "0.6"),
    Seam("query and key", "which of equal shapes is the query, which the key or the value", "0.5"),
    Seam("gate and up", "which of the two projections goes through the activation", "0.05 to 0.7"),
    Seam("bias", "one side adds a bias that the other lacks; at zero only its gradient tells", "0.1; 0 at init"),
    Seam("norm scale", "Gemma stores scale - 1 and multiplies by 1 + scale", "1"),
    Seam("tied head", "scores by the token table, or by a matrix of their own", "1"),
    Seam("vocabulary padding", "rows added to a table so that its size is a round number", "shapes differ"),
    # Embeddings and positions
    Seam("embedding scale", "token vectors multiplied by the root of the width, or by its value in bfloat16", "0.8"),
    Seam("position shift", "the first position is 0, 1 or, after padding, 2", "0.5 to 1"),
    Seam("rotary layout", "pairs of channels half a head apart, or neighbours", "0.65, generic"),
    Seam("rotary channels", "all of a head's channels turn, or the first few, which its frequencies then count", "0.1"),
    Seam("rotary theta", "the base of the angles: 10000, 500000, a million", "0.1 to 0.6"),
    Seam("rotary positions", "turned at all; distances divided to stretch a context", "0.3 to 0.6"),
    Seam("query and key positions", "an offset of both is invisible, one between them is not: a cache's bug", "0.3"),
    Seam("positions by layer", "all layers turn alike, or some by another base, or not at all", "0.1 to 0.6"),
    Seam("ALiBi", "scores lowered with distance, by slopes that depend on the head", "0.2"),
    # Attention
    Seam("score scale", "1 / sqrt of the head's width, of the model's, or none", "0.3"),
    Seam("causal mask", "whether a token sees itself, the next one, or all", "0.3"),
    Seam("document borders", "texts that share a row read one another, or their positions go on", "0.3"),
    Seam("window", "how many tokens back a local layer sees, itself included or not", "0.1"),
    Seam("head split", "a head's channels lie together, or are strided over the width", "0.8"),
    Seam("grouped heads", "each key head repeated for its neighbours, or all of them tiled", "0.6 to 0.9"),
    Seam("soft cap", "c tanh(x / c) on scores or logits", "0.01 to 1"),
    Seam("attention sink", "one more score in the softmax, without a value", "0.1"),
    Seam("residual sum", "which branches are added to the stream, and what a norm reads", "0.1 to 1"),
    Seam("branch scale", "what a branch returns is multiplied by a constant, or not", "0.1 to 1"),
    # Norms and activations
    Seam("norm epsilon", "Flax 1e-6, torch's LayerNorm 1e-5, torch's RMSNorm the dtype's own", "6e-3 at init"),
    Seam("epsilon place", "inside the root or outside", "1e-2 at init"),
    Seam("norm kind", "layer norm or RMS norm: whether the mean is removed; biased or unbiased variance", "0.02 to 1"),
    Seam("activation", "jax.nn.gelu is the tanh form by default, torch's the exact one; others", "2e-5 to 2e-4"),
    Seam("logit factor", "logits multiplied by a constant, such as the embeddings' scale", "1"),
    Seam("float32", "a cast that caps a float64 run, as in jax.nn.dot_product_attention", "3e-8"),
    Seam("fast variance", "Flax computes E[x^2] - E[x]^2 by default", "1e-2 in float32 at a mean of 1000"),
    # Mixture of experts
    Seam("expert weights", "the chosen experts' weights sum to one, or to what the softmax gave them", "0.05 to 0.7"),
    Seam("shared expert", "added as it is, or times the sigmoid of a score of the token", "0.2 to 0.5"),
    Seam("top-k ties", "which of two equal scores comes first", "sets differ at ties alone"),
    Seam("router precision", "a router in bfloat16: 64 experts, 4 chosen", "1.5 % of tokens"),
    # Training
    Seam("loss mean", "over the targets that count, over all, over rows first, or a sum", "13 % of the loss"),
    Seam("ignored targets", "a batch without any: torch's mean is NaN", "NaN"),
    Seam("target shift", "the target is the next token; shifted twice when both data and loss do it", "0.1 to 1"),
    Seam("label smoothing", "a share of the target's weight spread over the vocabulary", "0.1"),
    Seam("z-loss", "a penalty on the square of the softmax's normaliser", "1e-3"),
    Seam("accumulation", "a mean of means over parts with unequal numbers of targets", "39 % of the gradient"),
    Seam("clip epsilon", "torch divides by the norm + 1e-6, optax by the norm", "3e-9 to 1e-7"),
    Seam("clip", "by the norm of all gradients, of each tensor, or not at all", "0.1 to 1"),
    Seam("Adam epsilon", "its size; inside the root, or added before bias correction", "8e-3 to 0.3"),
    Seam("Adam correction", "moments divided by 1 - beta^t, or not", "1"),
    Seam("Adam betas", "0.9 and 0.999, 0.95, 0.99", "0.01 to 0.5"),
    Seam("decay size", "optax decays by 1e-4 by default, torch by 0.01", "up to 1"),
    Seam("decay coupling", "decay added to the gradient (L2), or to the update", "up to 1"),
    Seam("decay set", "which parameters decay: all, matrices, matrices but embeddings", "up to 1"),
    Seam("schedule offset", "the rate of this step or of the next", "0.3 at step 2"),
    Seam("schedule end", "a cosine over N or N - 1 steps, to a floor or zero; warm-up from zero", "7e-3 at step 100"),
    Seam("initial values", "torch's embeddings are drawn with deviation 1, Flax's with 1 / sqrt(width)", "-"),
    Seam("null direction", "a key bias has a gradient of zero, whose noise Adam amplifies", "1e-8 of the update"),
    Seam("random draws", "masks of dropout and sampling noise: put the same into both", "-"),
)  # fmt: skip


def seam_of(name: str) -> Seam:
    return next(seam for seam in SEAMS if seam.name == name)
