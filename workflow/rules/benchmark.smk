# All artifacts of a model are timed in turn by one job, which has the machine to itself.

for campaign in PLAN.campaigns_with_models:

    rule:
        name:
            f"benchmark_{campaign}"
        input:
            lambda wildcards: RUNNABLE[wildcards.model].benchmark_inputs(),
        output:
            PLAN.benchmark_outputs(campaign),
        log:
            "logs/benchmark/{model}.log",
        wildcard_constraints:
            model=rf"{re.escape(campaign)}/.+",
        conda:
            "../../envs/modelferry.yaml"
        threads: workflow.cores
        params:
            because=lambda wildcards: reruns.benchmark(RUNNABLE[wildcards.model]),
        shell:
            "modelferry benchmark --log {log:q} --model {wildcards.model:q}"
