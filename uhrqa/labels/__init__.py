"""Questions from a user's own detection labels, in LRS-VQA's shape.

    labels = read_labels(Path("labelTxt"), "dota", Images(Path("images")))
    records = make_records(labels, Wanted(seed=0), Path("questions.jsonl"))

What is read, and how, stands in one file a format; the rules of what is asked are those of
LRS-VQA's supplement (Luo et al. 2025, A.1 and B.1), shared with the drawn scenes of `uhrqa.synth`.
"""
