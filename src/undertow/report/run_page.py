"""The page of a run: what was done, what came of it, and everything that was measured, in every format."""

from __future__ import annotations

from collections.abc import Iterator

from undertow.report import run_decisions, run_tables
from undertow.report.figure import Lanes
from undertow.report.page import (
    HTML,
    MARKDOWN,
    Badge,
    Block,
    Columns,
    Command,
    Heading,
    Lead,
    Listing,
    Mono,
    Name,
    Page,
    Phrase,
    Records,
    Remark,
    SampleList,
    Section,
    Strong,
    Table,
    Text,
)
from undertow.report.plain_text import decimal, p_value, plain, unit_name
from undertow.report.probe_words import probes_section
from undertow.report.run_arms import (
    ArmSummary,
    Measure,
    arms_table,
    dot_figure,
    known_arms,
    measure_of,
    summaries,
)
from undertow.report.run_decisions import NOTHING_BESIDE, RunBeside
from undertow.report.run_figures import (
    heat_table,
    line_plot,
    matrix_table,
    shift_key,
    shift_lanes,
    shift_panels,
    shifts_table,
    whiskers,
)
from undertow.report.run_story import RUN_GLOSSARY, sample_columns, story
from undertow.report.sections import (
    cost,
    cost_facts,
    limits_section,
    reproduction,
    settings,
    words_section,
)
from undertow.results.run_document import Comparison, Curves, Dataset, Matrix, Note, RunDocument

_ARMS_SIDE_BY_SIDE = 8
"""With more arms than this, a matrix of them makes the point better."""

_ARMS_BELOW_EACH_OTHER = 16
"""With more than this, so do curves."""

_MANY_RUNS, _WIDE = 40, 8
_POINTS = 12
"""Most points of a curve that a terminal shows."""


def run_page(document: RunDocument, beside: RunBeside = NOTHING_BESIDE) -> Page:
    """The page of a run and of what was said of its rows; arms lead it, else curves with intervals, a matrix, or curves."""
    figure = _headline(document)
    tested = any(line.low for plotted in document.curves[:1] for line in plotted.series)
    matrix = () if figure or tested else document.matrices[:1]
    curves = () if figure or matrix else document.curves[:1]
    rest = document.matrices[len(matrix) :], document.curves[len(curves) :]
    return Page(
        document=document,
        id="run",
        verb="run",
        subject=document.experiment,
        window=document.title,
        title=document.title,
        badge=None,
        conclusion=run_decisions.conclusion_beside(document, beside),
        lead=_lead(document, figure, matrix, curves),
        sections=tuple(_sections(document, beside, *rest)),
        brief=tuple(_brief(document, beside, figure)),
    )


def _arms(document: RunDocument) -> tuple[tuple[ArmSummary, ...], Measure] | None:
    """The arms that lead the page and the number by which they are compared."""
    measure = measure_of(document)
    arms = summaries(document, measure) if measure else ()
    crowded = (len(arms) > _ARMS_SIDE_BY_SIDE and bool(document.matrices)) or (
        len(arms) > _ARMS_BELOW_EACH_OTHER and bool(document.curves)
    )
    return (arms, measure) if measure and arms and not crowded else None


def _headline(document: RunDocument) -> Lanes | None:
    if led := _arms(document):
        numbers = arms_table(*led).shown(fold="The numbers of this figure")
        return dot_figure(*led, document.chance, numbers)
    return None


def _lead(
    document: RunDocument,
    figure: Lanes | None,
    matrices: tuple[Matrix, ...],
    curves: tuple[Curves, ...],
) -> Lead:
    figures = [*([figure] if figure else []), *map(heat_table, matrices), *map(_plot, curves)]
    done = (Heading("What was done"), Text(_story(document))) if story(document) else ()
    samples = sample_columns(document)
    below: tuple[Block, ...] = ()
    if samples:
        sheets = tuple(SampleList(one.title, one.completions) for one in samples)
        asked = "One line is one whole answer. The first was asked for so: "
        below = (Columns(sheets, "samples"), Text((asked, Name(f"“{samples[0].prompt}”")), "asked"))
    return Lead(
        figure=figures[0] if figures else None,
        beside=(Heading("The question"), Text(document.question), *done),
        wide=not figures or any(len(matrix.columns) > 3 for matrix in matrices),
        below=below,
    )


def _story(document: RunDocument) -> Phrase:
    """The sentences of the story, with blanks between them."""
    return tuple(part for sentence in story(document) for part in (" ", *sentence))[1:]


