"""What the reference computes for a setting, as float64 numpy arrays under the candidate's names.

Every call builds the module anew, so that a changed reference shows at once: seeded bugs are patches of its code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdec.errors import UserError
from jaxdec.parity.adapters.calling import calling
from jaxdec.parity.adapters.candidate import logits_of
from jaxdec.parity.adapters.float64 import everything_in_float64
from jaxdec.parity.adapters.probe import Probe
from jaxdec.parity.adapters.reference import parameters_of
from jaxdec.parity.setting import Arrays, PairBatch, Setting
from jaxdec.parity.sides.recording import Backward, Forward, Trajectory
from jaxdec.parity.sides.transfer import Transfer

if TYPE_CHECKING:
    from torch import Tensor, nn


class ReferenceSide:
    def __init__(self, transfer: Transfer) -> None:
        self.transfer, self.pair, self.reference = transfer, transfer.pair, transfer.pair.reference

    def build(self, at: Setting) -> nn.Module:
        """The module with the setting's weights. Raises UserError where a dropout layer is on."""
        import torch

        with _float64(at):
            model = self.reference.build(at.precision)
            with torch.no_grad():
                weights = self.transfer.weights(at).reference
                for name, parameter in parameters_of(model).items():
                    parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))
        refuse_dropout(model)
        return model

    def forward(self, at: Setting) -> Forward:
        return self.replay(at, {}, {})

    def replay(self, at: Setting, inputs: Arrays, outputs: Arrays, *, batch: PairBatch | None = None) -> Forward:
        """The forward pass with given inputs and outputs of modules, on the setting's batch or another one."""
        import torch

        from jaxdec.parity.adapters.taps import torch_probe

        model = self.build(at)
        probe = Probe(*(_tensors(side, at.precision) for side in (inputs, outputs)))
        with torch.no_grad(), _float64(at), torch_probe(model, probe, self.names(model)):
            logits = logits_of(self.call(model, self._batch(at) if batch is None else tensors_of(batch), probe))
        return Forward(_numpy(probe.entered), _numpy(probe.left), _numpy({"logits": logits}))

    def vocabulary(self, at: Setting) -> int:
        """How many scores a token gets, with the module's own weights."""
        import torch

        with torch.no_grad(), _float64(at):
            return logits_of(self.call(self.reference.build(at.precision), self._batch(at))).shape[-1]

    def backward(self, at: Setting) -> Backward:
        """The loss's derivatives at every tap. Copies stand at each module's input and output, so that the derivative
        by an input is through that module alone, whoever else reads the same tensor."""
        from jaxdec.parity.adapters.taps import torch_probe

        model, probe, batch = self.build(at), Copies(), self._batch(at)
        with _float64(at), torch_probe(model, probe, self.names(model)):
            outputs = self.call(model, batch, probe)
            logits = logits_of(outputs)
            logits.retain_grad()
            self.reference.loss(outputs, batch).backward()
        return Backward(
            entered=_gradients_of(probe.entered),
            left=_gradients_of(probe.left),
            logits=_gradients_of({"logits": logits}),
            parameters=self.transfer.plan.tangents_to_candidate(_gradients_of(parameters_of(model))),
        )

    def loss_and_gradients(self, at: Setting) -> tuple[float, Arrays]:
        model = self.build(at)
        with _float64(at):
            loss = self._backward(model, self._batch(at))
        return loss.item(), self.transfer.plan.tangents_to_candidate(_gradients_of(parameters_of(model)))

    def _backward(self, model: nn.Module, batch: PairBatch) -> Tensor:
        if self.reference.backward is not None:
            return self.reference.backward(model, batch)
        outputs = self.call(model, batch)
        with calling("reference's loss", batch):
            loss = self.reference.loss(outputs, batch)
        loss.backward()
        return loss.detach()

    def call(self, model: nn.Module, batch: Any, probe: Probe | None = None) -> Any:
        """What the model returns. Raises UserError, naming the place, where it raises anything."""
        with calling("reference", batch, probe):
            return self.reference.call(model, batch)

    def updates(self, at: Setting, given: Sequence[Arrays], see: Callable[[Arrays], Any] | None = None) -> Arrays:
        """What the optimizer adds to the parameters, given gradients (under the reference's names) one set after the
        other. `see` is called with what has been added after each of them."""
        import torch

        model = self.build(at)
        with _float64(at):
            start, apply = _values(model), self.reference.optimizer(model)
            for step, grads in enumerate(given):
                for name, parameter in parameters_of(model).items():
                    parameter.grad = torch.from_numpy(np.array(grads[name])).to(parameter.dtype)
                apply(step)
                if see is not None:
                    see(self._moved(model, start))
        return self._moved(model, start)

    def trajectory(self, at: Setting, marks: tuple[int, ...]) -> Trajectory:
        model, losses, updates = self.build(at), [], {}
        with _float64(at):
            start, apply = _values(model), self.reference.optimizer(model)
            for step, batch in enumerate(self.pair.draw(at.seed, marks[-1])):
                for parameter in model.parameters():
                    parameter.grad = None
                losses.append(self._backward(model, tensors_of(batch)).item())
                apply(step)
                if step + 1 in marks:
                    updates[step + 1] = self._moved(model, start)
        return Trajectory(losses, updates)

    def greedy(self, at: Setting, count: int) -> list[np.ndarray]:
        """`count` most likely tokens after each prompt, each prompt alone."""
        import torch

        model, rows = self.build(at), []
        with torch.no_grad(), _float64(at):
            for prompt in self.pair.prompts(at.seed):
                tokens_1T = torch.from_numpy(prompt)[None]
                if self.reference.generate is not None:
                    rows.append(self.reference.generate(model, tokens_1T, count)[0].numpy())
                    continue
                for _ in range(count):
                    scores_1V = logits_of(self.call(model, {"tokens": tokens_1T}))[:, -1]
                    tokens_1T = torch.cat([tokens_1T, scores_1V.argmax(-1, keepdim=True).to(tokens_1T)], dim=1)
                rows.append(tokens_1T[0, prompt.size :].numpy())
        return rows

    def next_logits(self, at: Setting, text: np.ndarray) -> np.ndarray:
        """The scores [V] of the token after a text."""
        import torch

        with torch.no_grad(), _float64(at):
            outputs = self.call(self.build(at), {"tokens": torch.from_numpy(text)[None]})
            return _numpy_of(logits_of(outputs)[0, -1])

    def names(self, model: nn.Module) -> dict[str, str]:
        """Module path -> the name of its tap, which is the candidate's."""
        from jaxdec.parity.adapters.tap_names import tap_names

        paths = [path for path, _ in model.named_modules() if path]
        return {path: path for path in paths} if self.pair.taps is None else tap_names(self.pair.taps, paths)

    def _batch(self, at: Setting) -> PairBatch:
        return tensors_of(self.pair.draw(at.seed, 1)[0])

    def _moved(self, model: nn.Module, start: Arrays) -> Arrays:
        end = _values(model)
        return self.transfer.plan.tangents_to_candidate({name: end[name] - start[name] for name in start})


