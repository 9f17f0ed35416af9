"""What is stored: measurements and result documents, with their published schemas."""

from undertow.results.run_document import (
    RUN_SCHEMA,
    Arm,
    Comparison,
    Curves,
    Dataset,
    Matrix,
    Note,
    RunDocument,
    Series,
    Teacher,
)

__all__ = [
    "RUN_SCHEMA",
    "Arm",
    "Comparison",
    "Curves",
    "Dataset",
    "Matrix",
    "Note",
    "RunDocument",
    "Series",
    "Teacher",
]
