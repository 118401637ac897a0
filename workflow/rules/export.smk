# Each architecture is compiled once per format (template), and then filled with each model's weights (export).

from modelferry.formats import load_format

for format in sorted({spec.format for spec in PLAN.templates.values()}):

    rule:
        name:
            f"template_{load_format(format).name}"
        output:
            load_format(format).named(f"{paths.TEMPLATES}/{{architecture}}/{{variant}}/template"),
            f"{paths.TEMPLATES}/{{architecture}}/{{variant}}/template.json",
        log:
            "logs/template/{architecture}/{variant}.log",
        wildcard_constraints:
            variant=rf"{load_format(format).name}-[0-9a-f]+",
        conda:
            "../../envs/modelferry.yaml"
        params:
            because=lambda wildcards: reruns.template(PLAN.templates[f"{wildcards.architecture}/{wildcards.variant}"]),
        shell:
            "modelferry template --log {log:q} {wildcards.architecture:q}/{wildcards.variant:q}"

    rule:
        name:
            f"export_{load_format(format).name}"
        input:
            lambda wildcards: RUNNABLE[wildcards.model].export_inputs(wildcards.export),
        output:
            load_format(format).named(f"{paths.RESULTS}/{{model}}/{{export}}/model"),
            f"{paths.RESULTS}/{{model}}/{{export}}/manifest.json",
        log:
            "logs/export/{model}/{export}.log",
        wildcard_constraints:
            export=PLAN.export_names(format),
        conda:
            "../../envs/modelferry.yaml"
        params:
            because=lambda wildcards: reruns.export(RUNNABLE[wildcards.model], wildcards.export),
        shell:
            "modelferry export --log {log:q} --model {wildcards.model:q} --format {wildcards.export:q}"
