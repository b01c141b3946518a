# Linear probes on the frozen encoders of one run.
rule probe_run:
    input:
        needs("results/probes/{name}.{key}"),
    output:
        "results/probes/{name}.{key}/manifest.json",
    params:
        device=plan.project.settings.device,
    log:
        "results/logs/probes/{name}.{key}.log",
    resources:
        gpu=min(gpus, 1),
    threads: plan.project.scale.threads
    shell:
        step("probe", "--out results/probes/{wildcards.name:q}.{wildcards.key} --device {params.device:q} --threads {threads}")
