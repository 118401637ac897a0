# What no weights can change is proven once per template and runtime (certify), with random weights; each model is then
# compared with its network as trained, in every runtime of its artifacts (validate).


rule weight_sets:
    output:
        f"{paths.TEMPLATES}/{{architecture}}/weight_sets.done.json",
    log:
        "logs/weight_sets/{architecture}.log",
    wildcard_constraints:
        architecture=r"[^/]+",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=lambda wildcards: reruns.weight_sets(PLAN.prototype(wildcards.architecture)),
    shell:
        "modelferry weight-sets --log {log:q} --exit-zero {wildcards.architecture:q}"


rule certify:
    input:
        f"{paths.TEMPLATES}/{{architecture}}/weight_sets.done.json",
        f"{paths.TEMPLATES}/{{architecture}}/{{variant}}/template.done.json",
        lambda wildcards: PLAN.runtime_files(f"{wildcards.architecture}/{wildcards.variant}"),
    output:
        f"{paths.TEMPLATES}/{{architecture}}/{{variant}}/certify.done.json",
    log:
        "logs/certify/{architecture}/{variant}.log",
    wildcard_constraints:
        variant=r"[^/]+",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=lambda wildcards: reruns.certify(*PLAN.certified[f"{wildcards.architecture}/{wildcards.variant}"]),
    shell:
        "modelferry certify --log {log:q} --exit-zero {wildcards.architecture:q}/{wildcards.variant:q}"


rule validate:
    input:
        lambda wildcards: RUNNABLE[wildcards.model].validate_inputs(),
        lambda wildcards: PLAN.certificates(RUNNABLE[wildcards.model]),
    output:
        f"{paths.RESULTS}/{{model}}/validate.done.json",
    log:
        "logs/validate/{model}.log",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=lambda wildcards: reruns.validate(RUNNABLE[wildcards.model]),
    shell:
        "modelferry validate --log {log:q} --exit-zero --model {wildcards.model:q}"
