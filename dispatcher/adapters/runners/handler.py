"""A handler's signature: what it takes and what it gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, Final

from msgspec import Struct

from dispatcher.adapters.runners.context import JobContext
from dispatcher.adapters.runners.decoding import Decode, decoder
from dispatcher.adapters.runners.schemas import input_schema, result_schema
from dispatcher.core.errors import SettingsError

_FORMS: Final = "(job: JobContext, input: T), (job: JobContext), (input: T) or ()"
_READABLE: Final = (
    "Use a dataclass, a TypedDict, a msgspec Struct, a pydantic model, dict, list, a scalar, or a "
    "union that JSON can tell apart (of several Structs: tagged ones)"
)
_POSITIONAL: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_PAIR: Final = 2


class Handler(Struct, frozen=True, kw_only=True):
    """A function that does jobs, as read from its signature.

    `call` takes the context and the input, and hands the function what it asks for. `decode` is
    None for a function without an input. The schemas are JSON Schema as JSON, None for any JSON.
    """

    call: Callable[[JobContext, Any], Any]
    is_async: bool
    description: str
    decode: Decode | None
    schema: bytes | None
    result_schema: bytes | None


def read_handler(function: Any, where: str) -> Handler:
    """Read `function`; `where` says in errors which handler it is.

    Raises:
        SettingsError: it can't be a handler, with what to change.
    """
    if inspect.isclass(function) or not callable(function):
        raise SettingsError(f"{where} must be a function, not {function!r}.")
    if _is(inspect.isgeneratorfunction, function) or _is(inspect.isasyncgenfunction, function):
        raise SettingsError(
            f"{where} has a `yield`. Return the result; intermediate ones go to `job.output(…)`."
        )
    signature = _signature(function, where)
    takes_context, taken = _taken(signature, where)
    result = signature.return_annotation
    return Handler(
        call=_caller(function, takes_context=takes_context, takes_input=taken is not None),
        is_async=_is(inspect.iscoroutinefunction, function),
        description=_first_paragraph(function),
        decode=None if taken is None else _described(decoder, taken.annotation, where),
        schema=None if taken is None else _described(input_schema, taken.annotation, where),
        result_schema=_described_result(result, where),
    )


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    """Whether a function, or an object that can be called, is of that kind."""
    return kind(function) or (
        not inspect.isroutine(function) and kind(getattr(function, "__call__", None))  # noqa: B004  # not whether it can be called, but the method that is
    )


def _signature(function: Callable[..., Any], where: str) -> Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError as error:
        raise SettingsError(
            f"{where}: the annotation {error.name!r} is not defined where the handler is. Types "
            "are read at run time: import them, and not under TYPE_CHECKING; define them at the "
            "top of the module, before the handler."
        ) from error
    except Exception as error:  # an annotation is code: it can fail in any way
        raise SettingsError(
            f"{where}: its signature can't be read ({type(error).__name__}: {error}). Write it as "
            f"one of {_FORMS}."
        ) from error


def _taken(signature: Signature, where: str) -> tuple[bool, Parameter | None]:
    """Whether it takes the context, and the parameter that takes the input, if any.

    The context is the first parameter if that is annotated as `JobContext`, or if there are two and
    it has no annotation. Parameters with defaults beyond those are left alone.
    """
    parameters = list(signature.parameters.values())
    for each in parameters:
        if each.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD} or (
            each.kind is Parameter.KEYWORD_ONLY and each.default is Parameter.empty
        ):
            raise SettingsError(f"{where} can't take `{each}`. Write it as one of {_FORMS}.")
    given = [each for each in parameters if each.kind in _POSITIONAL]
    needed = [each for each in given if each.default is Parameter.empty]
    if len(needed) > _PAIR:
        raise SettingsError(
            f"{where} takes {len(needed)} arguments. Write it as one of {_FORMS}; what else it "
            "needs belongs into the input, or into the module."
        )
    if any(_is_context(each) for each in given[1:]):
        raise SettingsError(f"{where}: the JobContext comes first. Write it as one of {_FORMS}.")
    if not given:
        return False, None
    first = given[0]
    if _is_context(first):
        return True, given[1] if len(given) > 1 else None
    if len(needed) == _PAIR:
        if first.annotation is not Parameter.empty:
            raise SettingsError(
                f"{where}: the first of two parameters is the job, so annotate `{first.name}` as "
                f"JobContext. A handler takes one input: {_FORMS}."
            )
        return True, given[1]
    if first.annotation is Parameter.empty:
        raise SettingsError(
            f"{where}: is `{first.name}` the job or the input? Annotate it: as JobContext, or with "
            "the input's type (`Any` for any JSON)."
        )
    return False, first


def _is_context(parameter: Parameter) -> bool:
    annotation = parameter.annotation
    return isinstance(annotation, type) and issubclass(annotation, JobContext)


def _caller(
    function: Callable[..., Any], *, takes_context: bool, takes_input: bool
) -> Callable[[JobContext, Any], Any]:
    if takes_context and takes_input:
        return function
    if takes_context:
        return lambda job, _: function(job)
    if takes_input:
        return lambda _, given: function(given)
    return lambda _, __: function()


def _described(make: Callable[[Any], Any], annotation: Any, where: str) -> Any:
    try:
        return make(annotation)
    except Exception as error:  # a type may bring code of its own
        raise SettingsError(
            f"{where}: no input can be read as {_name(annotation)} ({_reason(error)}). {_READABLE}."
        ) from error


def _described_result(annotation: Any, where: str) -> bytes | None:
    try:
        return result_schema(annotation)
    except Exception as error:  # as above
        raise SettingsError(
            f"{where}: it can't be told how its result, {_name(annotation)}, looks as JSON "
            f"({_reason(error)}). Return a dataclass, a TypedDict, a msgspec Struct, a pydantic "
            "model, dict, list or a scalar; or annotate the result as `Any` to leave it open."
        ) from error


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _reason(error: Exception) -> str:
    """The last line of what msgspec says: the ones before it tell of its own options."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _first_paragraph(function: Any) -> str:
    if not inspect.isroutine(function):
        return ""  # the docstring of its class says something else
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
