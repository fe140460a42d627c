"""Settings as options of commands: a command has those that do something in it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import rich_click as click
from click.core import ParameterSource

from streams import settings


def setting_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option and an environment variable for each of these settings."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, default, help_, choices in reversed(settings.fields(names)):
            function = click.option(
                f"{_flag(name)}/{_flag(f'no_{name}')}" if isinstance(default, bool) else _flag(name),
                name,
                default=default,
                show_default=True,
                show_envvar=True,
                envvar=settings.ENV_PREFIX + name.upper(),
                type=click.Choice(choices) if choices else type(default),
                help=help_,
                callback=_checked if name == "lake" else None,
            )(function)
        return function

    return decorate


def _checked(_context: click.Context, _parameter: click.Parameter, lake: str) -> str:
    """Commands that read no other setting need a lake as well. Raises SettingsError."""
    settings.check_lake(lake)
    return lake


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def refuse(names: Collection[str], why: str) -> None:
    """Raises UsageError for options that were given without effect; variables are meant for other commands, too."""
    context = click.get_current_context()
    given = [name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        flags = [_flag(f"no_{name}" if context.params[name] is False else name) for name in given]
        raise click.UsageError(f"{', '.join(flags)} would have no effect: {why}")
