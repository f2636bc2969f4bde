"""Reading a Hugging Face config, setting by setting, and one line for what is not supported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxdec.config.parts import Activation
from jaxdec.errors import UserError, nearest

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "quick_gelu": "gelu_sigmoid",
    "relu": "relu",
    "relu2": "relu_squared",
    "silu": "silu",
}


def activation_name(activation: Activation, usual: str = "gelu_pytorch_tanh") -> str:
    """What transformers calls one of our activations: of two names for one function, which round differently in
    float32, the family's usual one."""
    return (
        usual if ACTIVATIONS[usual] == activation else next(n for n, ours in ACTIVATIONS.items() if ours == activation)
    )


class HFSettings:
    """The values of a config by name, of a dict as in config.json. `defaults` are those of the family."""

    def __init__(self, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.values = {**defaults, **values}
        self.model_type: str = values["model_type"]

    def __call__(self, name: str) -> Any:
        """The value of `name`, or the family's default where the config leaves it out; None where it has none."""
        return self.values.get(name)

    def but(self, **values: Any) -> HFSettings:
        """The same config with some values changed."""
        return HFSettings({**self.values, **values}, {})

    def whole(self, name: str) -> int:
        """A size that every config of the family has. Raises UserError where it is missing."""
        value = self(name)
        if not isinstance(value, int):
            raise UserError(f"the {self.model_type} config has {name} = {value!r}: a whole number is needed")
        return value

    def number(self, name: str) -> float:
        """A number that the model computes with. Raises UserError where there is none."""
        value = self(name)
        if not isinstance(value, int | float):
            raise UserError(f"the {self.model_type} config has {name} = {value!r}: a number is needed")
        return value

    def count(self, name: str) -> int:
        """A whole number from 1. Raises UserError where there is none."""
        if (value := self.whole(name)) < 1:
            raise self.unsupported(name, value, "a whole number from 1 is needed")
        return value

    def positive(self, name: str) -> float:
        """A number above 0. Raises UserError where there is none."""
        if (value := self.number(name)) <= 0:
            raise self.unsupported(name, value, "a number above 0 is needed")
        return value

    def only(self, **wanted: Any) -> None:
        """Raises UserError unless each of these settings has this value, or none."""
        for name, value in wanted.items():
            if self(name) not in (None, value):
                raise self.unsupported(name, self(name), f"the decoder has {value!r} alone")

    def unsupported(self, name: str, value: Any, instead: str) -> UserError:
        return UserError(f"{self.model_type}: {name} = {value!r} is not supported: {instead}")

    def choice(self, name: str, value: str, known: Mapping[str, Any]) -> Any:
        """What `known` has for a value; raises UserError with the nearest one that it has."""
        if value not in known:
            raise self.unsupported(name, value, f"the decoder does not have it{nearest(str(value), known)}")
        return known[value]

    def activation(self, name: str) -> Activation:
        """Our activation of the name that the setting `name` holds."""
        return self.choice(name, self(name), ACTIVATIONS)
