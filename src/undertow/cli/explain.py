"""`undertow explain`: the page of a check."""

from __future__ import annotations

import click


@click.command(name="explain")
@click.argument("check", metavar="ID")
def command(check: str) -> None:
    """
    Explain a check: why, what it cannot tell, what to do.

    ID is one that `undertow checks` lists, which is also the rule id in SARIF.
    """
    from undertow.report.check_page import check_page, explanation
    from undertow.report.text import written

    click.echo(written(explanation(check_page(check))), nl=False)
