"""Settings as flags: `--train.steps 3000`, `--model.position.kind rope`, `--model.mlp.1.experts 8`.

What was typed is laid over the plain data of a config (what a YAML file would hold), which is then read like any file.

- A field that holds one of several variants takes its kind, `--model.position.kind rope`, or for short
  `--model.position rope`. Another kind starts from its own defaults: nothing of the old value is kept, not even a
  field of the same name, because a number that was right for one part is seldom right for another.
- A field that may differ from layer to layer takes the index of a value: `--model.mlp.1.kind moe`, in a model whose
  layers were all alike, gives two values that take turns, the old one and the new one. A value that was not there yet
  starts from what its layer had. `--model.attention local,full` gives values by their kinds.
- The order of the flags does not matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Union

from jaxdec.config.yaml import (
    class_of,
    defaults_of,
    describe,
    field_types,
    is_optional,
    kind_of,
    read_leaf,
    takes_tuple,
    variants,
)
from jaxdec.errors import UserError, nearest

MOST_VALUES = 1000  # of a field that differs from layer to layer; the model says how many layers there are
Unknown = Callable[[str], UserError]  # the error for an unknown flag


@dataclasses.dataclass
class FlagNode:
    """What was typed for the field `path`: a value of its own, or values for what lies in it."""

    path: str  # "--model.position"; "" for the whole config
    text: str | None = None
    given: bool = False  # it may have been given without a text
    inner: dict[str, FlagNode] = dataclasses.field(default_factory=dict)

    def first(self) -> str:
        """The first flag that was typed here."""
        return self.path if self.given else self.deeper()

    def deeper(self) -> str:
        """The first flag that was typed for something in it."""
        return next(node.first() for node in self.inner.values())


def override(cls: type, plain: Mapping[str, Any], typed: Iterable[tuple[str, str | None]], unknown: Unknown) -> Any:
    """`plain`, the data of a section of class `cls`, with (flag, text) pairs laid over it.

    Raises UserError for the first flag that does not fit; `unknown` makes the error for a flag of no setting.
    """
    root = FlagNode("")
    for flag, text in typed:
        node, path = root, "--"
        for part in flag.removeprefix("--").split("."):
            path += part
            node = node.inner.setdefault(part.replace("-", "_"), FlagNode(path))
            path += "."
        node.text, node.given = text, True
    return _one(cls, plain, root, unknown)


def all_flags(hint: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every flag that a field of this type can have, whatever the kinds, with the type hint of its leaf."""
    classes = variants(hint)
    if not classes:
        yield path, hint
    if has_kinds(hint):
        yield f"{path}.kind", str
    for cls in classes:
        for name, inner in field_types(cls).items():
            yield from all_flags(inner, _join(path, name))


def flags_in_use(hint: Any, plain: Any, path: str) -> Iterator[str]:
    """The flags of a value that is given as plain data."""
    if not variants(hint):
        yield path
        return
    if isinstance(plain, list):
        for index, item in enumerate(plain):
            yield from flags_in_use(hint, item, f"{path}.{index}")
        return
    if has_kinds(hint):
        yield f"{path}.kind"
    if plain is not None:
        for name, inner in field_types(class_of(hint, plain)).items():
            yield from flags_in_use(inner, plain.get(name), _join(path, name))


def has_kinds(hint: Any) -> bool:
    """Whether a field has a choice of kinds, None among them."""
    return len(variants(hint)) > 1 or (bool(variants(hint)) and is_optional(hint))


def _join(path: str, name: str) -> str:
    return f"{path}{'' if path in ('', '--') else '.'}{name}".replace("_", "-")


def _lay(hint: Any, plain: Any, typed: FlagNode, unknown: Unknown) -> Any:
    if not variants(hint):
        return _leaf(hint, typed, unknown)
    return _several(hint, plain, typed, unknown) if takes_tuple(hint) else _one(hint, plain, typed, unknown)


def _leaf(hint: Any, typed: FlagNode, unknown: Unknown) -> Any:
    if typed.inner:
        raise unknown(typed.deeper())
    if typed.text is None:
        raise UserError(f"{typed.path} needs a value: give {describe(hint)}")
    return read_leaf(hint, None if typed.text == "None" and is_optional(hint) else typed.text, typed.path)


