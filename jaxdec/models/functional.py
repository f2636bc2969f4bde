"""A model as two pure functions over a flat dict of parameters.

nnx modules are built only while tracing. At every jit boundary the parameters are a flat dict,
`{"blocks.0.mlp.up.kernel": array, ...}`: the names are the module paths, up to the last part the PyTorch twin's
`state_dict` names, and what a checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdec.config.model import (
    AnyModel,
    BigramConfig,
    DecoderConfig,
    EncoderDecoderConfig,
    MultiHeadConfig,
    OneBlockConfig,
    SingleHeadConfig,
)
from jaxdec.config.run import Precision, RunConfig
from jaxdec.config.trainable import LoRA
from jaxdec.errors import UserError
from jaxdec.layers.attention.cache import Cache
from jaxdec.layers.lora import add_adapters, set_keys
from jaxdec.models.bigram import Bigram
from jaxdec.models.decoder import Decoder
from jaxdec.models.encoder_decoder import EncoderDecoder
from jaxdec.models.multi_head import MultiHead
from jaxdec.models.one_block import OneBlock
from jaxdec.models.output import Output
from jaxdec.models.single_head import SingleHead

Params = dict[str, jax.Array]
WIRINGS: Mapping[type, Any] = {  # the class that builds each kind of model
    BigramConfig: Bigram,
    SingleHeadConfig: SingleHead,
    MultiHeadConfig: MultiHead,
    OneBlockConfig: OneBlock,
    DecoderConfig: Decoder,
    EncoderDecoderConfig: EncoderDecoder,
}


@dataclass(frozen=True)
class Model:
    """`config.vocab_size` must be known. Two models with equal configs are equal and share compiled programs.

    `lora`: adapters beside linear layers, parameters like all others, whose names end in `lora_a` and `lora_b`.
    """

    config: AnyModel
    precision: Precision
    lora: LoRA | None = None

    def __post_init__(self) -> None:
        if "float64" in (self.precision.params, self.precision.compute) and jnp.result_type(float) != jnp.float64:
            raise UserError("precision float64 needs JAX's 64-bit mode: set the environment variable JAX_ENABLE_X64=1")

    @classmethod
    def of(cls, run: RunConfig) -> Model:
        """The model of a run, with adapters where those are what it trains."""
        return cls(run.model, run.precision, run.lora)

    @property
    def base(self) -> Model:
        """The model without its adapters, for the same dict of parameters, of which it reads all but theirs: what an
        adapted model started from, without a copy. `model.base.apply(params, tokens)`; itself where there are none."""
        return self if self.lora is None else replace(self, lora=None)

    def build(self, key: jax.Array) -> nnx.Module:
        """The module with fresh parameters; those of adapters are drawn after all others. Raises UserError for targets
        of `lora` that the model does not have."""
        rngs = nnx.Rngs(params=key)
        module = WIRINGS[type(self.config)](self.config, rngs=rngs)
        if self.lora is not None:
            add_adapters(module, self.lora, rngs=rngs)
        return module

    @property
    def inputs(self) -> tuple[str, ...]:
        """Entries of a batch that the model reads besides `tokens`."""
        return getattr(WIRINGS[type(self.config)], "inputs", ())

    @cached_property
    def structure(self) -> tuple[Any, dict[str, tuple[Any, ...]], dict[str, tuple[str | None, ...]]]:
        """graphdef, and for each parameter name its path in the module tree and its logical axes. Allocates nothing."""
        graphdef, state = nnx.split(jax.eval_shape(self.build, jax.random.key(0)), nnx.Param)
        leaves = {".".join(map(str, path)): (path, leaf) for path, leaf in nnx.to_flat_state(state)}
        paths = {name: path for name, (path, _) in leaves.items()}
        return graphdef, paths, {name: leaf.get_metadata("axes") for name, (_, leaf) in leaves.items()}

    @property
    def axes(self) -> dict[str, tuple[str | None, ...]]:
        """Logical axes of each parameter, for `sharding`."""
        return self.structure[2]

    def init(self, key: jax.Array) -> Params:
        """Fresh parameters in `precision.params`."""
        state = nnx.to_flat_state(nnx.state(self.build(key), nnx.Param))
        return {".".join(map(str, path)): leaf[...].astype(self.precision.params) for path, leaf in state}

    def shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shape and dtype of each parameter, without allocating them."""
        return jax.eval_shape(self.init, jax.random.key(0))

    def module(self, params: Params) -> Any:
        """The nnx module that holds `params`, for use inside a traced function."""
        graphdef, paths, _ = self.structure
        tree: dict[Any, Any] = {}
        for name, path in paths.items():
            node = tree
            for part in path[:-1]:
                node = node.setdefault(part, {})
            node[path[-1]] = params[name]
        return nnx.merge(graphdef, tree)

    def apply(
        self,
        params: Params,
        tokens_BT: jax.Array,
        *,
        cache: Cache | None = None,
        key: jax.Array | None = None,
        **inputs: jax.Array,
    ) -> Output:
        """Runs the model on tokens int32 [B,T], and on what `inputs` names. A key means training: dropout is on."""
        module = self.module(params)
        if self.lora is not None and self.lora.dropout > 0 and key is not None:
            key, adapters_key = jax.random.split(key)
            set_keys(module, adapters_key)
        return module(tokens_BT, jnp.dtype(self.precision.compute), cache, key, **inputs)

    def read(self, params: Params, batch: Mapping[str, Any], *, key: jax.Array | None = None) -> Output:
        """`apply` to the tokens, and to the other inputs, of a batch."""
        return self.apply(params, batch["tokens"], key=key, **{name: batch[name] for name in self.inputs})