class Copies(Probe):
    """Hands on a copy of each value, which keeps its gradient."""

    def enter(self, name: str, value: Any) -> Any:
        return self._copied(self.entered, super().enter(name, value))

    def leave(self, name: str, value: Any) -> Any:
        return self._copied(self.left, super().leave(name, value))

    def _copied(self, record: dict[str, Any], value: Any) -> Any:
        """A value that is cut off from the gradient gets one all the same: what is cut off is the module's fault, not
        that of those after it."""
        name, copy = next(reversed(record)), value.clone()
        if not copy.requires_grad:
            copy.requires_grad_(True)
        copy.retain_grad()
        record[name] = copy
        return copy


def refuse_dropout(model: nn.Module) -> None:
    """Raises UserError naming the first dropout layer that is on: no two frameworks draw the same masks."""
    from torch import nn

    for path, module in model.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 and module.training:
            raise UserError(f"the reference's {path} drops {module.p:g}: call eval() on the model before the check")


def tensors_of(batch: PairBatch) -> Any:
    import torch

    return {
        name: torch.from_numpy(value).long() if value.dtype.kind == "i" else torch.from_numpy(value)
        for name, value in batch.items()
    }


@contextmanager
def _float64(at: Setting) -> Iterator[None]:
    """The oracle computes nothing in less, whatever its modules ask for."""
    if at.precision == "float64":
        with everything_in_float64():
            yield
    else:
        yield


def _tensors(arrays: Arrays, precision: str) -> dict[str, Tensor]:
    import torch

    return {name: torch.from_numpy(np.array(value)).to(getattr(torch, precision)) for name, value in arrays.items()}


def _numpy_of(tensor: Tensor) -> np.ndarray:
    import torch

    return tensor.detach().to(torch.float64).numpy()


def _numpy(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: _numpy_of(value) for name, value in tensors.items()}


def _values(model: nn.Module) -> Arrays:
    return {name: _numpy_of(value).copy() for name, value in parameters_of(model).items()}


def _gradients_of(tensors: Mapping[str, Any]) -> Arrays:
    return {
        name: np.zeros(tuple(value.shape)) if value.grad is None else _numpy_of(value.grad)
        for name, value in tensors.items()
    }
