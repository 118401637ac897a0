# Each architecture is compiled once per format (template); each model's weights are then poured in (export).

from modelferry.formats import load_format

for format in sorted({spec.format for spec in PLAN.templates.values()}):

    rule:
        name:
            f"template_{format}"
        output:
            f"{paths.TEMPLATES}/{{architecture}}/{{variant}}/template.{load_format(format).extension}",
            f"{paths.TEMPLATES}/{{architecture}}/{{variant}}/template.json",
        log:
            "logs/template/{architecture}/{variant}.log",
        wildcard_constraints:
            variant=rf"{format}-[0-9a-f]+",
        conda:
            "../../envs/modelferry.yaml"
        params:
            because=lambda wildcards: reruns.template(PLAN.templates[f"{wildcards.architecture}/{wildcards.variant}"]),
        shell:
            "modelferry template --log {log} {wildcards.architecture}/{wildcards.variant}"

    rule:
        name:
            f"export_{format}"
        input:
            lambda wildcards: RUNNABLE[wildcards.model].export_inputs(wildcards.export),
        output:
            f"{paths.RESULTS}/{{model}}/{{export}}/model.{load_format(format).extension}",
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
            "modelferry export --log {log} --model {wildcards.model} --format {wildcards.export}"
