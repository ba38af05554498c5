"""What an encoder costs: computed, measured here, or declared by its authors; never mixed.

Importing this costs nothing heavy; torch comes in when something is measured.
"""

from .config import CostConfig
from .measure import measure_encoders
from .protocols import protocol_rows
from .rows import CostRow, Measured, Unmeasured, read_cost, write_cost
from .table import CostCell, CostLine, CostTable, cost_table

__all__ = [
    "CostCell",
    "CostConfig",
    "CostLine",
    "CostRow",
    "CostTable",
    "Measured",
    "Unmeasured",
    "cost_table",
    "measure_encoders",
    "protocol_rows",
    "read_cost",
    "write_cost",
]
