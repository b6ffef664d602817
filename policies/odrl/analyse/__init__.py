"""What a policy means over all possible facts: parts that never or always hold, conflicts, and what a change changes. Pure.

    findings(policy)          # each with a path, and a witness where there is one
    compared(before, after)   # stricter, looser, equal, incomparable, with a witness for each direction

The reasoning is exact over known facts: every operand falls into finitely many cells that its constraints cannot tell apart
(`cells`), so a policy is a formula over cells (`worlds`), and a formula has a solution or has none (`formula`). It answers
"undecided" rather than guess where a limit is reached. Duties are taken as fulfilled; phases do not matter.
"""

from policies.odrl.analyse.compare import Comparison, compared
from policies.odrl.analyse.findings import Finding, findings
from policies.odrl.analyse.worlds import Witness

__all__ = ["Comparison", "Finding", "Witness", "compared", "findings"]
