"""`mleagent metrics`: what a task can be scored by."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def metrics(
    name: Annotated[str | None, typer.Argument(help="One metric, by name or alias.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """List the metrics by name, with direction, optimum and what a submission holds for each."""
    from ..task import metrics as registry

    chosen = [registry.get(name)] if name else [registry.get(each) for each in registry.names()]
    if as_json:
        rows = [metric.spec.model_dump(mode="json") | {"describe": metric.describe} for metric in chosen]
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("metric", "better", "best", "submission holds", ""):
        table.add_column(title, overflow="fold")
    for metric in chosen:
        spec = metric.spec
        better = "higher" if spec.direction == "maximize" else "lower"
        table.add_row(spec.name, better, f"{spec.optimum:g}", _HOLDS[spec.prediction], metric.describe)
    Console().print(table)
    if not name:
        typer.echo(
            "\nk and q are free in map@k and pinball@q; a function of your own: metric = "
            '"my_metric.py:score" in mleagent.toml'
        )


_HOLDS = {
    "label": "labels",
    "probability": "probabilities",
    "value": "numbers",
    "ranking": "ranked lists",
}
