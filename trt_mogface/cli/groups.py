"""Groups of options: frozen dataclasses of annotated fields, written once and taken by several verbs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, get_annotations, signature
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def with_groups(verb: Callable[P, T]) -> Callable[P, T]:
    """Show the command line one option per field of each group among a verb's parameters.

    Typer sees a flat function. The verb receives its groups whole, and the type checker sees it as written.
    """
    flat: list[Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in signature(verb, eval_str=True).parameters.values():
        group = parameter.annotation
        if is_dataclass(group):
            groups[parameter.name] = group
            annotations = get_annotations(group, eval_str=True)  # type: ignore[arg-type]
            flat += [_parameter(field, annotations[field.name]) for field in fields(group)]
        else:
            flat.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(verb)
    def flattened(**given: Any) -> Any:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        return verb(**given)  # type: ignore[call-arg]

    flattened.__signature__ = Signature(flat)  # type: ignore[attr-defined]
    flattened.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return flattened  # type: ignore[return-value]


def _parameter(field: Field[Any], annotation: object) -> Parameter:
    default = Parameter.empty if field.default is MISSING else field.default
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
