"""How lmms-eval learns of `uhrqa`: the target of the entry point `lmms_eval.models`."""

from __future__ import annotations

from typing import Any

CLASS = "uhrqa.integrations.lmms_eval_model.UhrqaModel"


def manifest() -> Any:  # noqa: ANN401 - lmms-eval's own type
    """The model `uhrqa`, as lmms-eval 0.7 registers models."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="uhrqa", simple_class_path=CLASS)
