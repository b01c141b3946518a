# One run of a row with one seed; its weights lie in a folder of their own.
rule train_run:
    input:
        needs("results/runs/{name}.{key}"),
    output:
        "results/runs/{name}.{key}/manifest.json",
        "results/weights/{name}.{key}/manifest.json",
    log:
        "results/logs/runs/{name}.{key}.log",
    threads: plan.project.scale.threads
    resources:
        gpu=gpu,
    params:
        device=plan.project.settings.device,
    shell:
        step(
            "train",
            "--out results/runs/{wildcards.name:q}.{wildcards.key} --weights results/weights/{wildcards.name:q}.{wildcards.key}"
            " --device {params.device:q} --threads {threads}",
        )


# The trial of one row whose run is the most accurate on validation.
rule choose_trial:
    input:
        needs("results/tuned/{name}.{key}"),
    output:
        "results/tuned/{name}.{key}/manifest.json",
    log:
        "results/logs/tuned/{name}.{key}.log",
    threads: 1
    shell:
        step("tune", "--out results/tuned/{wildcards.name:q}.{wildcards.key}")


# One ensemble of a row with one seed, from the predictions of its members.
rule combine_runs:
    input:
        needs("results/combined/{name}.{key}"),
    output:
        "results/combined/{name}.{key}/manifest.json",
    log:
        "results/logs/combined/{name}.{key}.log",
    threads: 1
    shell:
        step("combine", "--out results/combined/{wildcards.name:q}.{wildcards.key}")


# Blend weights from the uni-modal runs and the joint run of one row with one seed.
rule blend_heads:
    input:
        needs("results/blends/{name}.{key}"),
    output:
        "results/blends/{name}.{key}/manifest.json",
    log:
        "results/logs/blends/{name}.{key}.log",
    threads: plan.project.scale.threads
    resources:
        gpu=gpu,
    params:
        device=plan.project.settings.device,
    shell:
        step(
            "blend",
            "--out results/blends/{wildcards.name:q}.{wildcards.key} --device {params.device:q} --threads {threads}",
        )
