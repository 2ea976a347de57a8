"""The command group. A command loads when it is called, so that ``--help`` imports click and nothing else."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NoReturn

import click

from ..version import __version__

__all__ = ["COMMANDS", "App", "app"]

COMMANDS = {
    "run": ("run:run", "Run a pipeline over records; without arguments: a demo."),
    "generate": ("generate:generate", "Make training data of a taxonomy: the whole job."),
    "check": ("check:check", "List every mistake before a run; look whether an endpoint can be used."),
    "plan": ("plan:plan", "Show the stages that a pipeline compiles to."),
    "mix": ("mix:mix", "Mix the datasets of a recipe into one training file."),
    "mmlu": ("mmlu:mmlu", "Make a benchmark for lm-eval of generated multiple-choice questions."),
    "report": ("report:report", "Show what a run has done, how it ended, and how to go on."),
    "pipelines": ("pipelines:pipelines", "List, show and copy the shipped pipelines; print the JSON schema."),
    "taxonomy": ("taxonomy:taxonomy", "Check a taxonomy, list what changed, write its samples."),
    "bench": ("bench:bench", "Measure a server: what it gives, at which concurrency; compare measurements."),
    "simulate": ("simulate:simulate", "Serve a simulated teacher."),
}
"""Command name to where it lives in this folder, and what the list of commands says about it."""

_ASKING = ("run", "generate", "bench")  # a teacher, as soon as there are no mistakes


class App(click.Group):
    """Loads a command when it is called, and turns errors into words and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command, and no other."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, naming the nearest command when there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            _unknown_command(ctx, args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table: nothing is imported for it."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors that are meant for people end here, or leave with harmless words."""
        from ..errors import SdgStreamError

        try:
            return super().invoke(ctx)
        except (SdgStreamError, KeyboardInterrupt, BrokenPipeError) as error:
            from .errors import explain

            code = explain(error, asking=ctx.invoked_subcommand in _ASKING)
            raise click.exceptions.Exit(code) from None
        except click.ClickException as error:  # it may repeat what a file or a variable says
            from ..observe.text import clean

            error.message = clean(error.message)  # type: ignore[misc]  # final, until it is shown
            raise


def _unknown_command(ctx: click.Context, name: str) -> NoReturn:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"commands: {', '.join(COMMANDS)}"
    raise click.UsageError(f"no command {name!r}; {hint}", ctx)


@click.command(
    cls=App,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try `sdg-stream run` for a demo that needs no teacher.",
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="sdg-stream")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Synthetic data generation as a stream: YAML pipelines, one busy teacher, rows on disk meanwhile."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
