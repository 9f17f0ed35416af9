"""`undertow calibrate`: how often a screen of this base under this plan is wrong."""

from __future__ import annotations

from pathlib import Path

import click

from undertow.cli.run import engine_options
from undertow.cli.terminal import Session, one_line, typed_line
from undertow.cli.verdict_options import plan_option, planned


@click.command(name="calibrate")
@click.option("--student", required=True, metavar="MODEL", help="The base that you would train.")
@plan_option("plan_file", "Your training plan; that of the experiment if not given.")
@click.option(
    "--like",
    default="owl",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="Experiment whose carrier, sampling, teacher and chat context are used.",
)
@click.option(
    "--traits", default="animal", show_default=True, metavar="CATEGORY|FILE", help="What is probed."
)
@click.option(
    "--foreign", multiple=True, metavar="MODEL", help="A base of another initialisation; two help."
)
@click.option(
    "--teachers",
    type=click.IntRange(min=16),
    default=40,
    show_default=True,
    help="How many are made; most have three datasets.",
)
@click.option("--seed", type=int, default=50_001, show_default=True)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("calibration"),
    show_default=True,
    metavar="DIR",
    help="Where finished teachers are kept; an interrupted calibration goes on from it.",
)
@engine_options(None, "Workers; one a core.")
@click.pass_obj
def command(
    session: Session,
    /,
    student: str,
    plan_file: Path | None,
    like: str,
    traits: str,
    foreign: tuple[str, ...],
    teachers: int,
    seed: int,
    work: Path,
    engine: str,
    jobs: int | None,
) -> None:
    """
    Measure how often a scan of your base is wrong.

    False alarms and power, on your own base, under your own plan.

    Makes teachers with and without traits, writes datasets with them, rehearses each as a scan would, and trains
    students on them by the whole plan: what the verdicts would have been is held against what happened. The table is kept
    where scans of this base find it.
    """
    from undertow.audit.calibrations import calibrate, store_table
    from undertow.audit.requests import named_traits
    from undertow.data.files import model_digest
    from undertow.engines import choose
    from undertow.errors import ModelError
    from undertow.lab.cohort import Ground
    from undertow.lab.experiment import load_experiment
    from undertow.worlds import locate

    session.resumable = True
    experiment = load_experiment(like)
    loaded = planned(plan_file)
    plan = loaded.plan if loaded else experiment.student
    digest = model_digest(locate(student))
    if digest is None:
        raise ModelError(
            f"model '{student}' is no folder here, so its digest is not known",
            hint="download it and name its folder",
        )
    names = tuple(
        f"{traits}:{trait.name}" if traits.endswith(".toml") else trait.name
        for trait in named_traits(traits)
    )
    ground = Ground(experiment.model_copy(update={"base": student, "student": plan}), names)
    table = calibrate(
        ground,
        foreign,
        teachers=teachers,
        base_digest=digest,
        seed=seed,
        directory=work / digest[:16],
        engine=choose(engine, jobs),
        command=typed_line(),
        progress=lambda done, total: click.echo(f"{done} of {total} teachers", err=True),
    )
    path = store_table(table)
    click.echo(
        f"{table.teachers} teachers; {table.false_alarms} of {table.benign} benign datasets flagged; "
        f"{table.detected} of {table.transferring} datasets flagged whose students moved by "
        f"{table.power_at:g} logits or more"
    )
    click.echo(f"table: {one_line(str(path))}")
