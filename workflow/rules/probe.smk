# Linear probes on the frozen encoders of one run.
rule probe_run:
    input:
        needs("probes"),
    output:
        "results/probes/{name}/manifest.json",
    params:
        device=plan.project.settings.device,
    log:
        "results/logs/probes/{name}.log",
    resources:
        gpu=min(gpus, 1),
    threads: plan.project.scale.threads
    shell:
        step("probe", "--out results/probes/{wildcards.name:q} --device {params.device:q} --threads {threads}")
