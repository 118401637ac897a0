# Each architecture is compiled once per format (template), and then filled with each model's weights (export).

from modelferry.formats import load_format

for format in sorted({spec.format for spec in PLAN.templates.values()}):

    rule:
        name:
            f"template_{load_format(format).name}"
        output:
            f"{paths.TEMPLATES}/{{architecture}}/{{variant}}/template.done.json",
        log:
            "logs/template/{architecture}/{variant}.log",
        wildcard_constraints:
            variant=rf"{load_format(format).name}-[0-9a-f]+",
        conda:
            "../../envs/modelferry.yaml"
        params:
            because=lambda wildcards: reruns.template(PLAN.templates[f"{wildcards.architecture}/{wildcards.variant}"]),
        shell:
            "modelferry template --log {log:q} --exit-zero {wildcards.architecture:q}/{wildcards.variant:q}"


rule export:
    input:
        lambda wildcards: RUNNABLE[wildcards.model].export_inputs(),
    output:
        f"{paths.RESULTS}/{{model}}/export.done.json",
    log:
        "logs/export/{model}.log",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=lambda wildcards: reruns.export(RUNNABLE[wildcards.model]),
    shell:
        "modelferry export --log {log:q} --exit-zero --model {wildcards.model:q}"
