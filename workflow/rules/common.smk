# The plan that all rules read, and the one run at a time that may act on it.

import re

from modelferry import paths, workflow_start
from modelferry.plan import reruns

PLAN = workflow_start.begin(workflow, config)
RUNNABLE = PLAN.runnable


wildcard_constraints:
    model=rf"(?:{'|'.join(map(re.escape, PLAN.config.campaigns))})/.+",
    export=r"[^/]+",
    runtime=r"[^/.]+",
