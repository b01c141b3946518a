# One row with one seed, uni-modal or joint: what tables need, and the weights apart from it.
rule train_run:
    input:
        needs("runs"),
    output:
        "results/runs/{name}/manifest.json",
        "results/weights/{name}/manifest.json",
    params:
        device=plan.project.settings.device,
    log:
        "results/logs/runs/{name}.log",
    resources:
        gpu=min(gpus, 1),
    threads: plan.project.scale.threads
    shell:
        "python -m avbalance.train --recipe results/recipes/{wildcards.name}.json"
        " --out results/runs/{wildcards.name} --weights results/weights/{wildcards.name}"
        " --device {params.device} --threads {threads} > {log} 2>&1"


# Blend weights from the uni-modal runs and the joint run of one row with one seed.
rule blend_heads:
    input:
        needs("blends"),
    output:
        "results/blends/{name}/manifest.json",
    params:
        device=plan.project.settings.device,
    log:
        "results/logs/blends/{name}.log",
    resources:
        gpu=min(gpus, 1),
    threads: plan.project.scale.threads
    shell:
        "python -m avbalance.blend --recipe results/recipes/{wildcards.name}.json"
        " --out results/blends/{wildcards.name} --device {params.device} --threads {threads} > {log} 2>&1"
