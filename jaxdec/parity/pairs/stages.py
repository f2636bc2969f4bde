"""Stages that exist only for our twins: distributions of initial weights, schedule, accumulation, dropout, sampling."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from jaxdec.config.model import EncoderDecoderConfig
from jaxdec.config.reinforce import Reinforce
from jaxdec.generation.sampling import Sampling
from jaxdec.parity.adapters.reference import parameters_of
from jaxdec.parity.compare import tolerances
from jaxdec.parity.compare.comparison import Comparison, relative
from jaxdec.parity.compare.null import compare_gradients, null_masks
from jaxdec.parity.pair import CompareStage
from jaxdec.parity.pairs.drop import keep_masks
from jaxdec.parity.pairs.jax_twin import JaxTwin
from jaxdec.parity.pairs.run import STEPS, TwinRun
from jaxdec.parity.pairs.torch_twin import TorchTwin, drop
from jaxdec.parity.setting import Arrays, Setting
from jaxdec.parity.sides.candidate_side import native, numpy
from jaxdec.parity.sides.reference_side import tensors_of
from jaxdec.parity.sides.stages import Sides
from jaxdec.training import optim
from torchref.generation import generate as torch_generate


def twin_stages(ours: JaxTwin, theirs: TorchTwin) -> Mapping[str, CompareStage]:
    """Each runs with the weights that show it."""
    found: dict[str, Any] = {"init": initial_law, "schedule": schedule, "accumulation": accumulation}
    if hasattr(ours.run.model, "dropout") and not isinstance(ours.run.config.resolved_stage, Reinforce):
        found["dropout"] = dropout
    if not isinstance(ours.run.model, EncoderDecoderConfig) and getattr(ours.run.model, "classes", None) is None:
        found["sampling"] = sampling
    return {name: functools.partial(stage, ours, theirs) for name, stage in found.items()}


def initial_law(ours: JaxTwin, theirs: TorchTwin, sides: Sides, at: Setting) -> list[Comparison]:
    """Vectors start equal; matrices are drawn from the same normal law, by mean, standard deviation and kurtosis."""
    if at.weight_init != "init":
        return []
    drawn, found = sides.transfer.weights(at).candidate, []
    for name, b in own_weights(theirs, sides, at.seed).items():
        n, a = b.size, drawn[name]
        if b.ndim < 2 or not b.any():
            found += relative("init", {name: a}, {name: b}, tolerances.SEMANTIC)
            continue
        errors = {
            "mean": (a.mean() - b.mean()) / (b.std() * (2 / n) ** 0.5),
            "deviation": np.log(a.std() / b.std()) * n**0.5,
            "kurtosis": (np.mean((a / a.std()) ** 4) - np.mean((b / b.std()) ** 4)) / (48 / n) ** 0.5,
        }
        found += [
            Comparison("init", f"{name} {key}", abs(error), tolerances.INIT.limit) for key, error in errors.items()
        ]
    return found


def own_weights(theirs: TorchTwin, sides: Sides, seed: int) -> Arrays:
    model = theirs.build("float32", seed=seed)
    values = {name: value.detach().double().numpy() for name, value in parameters_of(model).items()}
    return sides.transfer.plan.to_candidate(values)


def schedule(ours: JaxTwin, theirs: TorchTwin, sides: Sides, at: Setting) -> list[Comparison]:
    """The learning rate of every step, and past the end of the run."""
    if at.weight_init != "generic":
        return []
    config, count = ours.run.config, STEPS + 10
    rate = functools.partial(optim.learning_rate, config.optim, config.decay_steps)
    with native(at.precision):
        rates = np.asarray(jax.vmap(rate)(jnp.arange(count)), np.float64)
    true = {f"step {step}": value for step, value in enumerate(theirs.learning_rates(count))}
    return relative("schedule", dict(zip(true, rates, strict=True)), true, tolerances.SEMANTIC)


def accumulation(ours: JaxTwin, theirs: TorchTwin, sides: Sides, at: Setting) -> list[Comparison]:
    """A batch in k parts of unequal numbers of targets: both sides agree with each other, and with the whole batch.

    A router's losses and capacities are statistics of a part, so that there the parts differ from the whole."""
    if at.weight_init != "generic":
        return []
    batch, parts = sides.pair.draw(at.seed, 1)[0], ours.run.config.batch_size

    def in_parts() -> tuple[float, Arrays]:
        with native(at.precision):
            loss, grads = ours.gradients(sides.candidate.params(at), batch, at.precision, parts)
            return float(loss), numpy(grads)

    cut = sides.candidate.keep(("accumulation", at), in_parts)
    model = sides.reference.build(at)
    true_loss = theirs.backward(model, tensors_of(batch), parts).item()
    true = true_loss, torch_gradients(model, sides)
    found = compare("accumulation", cut, true)
    whole = sides.candidate.loss_and_gradients(at)
    return found if sides.pair.routing else compare("accumulation", cut, whole) + found


