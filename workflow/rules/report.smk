# The report reads JSON only; the gate fails the run unless all models passed.


rule report:
    input:
        PLAN.report_inputs(),
    output:
        paths.REPORT,
        paths.SUMMARY,
        touch(paths.COMPLETE),
    log:
        "logs/report.log",
    conda:
        "../../envs/modelferry.yaml"
    params:
        because=reruns.report(PLAN.models),
    shell:
        "modelferry report --log {log:q}"


rule gate:
    input:
        paths.SUMMARY,
        paths.COMPLETE,
    output:
        paths.GATE,
    log:
        "logs/gate.log",
    conda:
        "../../envs/modelferry.yaml"
    shell:
        "modelferry gate --log {log:q}"
