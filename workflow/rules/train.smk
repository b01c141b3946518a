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
        step(
            "train",
            "--out results/runs/{wildcards.name:q} --weights results/weights/{wildcards.name:q}"
            " --device {params.device:q} --threads {threads}",
        )


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
        step("blend", "--out results/blends/{wildcards.name:q} --device {params.device:q} --threads {threads}")
