# The truth is recorded once per model; each artifact is compared with it in each of its runtimes.


rule reference:
    input:
        lambda wildcards: RUNNABLE[wildcards.model].reference_inputs(),
    output:
        f"{paths.RESULTS}/{{model}}/reference.npz",
    log:
        "logs/reference/{model}.log",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=lambda wildcards: reruns.reference(RUNNABLE[wildcards.model]),
    shell:
        "modelferry reference --log {log:q} --model {wildcards.model:q}"


rule validate:
    input:
        f"{paths.RESULTS}/{{model}}/reference.npz",
        lambda wildcards: RUNNABLE[wildcards.model].validate_inputs(wildcards.export, wildcards.runtime),
    output:
        f"{paths.RESULTS}/{{model}}/{{export}}/validation.{{runtime}}.json",
    log:
        "logs/validate/{model}/{export}.{runtime}.log",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=lambda wildcards: reruns.validate(RUNNABLE[wildcards.model], wildcards.export, wildcards.runtime),
    shell:
        "modelferry validate --log {log:q} --exit-zero --model {wildcards.model:q} --format {wildcards.export:q} --runtime {wildcards.runtime:q}"
