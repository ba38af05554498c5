"""Tasks of datasets that carry the international diabetic retinopathy scale (0 to 4)."""

from __future__ import annotations

from benchbench.api import Task

GRADES = ("no DR", "mild", "moderate", "severe", "proliferative")
DME_RISKS = ("no exudate", "exudate farther than one disc diameter", "exudate within one disc diameter")

GRADE_NAMES = {
    # Spellings of the five grades in folder names and tables of the copies that circulate.
    **dict.fromkeys(("0", "No_DR", "No DR", "anodr", "nodr", "normal"), 0),
    **dict.fromkeys(("1", "Mild", "bmilddr", "milddr"), 1),
    **dict.fromkeys(("2", "Moderate", "cmoderatedr", "moderatedr"), 2),
    **dict.fromkeys(("3", "Severe", "dseveredr", "severedr"), 3),
    **dict.fromkeys(
        (
            "4",
            "Proliferate_DR",
            "Proliferative_DR",
            "Proliferative DR",
            "eproliferativedr",
            "eproDR",
            "prodr",
        ),
        4,
    ),
}


def dr_tasks(provenance: str, column: str = "grade") -> tuple[Task, ...]:
    """The ordinal grade and the binary tasks of the literature.

    Among the binary ones are the seven outputs of the RETFound-Green paper: each of the five grades against
    all others, any DR (grade > 0), and no or mild DR against the rest (``referable``, grade > 1).
    """

    def binary(name: str, title: str, classes: tuple[str, str], positive: tuple[int, ...]) -> Task:
        return Task(name, title, "binary", classes, column, positive=positive, provenance=provenance)

    only = tuple(
        binary(
            f"grade_{g}", f"DR grade {g} ({GRADES[g]}) against all others", ("other grade", GRADES[g]), (g,)
        )
        for g in range(4)
    )
    return (
        Task("grade", "Diabetic retinopathy grade", "ordinal", GRADES, column, provenance=provenance),
        binary("any_dr", "Any diabetic retinopathy", ("no DR", "any DR"), (1, 2, 3, 4)),
        binary("referable", "Referable DR (moderate or worse)", ("no or mild DR", "referable DR"), (2, 3, 4)),
        binary(
            "severe_or_worse", "Severe or proliferative DR", ("at most moderate", "severe or PDR"), (3, 4)
        ),
        binary("pdr", "Proliferative DR against all others", ("no PDR", "PDR"), (4,)),
        *only,
    )
