"""The ledger of models: base models and adapters, where they come from, which one `solve` uses.

`Ledger` (ledger.py) keeps the entries, `pull` and `add` bring models in, `active` changes and rolls
back what is used, `named` turns a name into a policy. The floor below `agent`, above the five rooms.
"""

from .entries import Adapter, Base, Entry, GateResult, Look, Provenance
from .ledger import Ledger

__all__ = ["Adapter", "Base", "Entry", "GateResult", "Ledger", "Look", "Provenance"]