def _sections(
    document: RunDocument,
    beside: RunBeside,
    matrices: tuple[Matrix, ...],
    curves: tuple[Curves, ...],
) -> Iterator[Block]:
    yield Text(document.question, only=MARKDOWN)
    if led := _arms(document):
        yield arms_table(*led).shown(caption=led[1].name, only=MARKDOWN)
    if story(document):
        yield Text(_story(document), only=MARKDOWN)
    for one in sample_columns(document):
        yield SampleList(one.title, one.completions, only=MARKDOWN)
    yield from run_decisions.judged_sections(document, beside)
    if document.comparisons:
        about = _about_comparisons(document)
        blocks = tuple(_comparisons(document))
        yield Section("comparisons", "Comparisons", blocks, about=about, nav="Comparisons")
    yield from (_matrix_section(matrix) for matrix in document.matrices)
    yield from (_curves_section(one) for one in document.curves)
    if document.arms:
        about = (
            "One row is one trained student, or one untrained base. Losses are in nats a token, margins in "
            "logits."
        )
        yield Section("runs", "Every run", tuple(_runs(document)), about=about, nav="Every run")
    yield from probes_section(document.probes)
    if shift_panels(document):
        shifts = tuple(_shifts(document))
        moved = "Which answer moved"
        yield Section("answers", moved, shifts, nav=moved, titled=HTML)
    if document.teachers:
        about = run_tables.about_teachers(document.teachers)
        teachers = run_tables.teachers_table(document.teachers)
        yield Section("teachers", "Teachers", (teachers,), about=about, nav="Teachers")
    if document.datasets:
        about = "What the teachers wrote, what the filter removed and why, and some of both."
        datasets = tuple(_datasets(document))
        yield Section("datasets", "Datasets", datasets, about=about, nav="Datasets")
    for table in run_tables.score_tables(document):
        yield Section("", table.name, (table,))
    if matrices:
        heats = tuple(map(heat_table, matrices))
        yield Section("matrices", "Matrices", heats, nav="Matrices", only=HTML)
    if curves:
        plots = tuple(map(_plot, curves))
        yield Section("curves", "Curves", plots, nav="Curves", only=HTML)
    if document.notes:
        about = (
            "Traps that this run could have fallen into, as far as they can be seen from inside."
        )
        notes = tuple(_notes(document.notes))
        yield Section("doctor", "The doctor’s notes", notes, about=about, nav="Doctor")
    if document.limits:
        yield limits_section(document.limits)
    config = settings("configuration", document.config, "The resolved configuration")
    yield reproduction(document, "Run", _facts(document), inputs=document.inputs, more=(config,))
    yield words_section(RUN_GLOSSARY)


def _comparisons(document: RunDocument) -> Iterator[Block]:
    drawings = whiskers(document.comparisons)
    yield Records(
        columns=(
            "Question",
            "Estimate",
            "Interval",
            "Runs",
            "p",
            "p by Holm",
            "Least possible p",
            "Would have seen",
        ),
        rows=tuple(
            (
                (
                    Strong(row.question or row.name),
                    *((Remark(Mono(row.name)),) if row.question else ()),
                ),
                (Strong(run_tables.estimate(row)), Remark(unit_name(row.unit))),
                (drawing, Remark(run_tables.limits(row))),
                row.n,
                p_value(row.p),
                p_value(row.adjusted),
                p_value(row.smallest_p),
                run_tables.detectable(row),
            )
            for row, drawing in zip(document.comparisons, drawings, strict=True)
        ),
        numeric=frozenset({1, 4, 5, 6, 7}),
        style="comparisons",
        notes=tuple((one.claim, Remark(one.test)) for one in document.comparisons),
        only=HTML,
    )
    yield Text(_about_comparisons(document), only=MARKDOWN)
    yield run_tables.comparisons_table(document.comparisons).shown(only=MARKDOWN)


def _matrix_section(matrix: Matrix) -> Section:
    caption = f"{matrix.caption} Unit: {unit_name(matrix.unit)}."
    table = matrix_table(matrix).shown(caption=caption)
    return Section("", matrix.name, (table,), only=MARKDOWN)


def _curves_section(curves: Curves) -> Section:
    caption = f"{curves.caption} {curves.y_label}."
    table = run_tables.curves_table(curves).shown(caption=caption)
    return Section("", curves.name, (table,), only=MARKDOWN)


def _plot(curves: Curves) -> Block:
    return line_plot(curves, run_tables.curves_table(curves).shown(fold="The numbers"))


def _runs(document: RunDocument) -> Iterator[Block]:
    if names := known_arms(document):
        items = tuple((Mono(name), f" {told}") for name, told in names.items())
        yield Listing(items, "arms", only=HTML)
    count = len(document.arms)
    fold = f"All {count} runs" if count > _MANY_RUNS else ""
    yield run_tables.runs_table(document.arms).shown(fold=fold)
    made = "What each run was made from"
    yield run_tables.origins_table(document.arms).shown(fold=made, caption=made)


def _shifts(document: RunDocument) -> Iterator[Block]:
    panels = shift_panels(document)
    yield Text(shift_key(), "about", only=HTML)
    yield Columns(shift_lanes(panels), "panels", only=HTML)
    for panel in panels:
        caption = f"Which answer moved: {panel.title.lower()}"
        yield shifts_table(panel).shown(caption=caption, only=MARKDOWN)


def _datasets(document: RunDocument) -> Iterator[Block]:
    yield run_tables.datasets_table(document.datasets)
    for dataset in document.datasets:
        if dataset.samples or dataset.removed_samples:
            yield _rows(dataset)


