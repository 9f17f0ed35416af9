"""
The lab: teacher, carrier data, filter, student, evaluation; every control; resumable.

The way of an experiment, file by file:

    experiment          one TOML file: what is taught, carried, trained, compared
    cells               kinds of student that differ in their writers or plans, one by one or as a factorial
    experiment_inputs   what it names, looked at before any work
    design, jobs        which teachers, datasets and students it needs, each with its name and seed
    writers             teachers (and students that teach) are made, and write
    carrier_data        rows or preference pairs, filtered, with a ledger of the rest
    content_filters     what a content filter can tell, and which rows it leaves
    students            trained, probed, graded
    contrasts, grids    arms compared, runs as the unit; factorial: effects by regression over blocks
    conclusions         the sentences that the comparisons support
    doctor              traps that made published results wrong
    experiment_run      all of it in this order, in a run_directory; ends in the document

`run_attestation` signs what a run made.
"""
