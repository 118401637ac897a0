# Events through one artifact of each model: a job for each file, tables by class, and a look at what they hold.
# The artifact is validated first: one that failed embeds nothing. Its validations are `ancient`: a new tolerance with
# the same verdict is not a reason to embed a hundred million events again.

EMBEDDED, EXPLORED = PLAN.embedded, PLAN.explored


rule embed:
    input:
        lambda wildcards: EMBEDDED[wildcards.model].embed_inputs(wildcards.part),
        lambda wildcards: ancient(EMBEDDED[wildcards.model].outcome(VALIDATE)),
    output:
        paths.embedding_part("{model}", "{part}"),
        paths.embedding_record("{model}", "{part}"),
    log:
        "logs/embed/{model}/{part}.log",
    wildcard_constraints:
        part=r"[^/]+",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=lambda wildcards: reruns.embed(EMBEDDED[wildcards.model]),
    shell:
        "modelferry embed --log {log:q} --model {wildcards.model:q} --part {wildcards.part:q} --again"


rule collect_embeddings:
    input:
        lambda wildcards: EMBEDDED[wildcards.model].embedding.parts(),
        lambda wildcards: EMBEDDED[wildcards.model].embedding.records(),
    output:
        paths.embeddings("{model}"),
        directory(paths.embedding_tables("{model}")),
    log:
        "logs/embed/{model}.log",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=lambda wildcards: reruns.collect(EMBEDDED[wildcards.model]),
    shell:
        "modelferry embed --log {log:q} --model {wildcards.model:q} --collect"


rule explore:
    input:
        lambda wildcards: [paths.embeddings(planned.id) for planned in EXPLORED[wildcards.campaign]],
        lambda wildcards: [paths.embedding_tables(planned.id) for planned in EXPLORED[wildcards.campaign]],
    output:
        paths.exploration("{campaign}"),
    log:
        "logs/explore/{campaign}.log",
    wildcard_constraints:
        campaign=r"[^/]+",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=lambda wildcards: reruns.explore(EXPLORED[wildcards.campaign]),
    shell:
        "modelferry explore --log {log:q} {wildcards.campaign:q}"
