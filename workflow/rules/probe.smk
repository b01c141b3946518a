# Linear probes on the frozen encoders of one run.
rule probe_run:
    input:
        needs("results/probes/{name}.{key}"),
    output:
        "results/probes/{name}.{key}/manifest.json",
    log:
        "results/logs/probes/{name}.{key}.log",
    threads: plan.project.scale.threads
    resources:
        gpu=gpu,
    params:
        device=plan.project.settings.device,
    shell:
        step(
            "probe",
            "--out results/probes/{wildcards.name:q}.{wildcards.key} --device {params.device:q} --threads {threads}",
        )
