"""Pairs of transformers' decoders with ours, from the tiny configs of the families: nothing is downloaded.

`PAIRS["hf:llama"]()` is the pair. Each config shows something that would otherwise hide: fewer keys than queries,
a head_dim other than width / heads, windows shorter than the text, rotary settings whose ramp lies inside the
pairs. None has a padding token, to whose embedding torch gives no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxdec.errors import UserError
from jaxdec.parity.pair import Pair
from jaxdec.weights.folder.hub import local_place
from jaxdec.weights.formats.registry import open_model
from jaxdec.weights.huggingface.registry import FAMILIES, config_of, rules_of, taps_of

if TYPE_CHECKING:
    import torch


BATCH_SIZE, WINDOW = 2, 12
CONFIGS = {name: family for family in FAMILIES.values() for name in family.tiny}
NORMS_FROM_ONE = (
    "this family stores the distance of a norm's scale from one, which float32 rounds finer than the scale that is "
    "stored here: in float32 the reference's updates of norms are the more exact ones"
)


def tiny_config(name: str, **changes: Any) -> Any:
    """The transformers config of a tiny config by its name, with some settings changed.

    Raises UserError where transformers is not installed.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise UserError(f"hf:{name} needs transformers: pip install 'jaxdec[torch,huggingface]'") from error
    family = CONFIGS[name]
    return AutoConfig.for_model(family.model_type, **{**family.tiny[name].settings, **changes})


def hf_model(hf_config: Any, precision: str) -> torch.nn.Module:
    """transformers' own model with its own initial weights, the same at each call, in its plainest implementation."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dtype = getattr(torch, precision)
        model = AutoModelForCausalLM.from_config(hf_config, dtype=dtype, attn_implementation="eager").eval()
    return with_plain_experts(model)


def with_plain_experts(model: Any) -> Any:
    """The model with experts one by one: grouped products round differently."""
    if hasattr(model, "set_experts_implementation") and hasattr(model.config, "num_experts_per_tok"):
        model.set_experts_implementation("eager")
    return model


def pair_of(name: str) -> Pair:
    """The pair of a tiny config by its name."""
    return pair_of_config(name, tiny_config(name))


def pair_of_folder(given: str) -> Pair:
    """transformers' model of a Hugging Face folder, or of a hub id, with its weights, and ours."""
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise UserError(f"{given} is compared with transformers: pip install 'jaxdec[torch,huggingface]'") from error
    folder = local_place(given)
    open_model(folder)  # what we cannot read is said by us, in one line
    hf_config = AutoConfig.from_pretrained(str(folder))
    pair = pair_of_config(given, hf_config)
    reference = replace(pair.reference, model=partial(model_of_folder, folder))
    return replace(pair, name=given, reference=reference)


def model_of_folder(folder: Path, precision: str) -> torch.nn.Module:
    """transformers' own model with the weights of a folder, in its plainest implementation."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    dtype = getattr(torch, precision)
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype, attn_implementation="eager").eval()
    return with_plain_experts(model)


def pair_of_config(name: str, hf_config: Any) -> Pair:
    """The pair of a transformers config. Both sides train by our recipe, which decays no norm: Gemma stores a scale's
    distance from one, so that decay would pull it elsewhere. Theirs continues a text by reading it anew."""
    from jaxdec.parity.adapters.reference import Reference
    from jaxdec.parity.pairs.jax_twin import JaxTwin
    from jaxdec.parity.pairs.run import twin_run
    from jaxdec.parity.pairs.torch_twin import TorchTwin

    run = twin_run(config_of(hf_config), batch_size=BATCH_SIZE, window=WINDOW)
    return Pair(
        name=f"hf:{name}",
        reference=Reference(partial(hf_model, hf_config), call=read, optimizer=TorchTwin(run).optimizer),
        candidate=JaxTwin(run).candidate(),
        vocab_size=run.vocab_size,
        context=run.model.context,
        weights=rules_of(hf_config),
        taps=taps_of(hf_config),
        window=WINDOW,
        batch_size=BATCH_SIZE,
        routing=run.routed,
        notes=(NORMS_FROM_ONE,) if hf_config.model_type.startswith(("gemma", "nemotron")) else (),
    )


def read(model: torch.nn.Module, batch: Mapping[str, Any]) -> Any:
    return model(batch["tokens"], use_cache=False)


PAIRS: Mapping[str, Callable[[], Pair]] = {f"hf:{name}": partial(pair_of, name) for name in CONFIGS}
