# Toy events and networks trained on them, for campaigns with `checkpoint: demo`.

from modelferry.demo import demo_for

for family in {planned.model.family for planned in RUNNABLE.values() if planned.model.demo}:

    rule:
        name:
            f"demo_events_{family}"
        output:
            [f"{paths.demo_events(family)}/{{group}}/{member}" for member in demo_for(family).members],
        log:
            f"logs/demo_events/{family}/{{group}}.log",
        conda:
            "../../envs/modelferry.yaml"
        params:
            because=reruns.demo_events(family),
            family=family,
        shell:
            "modelferry demo-events --log {log:q} {params.family:q} {wildcards.group:q}"

    rule:
        name:
            f"demo_train_{family}"
        input:
            lambda wildcards: RUNNABLE[wildcards.model].demo_event_files(),
        output:
            f"{paths.RESULTS}/demo/{family}/checkpoints/{{model}}/model.pt",
            f"{paths.RESULTS}/demo/{family}/checkpoints/{{model}}/training.json",
        log:
            f"logs/demo_train/{family}/{{model}}.log",
        conda:
            "../../envs/modelferry.yaml"
        params:
            because=lambda wildcards: reruns.demo(RUNNABLE[wildcards.model]),
        shell:
            "modelferry demo-train --log {log:q} --model {wildcards.model:q}"
