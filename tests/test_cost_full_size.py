"""FLOPs against torch's counter for every family at the full size of a 7B or 8B model.

Fake tensors: shapes go through the real classes and no number is computed. The towers of Qwen-VL
read sizes out of tensors, which fake ones do not have, so two layers of their full width run.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers.initialization import no_init_weights

from tests.test_cost import CLIP_L, QWEN2_7B
from uhrqa.cost import prefill_flops, projector_flops, vision_flops, weight_bytes
from uhrqa.vlm.families import FAMILIES
from uhrqa.vlm.sizes import read_dims

ROPE = {"rope_type": "default", "rope_theta": 1e6}
M_ROPE = {**ROPE, "mrope_section": [16, 24, 24]}
QWEN2 = {key: value for key, value in QWEN2_7B.items() if key != "model_type"}
QWEN3_8B = {
    "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
    "rope_parameters": {**ROPE, "mrope_section": [24, 20, 20]},
}  # fmt: skip
VICUNA = {"model_type": "llama", "vocab_size": 32064}
SIGLIP = {
    **CLIP_L, "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304,
    "num_hidden_layers": 26, "image_size": 384, "vision_use_head": False,
}  # fmt: skip
INTERNVIT = {
    **CLIP_L, "model_type": "internvl_vision", "patch_size": [14, 14], "image_size": [448, 448],
}  # fmt: skip
QWEN_TOWER = {"depth": 32, "num_heads": 16, "patch_size": 14}
FULL = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
SIZES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "llava": (CLIP_L, VICUNA, {}),
    "llava_next": (CLIP_L, VICUNA, {}),
    "llava_onevision": (SIGLIP, QWEN2_7B, FULL),
    "qwen2_vl": (
        {**QWEN_TOWER, "embed_dim": 1280, "hidden_size": 3584},
        {**QWEN2, "rope_parameters": M_ROPE},
        {},
    ),
    "qwen2_5_vl": (
        {**QWEN_TOWER, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
        {**QWEN2, "rope_parameters": M_ROPE},
        {},
    ),
    "qwen3_vl": (
        {**QWEN_TOWER, "depth": 27, "patch_size": 16, "hidden_size": 1152,
         "intermediate_size": 4304, "out_hidden_size": 4096},
        QWEN3_8B,
        {},
    ),
    "internvl": (INTERNVIT, QWEN2_7B, {}),
}  # fmt: skip
SHALLOW = {
    "qwen2_vl": {"depth": 2},
    "qwen2_5_vl": {"depth": 2, "fullatt_block_indexes": [1]},
    "qwen3_vl": {"depth": 2, "deepstack_visual_indexes": [0]},
}
WITHIN = 1e-3


def config_of(family: str, **tower: Any) -> Any:
    vision, text, own = SIZES[family]
    kind = getattr(transformers, f"{FAMILIES[family].kind}Config")
    config = kind(vision_config={**vision, **tower}, text_config=dict(text), **own)
    config._attn_implementation = "eager"  # CPU sdpa counts 0 in this torch
    return config


def counted(run: Any) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


@pytest.fixture(scope="module", params=SIZES)
def subject(request: pytest.FixtureRequest) -> Any:
    """Family, fake tensors, the whole model of them, and its sizes."""
    fake, config = FakeTensorMode(), config_of(request.param)
    kind = getattr(transformers, f"{FAMILIES[request.param].kind}ForConditionalGeneration")
    with no_init_weights(), fake:
        model = kind(config).eval()
    return request.param, fake, model, read_dims(config.to_dict())


def test_a_prefill_of_every_family_costs_what_the_counter_sees(subject: Any) -> None:
    family, fake, model, dims = subject
    n, rows = 700, (3,) if "qwen" in family else ()

    def run() -> None:
        with fake:
            model(
                inputs_embeds=torch.empty(1, n, dims.decoder.width),
                position_ids=torch.arange(n).expand(*rows, 1, n),
                logits_to_keep=1,
                use_cache=False,
            )

    assert counted(run) == pytest.approx(prefill_flops(dims.decoder, n, causal=False), rel=WITHIN)


def test_encoding_tiles_of_every_family_costs_what_the_counter_sees(subject: Any) -> None:
    family, fake, model, dims = subject
    if family in SHALLOW:
        run, dims = _shallow_qwen(family)
    else:

        def run() -> None:
            with fake:
                _encode(family, model.model, torch.empty(2, 3, dims.vision.tile, dims.vision.tile))

    ours = vision_flops(dims, 2) + projector_flops(dims, 2 * dims.vision.features)
    assert counted(run) == pytest.approx(ours, rel=WITHIN)


def test_weights_of_every_family_weigh_what_the_parameters_do(subject: Any) -> None:
    _, _, model, dims = subject
    tied = dims.decoder.vocab * dims.decoder.width * dims.decoder.tied  # not tied when fake
    real = sum(parameter.numel() for parameter in model.parameters()) - tied
    assert weight_bytes(dims, 1) == pytest.approx(real, rel=WITHIN)


def _encode(family: str, model: Any, pixels: torch.Tensor) -> None:
    if family == "internvl":
        model.get_image_features(pixels)
        return
    out = model.vision_tower(pixels, output_hidden_states=True)
    features = out.hidden_states[-1] if family == "llava_onevision" else out.hidden_states[-2]
    model.multi_modal_projector(features if family == "llava_onevision" else features[:, 1:])


def _shallow_qwen(family: str) -> tuple[Any, Any]:
    """Two tiles through two layers of real, unset weights, and the sizes of that."""
    shallow: Any = SHALLOW[family]
    config = config_of(family, **shallow)
    cell = 2 * config.vision_config.patch_size
    dims = read_dims(config.to_dict(), tile=8 * cell)
    module = transformers.models.__dict__[family]
    kinds = {"qwen2_vl": "Qwen2VisionTransformerPretrainedModel",
             "qwen2_5_vl": "Qwen2_5_VisionTransformerPretrainedModel",
             "qwen3_vl": "Qwen3VLVisionModel"}  # fmt: skip
    config.vision_config._attn_implementation = "eager"
    with no_init_weights():
        tower = getattr(getattr(module, f"modeling_{family}"), kinds[family])(config.vision_config)
    patches = torch.zeros(2 * 16 * 16, 3 * 2 * config.vision_config.patch_size**2)
    grid = torch.tensor([[1, 16, 16]] * 2)
    return lambda: tower(patches, grid_thw=grid), dims
