from undertow.integrations.notebook_results import DiffResult as DiffResult
from undertow.integrations.notebook_results import GateResult as GateResult
from undertow.integrations.notebook_results import ScanResult as ScanResult
from undertow.integrations.notebook_results import diff as diff
from undertow.integrations.notebook_results import gate as gate
from undertow.integrations.notebook_results import scan as scan

__version__: str
__all__ = ["DiffResult", "GateResult", "ScanResult", "diff", "gate", "scan"]
