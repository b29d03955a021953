"""Ask a question from Python and see where the answer comes from.

python examples/quickstart.py [IMAGE] [QUESTION]
"""

import sys
from pathlib import Path

from uhrqa import ask, load_model, open_raster

image = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parent / "scene.tif")
question = sys.argv[2] if len(sys.argv) > 2 else "where are the tennis courts?"

model = load_model("tiny", device="cpu")  # or the directory of a LLaVA-NeXT checkpoint
with open_raster(image) as raster:
    answer = ask(raster, question, model=model, strategy="rfm-dip", budget=256)

print(question, answer.text)
counts = answer.counts
print(f"{counts.tiles_encoded} tiles encoded, {counts.kept} of {counts.budget} tokens kept")
print(f"{answer.cost.tera():.3f} TFLOPs, {answer.bytes_read / 1e6:.1f} MB read")

scored = [entry for entry in answer.evidence if entry.relevance is not None]
for entry in sorted(scored, key=lambda entry: -entry.relevance)[:3]:
    print(f"looked at {[round(edge) for edge in entry.box]}, relevance {entry.relevance:.3f}")
