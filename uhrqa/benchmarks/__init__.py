"""Published data sets, asked and scored as their authors do it. One file a benchmark.

A file knows how its data set is stored, which prompts it is asked with and how answers are scored;
nothing of models, images or the command line. Third parties add one through the entry point group
`uhrqa.benchmarks`.
"""

from __future__ import annotations

from uhrqa.registry import Registry

TASKS = Registry(
    "task",
    {
        "lrs-vqa": "uhrqa.benchmarks.lrs_vqa:TASK",
        "mme-realworld-rs": "uhrqa.benchmarks.mme_realworld:TASK",
        "xlrs": "uhrqa.benchmarks.xlrs:TASK",
        "rshr": "uhrqa.benchmarks.rshr:TASK",
        "lrs-gro": "uhrqa.benchmarks.lrs_gro:TASK",
        "rsvqa-hr": "uhrqa.benchmarks.rsvqa_hr:TASK",
    },
    group="uhrqa.benchmarks",
)
