"""What the candidate computes for a setting, as float64 numpy arrays. Results and programs are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdec.errors import UserError
from jaxdec.parity.adapters.adamw import torch_adamw
from jaxdec.parity.adapters.calling import calling
from jaxdec.parity.adapters.candidate import JaxParams, logits_of, with_logits
from jaxdec.parity.adapters.casts import casts_of
from jaxdec.parity.adapters.probe import Probe
from jaxdec.parity.setting import Arrays, PairBatch, Setting
from jaxdec.parity.sides.recording import Backward, Forward, Trajectory
from jaxdec.parity.sides.transfer import Transfer


@contextmanager
def native(precision: str) -> Iterator[None]:
    """float64 is switched on for float64 runs alone: with it, JAX computes schedules and bias corrections of a float32
    run in float64, which no user's run does. Matrix products are exact in either."""
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision("highest"):
        yield


class CandidateSide:
    def __init__(self, transfer: Transfer) -> None:
        self.transfer, self.pair, self.candidate = transfer, transfer.pair, transfer.pair.candidate
        self._kept: dict[Any, Any] = {}

    def params(self, at: Setting) -> JaxParams:
        dtype = self.candidate.params_dtype(at.precision)
        return {name: jnp.asarray(value, dtype) for name, value in self.transfer.weights(at).candidate.items()}

    def forward(self, at: Setting) -> Forward:
        return self.keep(("forward", at), lambda: self.replay(at, {}, {}))

    def replay(
        self,
        at: Setting,
        inputs: Arrays,
        outputs: Arrays,
        *,
        changed: Mapping[str, Any] | None = None,
        batch: PairBatch | None = None,
    ) -> Forward:
        """The forward pass with given inputs and outputs of modules; `changed` parameters and another batch of the same
        shapes take the place of the setting's."""

        def run(params: JaxParams, batch: PairBatch, inputs: JaxParams, outputs: JaxParams) -> Any:
            probe = Probe(inputs, outputs)
            logits = logits_of(self.candidate.run(params, batch, at.precision, probe))
            return probe.entered, probe.left, {"logits": logits}

        with native(at.precision):
            program = self._program("replay", at, run)
            given = (_arrays(side, at.precision) for side in (inputs, outputs))
            params = self.params(at)
            params |= {name: jnp.asarray(value, params[name].dtype) for name, value in (changed or {}).items()}
            return Forward(*map(numpy, program(params, batch or self._batch(at), *given)))

    def vocabulary(self, at: Setting) -> int:
        """How many scores a token gets, whatever the weights."""

        def run(params: JaxParams, batch: PairBatch) -> Any:
            return logits_of(self.candidate.run(params, batch, at.precision, Probe()))

        with native(at.precision):
            return jax.eval_shape(run, dict(self.candidate.shapes), self._batch(at)).shape[-1]

    def narrow_casts(self, at: Setting) -> list[tuple[str, str]]:
        """(dtype, place) of each cast to less than float64 in the forward pass, each place once."""

        def run(params: JaxParams, batch: PairBatch) -> Any:
            return logits_of(self.candidate.run(params, batch, at.precision, Probe()))

        with native(at.precision):
            return list(dict.fromkeys(casts_of(jax.make_jaxpr(run)(self.params(at), self._batch(at)).jaxpr)))

    def replay_backward(self, at: Setting, forward: Forward, backward: Backward) -> Backward:
        """Every module's own backward pass, all in one.

        Inputs X and outputs Y of all modules are independent variables. With the reference's derivatives dx by inputs
        and dy by outputs, the sum of <dy, what the module makes of its X> and of <dx, what is handed to the module>
        has the reference's dx as its gradient by X, dy by Y, and the gradients of the parameters: each of them depends
        on the code of one module.
        """

        def total(params: JaxParams, inputs: JaxParams, outputs: JaxParams, batch: PairBatch, grads: Any) -> jax.Array:
            probe = Probe(inputs, outputs)
            result = self.candidate.run(params, batch, at.precision, probe)
            pairs = [(probe.left[name], grads.left[name]) for name in probe.left if name in grads.left]
            pairs += [(probe.entered[name], grads.entered[name]) for name in probe.entered if name in grads.entered]
            pairs.append((logits_of(result), grads.logits["logits"]))
            return sum((jnp.sum(a * b.reshape(a.shape)) for a, b in pairs), self.candidate.aux(result))

        with native(at.precision):
            program = self._program("replay_backward", at, jax.grad(total, argnums=(0, 1, 2)))
            inputs, outputs = (_arrays(side, at.precision) for side in (forward.entered, forward.left))
            by = program(self.params(at), inputs, outputs, self._batch(at), backward)
            return Backward(numpy(by[1]), numpy(by[2]), {}, numpy(by[0]))

    def loss_by_logits(self, at: Setting, logits: np.ndarray) -> np.ndarray | None:
        """The loss's derivative by given logits; None where the outputs are no record whose logits can be replaced."""

        def loss(given: jax.Array, params: JaxParams, batch: PairBatch) -> jax.Array:
            outputs = self.candidate.run(params, batch, at.precision, Probe())
            return self.candidate.loss(with_logits(outputs, given), batch)

        with native(at.precision):
            program = self._program("loss_by_logits", at, jax.grad(loss))
            try:
                return np.asarray(program(jnp.asarray(logits, at.precision), self.params(at), self._batch(at)))
            except TypeError:
                return None

    def loss_and_gradients(self, at: Setting) -> tuple[float, Arrays]:
        def compute() -> tuple[float, Arrays]:
            with native(at.precision):
                loss, grads = self._gradients(at)(self.params(at), self._batch(at))
                return float(loss), numpy(grads)

        return self.keep(("gradients", at), compute)

    def _gradients(self, at: Setting) -> Callable[..., Any]:
        if self.candidate.gradients is not None:
            given = self.candidate.gradients
            return lambda params, batch: given(params, batch, at.precision)

        def loss(params: JaxParams, batch: PairBatch) -> jax.Array:
            outputs = self.candidate.run(params, batch, at.precision, Probe())
            with calling("candidate's loss", batch):
                return self.candidate.loss(outputs, batch)

        return self._program("gradients", at, jax.value_and_grad(loss))

    @property
    def optimizer(self) -> Any:
        return torch_adamw() if self.candidate.optimizer is None else self.candidate.optimizer

    def updates(self, at: Setting, given: Sequence[Arrays], see: Callable[[Arrays], Any] | None = None) -> Arrays:
        """What the optimizer adds to the parameters, given gradients one set after the other. `see` is called with what
        has been added after each of them."""
        with native(at.precision):
            start: JaxParams = self.params(at)
            params, state = start, self.optimizer.init(start)
            for grads in given:
                grads = {name: jnp.asarray(value, start[name].dtype) for name, value in grads.items()}
                params, state = self._program("update", at, self._update)(params, state, grads)
                if see is not None:
                    see(difference(params, start))
            return difference(params, start)

    def _update(self, params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = self.optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def trajectory(self, at: Setting, marks: tuple[int, ...]) -> Trajectory:
        def compute() -> Trajectory:
            batches = self.pair.draw(at.seed, marks[-1])
            with native(at.precision):
                start = self.params(at)
                losses, reached = (self.candidate.train or self._train)(start, batches, marks, at.precision)
                updates = {mark: difference(params, start) for mark, params in reached.items()}
            return Trajectory([float(loss) for loss in losses], updates)

        return self.keep(("trajectory", at, marks), compute)

    def _train(self, start: JaxParams, batches: Any, marks: Any, precision: str) -> tuple[Any, dict[int, JaxParams]]:
        at, params, state = Setting(precision=precision), start, self.optimizer.init(start)  # type: ignore[arg-type]
        losses, reached = [], {}
        for step, batch in enumerate(batches, start=1):
            loss, grads = self._gradients(at)(params, dict(batch))
            params, state = self._program("update", at, self._update)(params, state, grads)
            losses.append(loss)
            if step in marks:
                reached[step] = params
        return np.asarray(losses, np.float64), reached

    def greedy(self, at: Setting, count: int, *, cached: bool) -> list[np.ndarray]:
        """`count` most likely tokens after each prompt: by the candidate's own decoder, or by reading the whole text
        anew for each token."""
        with native(at.precision):
            params, prompts = self.params(at), self.pair.prompts(at.seed)
            if cached and self.candidate.generate is not None:
                return [np.asarray(row) for row in self.candidate.generate(params, prompts, count, at.precision)]
            return self._continue(at, params, prompts, count)

    def _continue(self, at: Setting, params: JaxParams, prompts: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
        """All prompts in one batch of one shape, each filled from the left: what stands behind a text is not read."""

        def run(params: JaxParams, batch: PairBatch) -> Any:
            return logits_of(self.candidate.run(params, batch, at.precision, Probe()))

        program = self._program("logits", at, run)
        ends, rows = np.array([prompt.size for prompt in prompts]), np.arange(len(prompts))
        text = np.zeros((len(prompts), ends.max() + count), np.int32)
        for row, prompt in enumerate(prompts):
            text[row, : prompt.size] = prompt
        for step in range(count):
            scores_RTV = np.asarray(program(params, {"tokens": text}))
            text[rows, ends + step] = scores_RTV[rows, ends + step - 1].argmax(-1)
        return [text[row, end : end + count] for row, end in enumerate(ends)]

    def _batch(self, at: Setting) -> PairBatch:
        return dict(self.pair.draw(at.seed, 1)[0])

    def keep(self, key: Any, compute: Callable[[], Any]) -> Any:
        """What `compute` returns, which is called once for a key."""
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def forget(self, at: Setting) -> None:
        """Drops the results of a setting; programs stay."""
        for key in [key for key in self._kept if isinstance(key, tuple) and at in key]:
            del self._kept[key]

    def _program(self, name: str, at: Setting, function: Callable[..., Any]) -> Any:
        """Compiled once for each precision; both kinds of weights and all seeds share it."""

        def compiled(*inputs: Any) -> Any:
            try:
                return self.keep((name, at.precision), lambda: jax.jit(function))(*inputs)
            except jax.errors.UnexpectedTracerError as error:
                raise UserError(
                    f"a tap of {self.pair.name} lies inside a scan, remat or jit of the candidate: tap what that "
                    "returns, and no module inside"
                ) from error

        return compiled


def numpy(tree: Mapping[str, Any]) -> Arrays:
    return {name: np.asarray(value, np.float64) for name, value in tree.items()}


def difference(params: Mapping[str, Any], start: Mapping[str, Any]) -> Arrays:
    return {name: np.asarray(params[name], np.float64) - np.asarray(start[name], np.float64) for name in start}


def _arrays(values: Arrays, precision: str) -> JaxParams:
    return {name: jnp.asarray(value, precision) for name, value in values.items()}
