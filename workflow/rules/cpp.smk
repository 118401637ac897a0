# The C++ runtime is built once for each state of its sources, PyTorch and compiler: all are in the name of its folder.

from modelferry.runtimes import load_runtime

if "cpp" in PLAN.runtimes:

    rule build_cpp:
        output:
            load_runtime("cpp").files(),
        log:
            "logs/build_cpp.log",
        conda:
            "../../envs/modelferry.yaml"
        threads: 2
        shell:
            "modelferry build-cpp --log {log:q} --exit-zero"
