"""What `torchref` computes for a case, as numpy arrays under jaxdec's names; the same functions as `jax_side`."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import nn

from jaxdec.interop.torchref import from_torchref, to_torchref
from jaxdec.parity.taps import torch_taps
from parity_tests import jax_side
from parity_tests.cases import MARKS, STEPS, Case
from torchref import generate, optim, train
from torchref.models.wirings import make_model

Arrays = dict[str, np.ndarray]


def build(case: Case) -> nn.Module:
    """The twin with the case's weights."""
    model = initial_model(case).to(getattr(torch, case.config.precision.params))
    state = to_torchref(jax_side.weights(case), expected=model.state_dict())
    model.load_state_dict(state)
    return model


def initial_model(case: Case) -> nn.Module:
    torch.manual_seed(case.seed)
    return make_model(case.config.model, compute_dtype=getattr(torch, case.config.precision.compute))


def initial(case: Case) -> Arrays:
    return to_jax_names(case, initial_model(case).state_dict())


def forward(case: Case) -> Arrays:
    model = build(case).eval()
    with torch.no_grad(), torch_taps(model) as record:
        logits = model(torch.from_numpy(case.batches(1)[0]["tokens"])).logits_BTV
    return {name: value.to(torch.float64).numpy() for name, value in {**record, "logits": logits}.items()}


def loss_and_gradients(case: Case, parts: int = 1) -> tuple[float, Arrays]:
    model = build(case)
    return run_gradients(model, case, parts)


def run_gradients(model: nn.Module, case: Case, parts: int) -> tuple[float, Arrays]:
    loss = train.accumulate_gradients(model, case.batches(1)[0], parts)
    grads = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}
    return loss.item(), to_jax_names(case, grads)


def learning_rates(case: Case) -> np.ndarray:
    config = case.config
    return np.array([train.learning_rate(config.optim, config.decay_steps, step) for step in range(STEPS + 10)])


def optimizer_updates(case: Case) -> Arrays:
    model = build(case)
    start = to_jax_names(case, model.state_dict())
    optimizer = optim.make_optimizer(model, case.config.optim)
    for step, given in enumerate(case.gradients(start)):
        grads = to_torchref(given, expected=model.state_dict())
        for name, parameter in model.named_parameters():
            parameter.grad = grads[name].to(parameter.dtype)
        train.update(model, optimizer, case.config, step)
    return difference(case, model, start)


def trajectory(case: Case) -> tuple[np.ndarray, dict[int, Arrays]]:
    model = build(case)
    start = to_jax_names(case, model.state_dict())
    optimizer = optim.make_optimizer(model, case.config.optim)
    losses, updates = [], {}
    for step, batch in enumerate(case.batches(STEPS)):
        losses.append(train.train_step(model, optimizer, case.config, batch, step)["loss"].item())
        if step + 1 in MARKS:
            updates[step + 1] = difference(case, model, start)
    return np.array(losses), updates


def generated(case: Case, count: int, settings: tuple[tuple[str, Any], ...]) -> list[np.ndarray]:
    """Each prompt alone and without a cache, drawn with the noise that the JAX side uses."""
    model, sampling, rows = build(case).eval(), generate.Sampling(**dict(settings)), []
    for prompt, noise in zip(case.prompts(), jax_side.gumbel_noise(case, count), strict=True):
        tokens, gumbel = torch.from_numpy(prompt)[None], torch.from_numpy(noise)[:, None]
        rows.append(generate.generate(model, tokens, count, sampling, gumbel)[0].numpy())
    return rows


def to_jax_names(case: Case, state: Any) -> Arrays:
    arrays = from_torchref(state, expected=_shapes(jax_side.model_of(case)))
    return {name: np.asarray(array, np.float64) for name, array in arrays.items()}


@functools.cache
def _shapes(model: Any) -> dict[str, Any]:
    return model.shapes()


def difference(case: Case, model: nn.Module, start: Arrays) -> Arrays:
    end = to_jax_names(case, model.state_dict())
    return {name: end[name] - start[name] for name in start}


def dropped_loss_and_gradients(case: Case) -> tuple[float, Arrays]:
    case = case.with_dropout()
    model = build(case).train()
    for path, keep in case.keep_masks():
        model.get_submodule(path).keep = torch.from_numpy(keep)
    return run_gradients(model, case, 1)
