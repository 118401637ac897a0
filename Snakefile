# modelferry: the DAG at a glance. What to export stands in config.yaml, all work is done by `modelferry …` commands.
#
# (demo events → demo training →) checkpoint ┐
#                                            ├→ export ─→ validate ─┐
# architecture × format → template ──────────┘        └→ benchmark ─┴→ report → gate
#                           └→ certificate ─→ validate

from snakemake.utils import min_version

from modelferry.plan import start

min_version("9.27")

if not workflow.overwrite_configfiles:
    start.refuse_unreadable("config.yaml")

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/demo.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/cpp.smk"
include: "workflow/rules/validate.smk"
include: "workflow/rules/benchmark.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/chunks.smk"


rule all:
    default_target: True
    input:
        TARGETS,


onerror:
    shell("modelferry report")
