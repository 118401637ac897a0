# The plan that all rules read, and the one run at a time that may act on it.

import re

from modelferry.core import paths
from modelferry.plan import reruns
from modelferry.plan.stages import VALIDATE

PLAN, TARGETS = start.begin(workflow, config)
RUNNABLE = PLAN.runnable


wildcard_constraints:
    model=rf"(?:{'|'.join(map(re.escape, PLAN.config.campaigns))})/.+",
