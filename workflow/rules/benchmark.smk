# All artifacts of a model are timed in turn by one job, which has the machine to itself. One model of each architecture
# is timed at every size, the others at one: latencies do not depend on weights, and an outlier still shows.


rule benchmark:
    input:
        lambda wildcards: RUNNABLE[wildcards.model].benchmark_inputs(),
    output:
        f"{paths.RESULTS}/{{model}}/benchmark.done.json",
    log:
        "logs/benchmark/{model}.log",
    conda:
        "../../envs/modelferry.yaml"
    threads: workflow.resource_settings.cores or 1
    params:
        because=lambda wildcards: reruns.benchmark(RUNNABLE[wildcards.model], wildcards.model in PLAN.swept),
    shell:
        "modelferry benchmark --log {log:q} --exit-zero --model {wildcards.model:q}"