def _several(hint: Any, plain: Any, typed: FlagNode, unknown: Unknown) -> Any:
    """A field that holds one value for all layers, or a list of values that take turns."""
    one = Union[variants(hint)]  # noqa: UP007  (made of a tuple)
    numbered = {int(name): node for name, node in typed.inner.items() if name.isdigit()}
    whole = dataclasses.replace(typed, inner={name: node for name, node in typed.inner.items() if not name.isdigit()})
    if whole.text is not None and "," in whole.text:
        plain = [_one(one, None, FlagNode(typed.path, kind, True), unknown) for kind in whole.text.split(",")]
        whole = dataclasses.replace(whole, text=None, given=False)
    if isinstance(plain, list) and whole.inner and "kind" not in whole.inner and not whole.given:
        name = next(iter(whole.inner)).replace("_", "-")
        raise UserError(
            f"{typed.path} has {len(plain)} values in this run: say which is meant, as {typed.path}.0.{name}"
        )
    if whole.given or whole.inner:
        plain = _one(one, None if isinstance(plain, list) else plain, whole, unknown)
    if not numbered:
        return plain
    if max(numbered) >= MOST_VALUES:
        raise UserError(
            f"{typed.path}.{max(numbered)}: values are counted from 0, and there are fewer than {MOST_VALUES}"
        )
    values = plain if isinstance(plain, list) else [plain]
    values = [values[index % len(values)] for index in range(max(len(values), 1 + max(numbered)))]
    for index, node in numbered.items():
        values[index] = _one(one, values[index], node, unknown)
    return values if len(values) > 1 else values[0]


def _one(hint: Any, plain: Any, typed: FlagNode, unknown: Unknown) -> Any:
    """A section, or one variant of several."""
    by_kind = {kind_of(cls): cls for cls in variants(hint)}
    before: dict[str, Any] | None = plain
    now = None if before is None else kind_of(class_of(hint, before))
    chosen = _kind(hint, by_kind, typed, unknown) if typed.given or (has_kinds(hint) and "kind" in typed.inner) else now
    if has_kinds(hint):
        typed = dataclasses.replace(typed, inner={key: node for key, node in typed.inner.items() if key != "kind"})
    if chosen is None and typed.inner:
        if typed.given or len(by_kind) > 1:
            raise UserError(
                f"{typed.deeper()}: this run has no such part: add {typed.path}.kind {' or '.join(by_kind)}"
            )
        chosen = next(iter(by_kind))
    if chosen is None:
        return None
    cls = by_kind[chosen]
    values = dict(before) if before is not None and chosen == now else defaults_of(cls)
    if len(by_kind) > 1:
        values["kind"] = chosen
    hints = field_types(cls)
    for name, node in typed.inner.items():
        if name not in hints:
            raise _misplaced(name, node, typed.path, chosen, by_kind, unknown)
        values[name] = _lay(hints[name], values.get(name), node, unknown)
    return values


def _kind(hint: Any, by_kind: Mapping[str, type], typed: FlagNode, unknown: Unknown) -> str | None:
    """The kind that was typed; None stands for no such part."""
    if not has_kinds(hint):
        example = next(iter(field_types(next(iter(by_kind.values()))))).replace("_", "-")
        raise UserError(f"{typed.path} has several settings: give one of them, as {typed.path}.{example}")
    node = typed.inner.get("kind", typed)
    if node is not typed and node.inner:
        raise unknown(node.first())
    accepted = [*by_kind, *(["None"] if is_optional(hint) else [])]
    if node.text is None:
        raise UserError(f"{node.path} needs a value: give {' or '.join(accepted)}")
    kind = node.text if node.text == "None" else node.text.strip().replace("-", "_")
    if kind not in accepted:
        raise UserError(f"{node.path} is {node.text!r}{nearest(kind, accepted)}")
    return None if kind == "None" else kind


def _misplaced(
    name: str, node: FlagNode, path: str, chosen: str, by_kind: Mapping[str, type], unknown: Unknown
) -> UserError:
    """For a setting that this kind does not have: another kind may."""
    owners = [kind for kind, cls in by_kind.items() if name in field_types(cls)]
    if not owners:
        return unknown(node.first())
    part = path.rpartition(".")[2].removeprefix("--")
    if part.isdigit():
        part = path.rpartition(".")[0].rpartition(".")[2]
    return UserError(
        f"{node.first()} belongs to {part} kind {' or '.join(owners)}; this run has {chosen}: "
        f"add {path}.kind {owners[0]}"
    )