def dropout(ours: JaxTwin, theirs: TorchTwin, sides: Sides, at: Setting) -> list[Comparison]:
    """Loss and gradients with the same masks put into both sides."""
    if at.weight_init != "generic":
        return []
    twin_in_jax = ours.dropping(0.2)
    run = twin_in_jax.run
    masks, batch = keep_masks(run, at.seed), sides.pair.draw(at.seed, 1)[0]

    def ours_dropped() -> tuple[float, Arrays]:
        with native(at.precision):
            params = sides.candidate.params(at)
            loss, grads = twin_in_jax.dropped_gradients(params, batch, [mask for _, mask in masks], at.precision)
            return float(loss), numpy(grads)

    dropped = sides.candidate.keep(("dropout", at), ours_dropped)
    twin = TorchTwin(run)
    model = twin.build(at.precision)
    with torch.no_grad():
        for name, parameter in parameters_of(model).items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(sides.transfer.weights(at).reference[name])))
    drop(model, masks)
    true_loss = twin.backward(model, tensors_of(batch)).item()
    return compare("dropout", dropped, (true_loss, torch_gradients(model, sides)))


def compare(stage: str, ours: tuple[float, Arrays], theirs: tuple[float, Arrays]) -> list[Comparison]:
    (loss, grads), (true_loss, true_grads) = ours, theirs
    found = relative(stage, {"loss": loss}, {"loss": true_loss}, tolerances.SEMANTIC)
    return found + compare_gradients(stage, grads, true_grads, null_masks(grads, true_grads))


def torch_gradients(model: Any, sides: Sides) -> Arrays:
    grads = {
        name: np.zeros(tuple(value.shape)) if value.grad is None else value.grad.double().numpy()
        for name, value in parameters_of(model).items()
    }
    return sides.transfer.plan.tangents_to_candidate(grads)


SETTINGS: tuple[Mapping[str, Any], ...] = (
    {"temperature": 0.0},
    {"temperature": 2.0, "top_p": 0.8},
    {"temperature": 2.5, "top_k": 12, "top_p": 0.9, "min_p": 0.05},
)


def sampling(ours: JaxTwin, theirs: TorchTwin, sides: Sides, at: Setting) -> list[Comparison]:
    """Continuations from one token to past the end of the context: the most likely ones, and drawn with the same noise
    through one filter and through all of them. The same tokens."""
    if at.weight_init != "generic":
        return []
    found, count = [], ours.run.model.context + 4
    prompts = long_prompts(ours.run, at.seed)
    noise = gumbel_noise(ours.run, prompts, at, count)
    model = sides.reference.build(at)
    for settings in SETTINGS:
        label = " ".join(f"{name} {value:g}" for name, value in settings.items())
        with native(at.precision):
            params = sides.candidate.params(at)
            rows = ours.generate(params, prompts, count, at.precision, Sampling(**settings), at.seed)
        for row, (prompt, drawn) in enumerate(zip(prompts, rows, strict=True)):
            tokens_1T, gumbel = torch.from_numpy(prompt)[None], torch.from_numpy(noise[row])[:, None]
            true = theirs.generate(model, tokens_1T, count, torch_generate.Sampling(**settings), gumbel)
            wrong = float((np.asarray(drawn) != true[0].numpy()).sum())
            found.append(Comparison("sampling", f"prompt {row}, {label}", wrong, 0.0))
    return found


def long_prompts(run: TwinRun, seed: int) -> list[np.ndarray]:
    """One prompt a row, of unequal lengths, the last one longer than the context."""
    context, rng = run.model.context, np.random.default_rng(seed)
    lengths = [1, context // 2, context, context + 3]
    prompts = [rng.integers(0, run.vocab_size, length, dtype=np.int32) for length in lengths]
    return [run.with_starts(prompt, seed) for prompt in prompts]


def gumbel_noise(run: TwinRun, prompts: list[np.ndarray], at: Setting, count: int) -> list[np.ndarray]:
    """The noise with which `generate` draws, [count, V] for each prompt."""
    key, noise = jax.random.key(at.seed), []
    with native(at.precision):
        for row, prompt in enumerate(prompts):
            keys = [jax.random.fold_in(jax.random.fold_in(key, prompt.size + n), row) for n in range(count)]
            noise.append(np.stack([jax.random.gumbel(k, (run.vocab_size,)) for k in keys]))
    return noise