def _rows(dataset: Dataset) -> Table:
    kept = [(Mono(asked), Mono(answer), "kept") for asked, answer in dataset.samples]
    removed = [
        (Mono(asked), Mono(answer, struck=True), f"removed: {reason}")
        for asked, answer, reason in dataset.removed_samples
    ]
    name = f"Rows of {dataset.name}"
    columns = ("asked", "answered", "filter")
    return Table(name, columns, (*kept, *removed), caption=name, fold=name, style="texts")


def _notes(notes: tuple[Note, ...]) -> Iterator[Listing]:
    softer = {"info": "note"}
    drawn = tuple(_note(note, softer.get(note.level, note.level)) for note in notes)
    yield Listing(drawn, "notes", only=HTML)
    yield Listing(tuple(_note(note, note.level) for note in notes), only=MARKDOWN)


def _note(note: Note, level: str) -> Phrase:
    subject = f"{note.subject}: " if note.subject else ""
    return (Badge(level, note.level), " ", f"{subject}{note.message} (", Mono(note.id), ")")


def _facts(document: RunDocument) -> dict[str, str]:
    """What identifies the run and what it cost."""
    return {
        "experiment": document.experiment,
        "seed": str(document.seed),
        "configuration, SHA-256": document.config_digest,
        "git revision": plain(document.git_revision),
        **cost_facts(document),
    }


def _brief(document: RunDocument, beside: RunBeside, figure: Lanes | None) -> Iterator[Block]:
    if figure:
        yield Heading(figure.caption)
        yield figure
    yield from run_decisions.judged_brief(document, beside)
    sentences: tuple[Phrase, ...] = story(document)
    yield Heading("What was done" if sentences else "The question")
    for sentence in sentences or (document.question,):
        yield Text(sentence, indent=2)
    for column in sample_columns(document):
        yield SampleList(column.title, column.completions)
    yield from _brief_measured(document)
    for table in run_tables.score_tables(document):
        yield Heading(table.name)
        yield table
    if document.notes:
        yield Heading("The doctor’s notes")
    for note in document.notes:
        subject = f"{note.subject}: " if note.subject else ""
        yield Text(f"{note.level}: {subject}{note.message} ({note.id})", indent=2)
    if document.limits:
        yield Heading("What this cannot show")
        yield Listing(document.limits, "limits")
    yield Heading("How to reproduce it")
    yield Command(document.command)
    yield Text(cost(document, document.seed), indent=2)


def _about_comparisons(document: RunDocument) -> str:
    common = bool(document.config.get("common_streams"))
    return run_tables.about_comparisons(document.comparisons, common_streams=common)


def _brief_measured(document: RunDocument) -> Iterator[Block]:
    if document.comparisons:
        yield Heading("Comparisons")
        yield Text(_about_comparisons(document), "about", indent=2)
    for comparison in document.comparisons:
        yield from _brief_comparison(comparison)
    for matrix in document.matrices:
        yield Heading(f"{matrix.caption} Unit: {unit_name(matrix.unit)}.")
        yield _brief_matrix(matrix)
    for curves in document.curves:
        yield Heading(f"{curves.caption} {curves.y_label} by {curves.x_label}")
        table = run_tables.curves_table(curves)
        stride = -(-len(table.rows) // _POINTS) or 1
        yield table.shown(rows=table.rows[::stride])
    if document.teachers:
        yield Heading("Teachers")
        teachers = run_tables.teachers_table(document.teachers)
        yield teachers.without("base", "seed", "steps", "time")
    if document.datasets:
        yield Heading("Datasets")
        datasets = run_tables.datasets_table(document.datasets)
        yield datasets.without("teacher", "digest", "time")


def _brief_comparison(comparison: Comparison) -> Iterator[Block]:
    unit = unit_name(comparison.unit)
    test = f"{comparison.test}, {comparison.n}: p = {p_value(comparison.p)}".replace("= <", "<")
    details = [f"least possible p {p_value(comparison.smallest_p)}"]
    if comparison.adjusted is not None:
        details.insert(0, f"by Holm {p_value(comparison.adjusted)}")
    if comparison.detectable is not None:
        details.append(f"would have seen {run_tables.detectable(comparison)} {unit}")
    yield Text(comparison.question or comparison.name, "strong", indent=2)
    yield Text(
        f"{run_tables.estimate(comparison)} {unit}, {run_tables.limits(comparison)}", indent=4
    )
    yield Text(f"{test} ({'; '.join(details)})", indent=4)
    if comparison.claim:
        yield Text(comparison.claim, indent=4)


def _brief_matrix(matrix: Matrix) -> Table:
    """The matrix with its intervals; a wide one with one decimal and shortened names."""
    whole = matrix_table(matrix)
    if len(matrix.columns) <= _WIDE:
        return whole
    rows = tuple(
        (name, *(decimal(value, 1) for value in values))
        for name, values in zip(matrix.rows, matrix.values, strict=False)
    )
    names = (whole.columns[0], *(name[:4] for name in matrix.columns))
    return whole.shown(columns=names, rows=rows, tight=True)
