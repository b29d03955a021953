"""Small checkpoints in the original LLaVA layout, each in the exact keys of its release.

The keys are written out here by hand, independently of `uhrqa.vlm.layouts`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaForConditionalGeneration,
    LlavaNextForConditionalGeneration,
    MistralConfig,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.utils import logging

from tests.checkpoints import make_tokenizer

TILE, PATCH, WIDTH, TOWER_WIDTH = 56, 14, 48, 64
RELEASES = ("llava-1.5", "llava-1.6-mistral", "llava-1.6-qwen", "lrs-vqa-qwen2", "lrs-vqa-vicuna",
            "llava-siglip", "longva", "uhr-bat", "geollava-8k")  # fmt: skip
NEWLINE = {"llava-siglip", "llava-1.6-mistral", "llava-1.6-qwen", "lrs-vqa-qwen2", "lrs-vqa-vicuna"}
DECODER = {
    "llava-1.5": "llama", "llava-1.6-mistral": "mistral", "lrs-vqa-vicuna": "llama",
}  # fmt: skip
CONFIGS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}
ARCHITECTURES = {"llama": "LlavaLlamaForCausalLM", "mistral": "LlavaMistralForCausalLM",
                 "qwen2": "LlavaQwenForCausalLM"}  # fmt: skip
TYPES = {"longva": "qwen2", "llava-1.5": "llava", "llava-1.6-mistral": "llava_mistral",
         "lrs-vqa-vicuna": "llava_llama"}  # fmt: skip
MERGE = {"longva": "unires", "uhr-bat": "unires", "geollava-8k": "unires_max24",
         "llava-1.5": "flat"}  # fmt: skip
SIZES = {
    "hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 4, "vocab_size": 320,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
}  # fmt: skip
SIDES = (112, 224, 448)  # px of UHR-BAT's views, in the place of 672, 1344, ...
RFM_LAYERS = 3


def stock_model(release: str) -> Any:
    """The same model in the stock class, of random weights."""
    logging.disable_progress_bar()
    theta = 1e9 if release in ("longva", "uhr-bat", "geollava-8k") else 1e4
    text = CONFIGS[DECODER.get(release, "qwen2")](
        **SIZES, bos_token_id=None, eos_token_id=2, pad_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )  # fmt: skip
    siglip = release == "llava-siglip"
    tower: Any = SiglipVisionConfig if siglip else CLIPVisionConfig
    vision = tower(
        hidden_size=TOWER_WIDTH, intermediate_size=96, num_hidden_layers=3, num_attention_heads=1,
        image_size=TILE, patch_size=PATCH, **({"vision_use_head": False} if siglip else {}),
    )  # fmt: skip
    rows = release in NEWLINE
    kind: Any = LlavaNextForConditionalGeneration if rows else LlavaForConditionalGeneration
    config = kind.config_class(
        vision_config=vision,
        text_config=text,
        image_token_index=320,
        vision_feature_layer=-1 if siglip else -2,
        vision_feature_select_strategy="full" if siglip else "default",
    )
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 3  # random weights of the usual size give one token for ever
    return model


def original_key(name: str, release: str) -> str:
    """What an original checkpoint calls a tensor of the stock class."""
    tower, projector = "model.vision_tower.", "model.multi_modal_projector.linear_"
    if name.startswith(tower):
        return "model.vision_tower.vision_tower.vision_model." + name[len(tower) :]
    if name.startswith(projector):
        number, rest = name[len(projector) :].split(".")
        inner = "mlp_projector." if release.startswith("lrs-vqa") else ""
        return f"model.mm_projector.{inner}{ {'1': 0, '2': 2}[number] }.{rest}"
    return name.replace("model.language_model.", "model.", 1)


def own_tensors(release: str, model: Any) -> dict[str, Tensor]:
    """What a release stores besides the stock model."""
    torch.manual_seed(1)
    if release.startswith("lrs-vqa"):
        layers = model.model.language_model.layers
        found = {"model.mm_projector.token_pruner.norm.weight": torch.ones(WIDTH)}
        for index in range(RFM_LAYERS):
            for name, value in layers[index].state_dict().items():
                key = f"model.mm_projector.token_pruner.layers.{index}.{name}"
                found[key] = value + torch.randn_like(value) / 10
        return found
    if release == "uhr-bat":
        found = {f"model.multiscale_token_mlp.{index}.{part}": torch.randn(*shape) / 4
                 for index in (0, 2)
                 for part, shape in (("weight", (WIDTH, WIDTH)), ("bias", (WIDTH,)))}  # fmt: skip
        for side in SIDES:
            count = min(side // PATCH, 16) ** 2
            found[f"model.scale_pos_residuals.{side}"] = torch.randn(1, count, WIDTH)
        return found
    if release == "geollava-8k":
        return {"reghead.dw.weight": torch.randn(TOWER_WIDTH, 1, 3, 3),
                "reghead.pw.weight": torch.randn(9, TOWER_WIDTH, 1, 1),
                "reghead.pw.bias": torch.randn(9)}  # fmt: skip
    return {}


def flat_config(release: str) -> dict[str, Any]:
    """The release's `config.json`."""
    decoder = DECODER.get(release, "qwen2")
    config: dict[str, Any] = {
        "architectures": [ARCHITECTURES[decoder]],
        "model_type": TYPES.get(release, "llava_qwen"),
        **SIZES,
        "rope_theta": 1e9 if release in ("longva", "uhr-bat", "geollava-8k") else 1e4,
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "mm_hidden_size": TOWER_WIDTH,
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_projector_type": "mlp2x_gelu",
        "mm_patch_merge_type": MERGE.get(release, "spatial_unpad"),
        "image_aspect_ratio": "anyres",
        "image_grid_pinpoints": "(1x1),...,(6x6)",
    }
    if release.startswith("lrs-vqa"):
        config |= {"mm_projector_type": "mlp2x_gelu_after_distillpruner", "llm_layer_list": [1, 2],
                   "slice_block_size": TILE, "mm_spatial_pool_mode": "bilinear"}  # fmt: skip
    if release == "llava-siglip":
        config |= {"mm_vision_tower": "google/siglip-so400m-patch14-384"}
    if release == "uhr-bat":
        config |= {"multiscale_target_sizes": list(SIDES), "scale_residual_base": 16}
    return config


def make_original(path: Path, release: str, *, files: int = 1, tower: bool = True) -> Any:
    """Write a checkpoint in the original layout.

    Args:
        path: where to.
        release: one of `RELEASES`.
        files: into which the weights are split.
        tower: whether the vision tower is stored.

    Returns:
        The same model in the stock class.
    """
    model = stock_model(release)
    state = {original_key(name, release): value for name, value in model.state_dict().items()}
    state |= own_tensors(release, model)
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(6)  # as in old files
    if not tower:
        state = {name: value for name, value in state.items() if "vision_tower" not in name}
    path.mkdir(parents=True)
    write_weights(path, state, files)
    (path / "config.json").write_text(json.dumps(flat_config(release)))
    make_tokenizer(image=False).save_pretrained(path)
    return model


def write_weights(path: Path, state: dict[str, Tensor], files: int = 1) -> None:
    """Write tensors as one safetensors file, or as several with an index."""
    state = {name: value.detach().contiguous() for name, value in state.items()}
    if files == 1:
        save_file(state, path / "model.safetensors", {"format": "pt"})
        return
    names, where = sorted(state), dict[str, str]()
    for number in range(files):
        file = f"model-{number + 1:05}-of-{files:05}.safetensors"
        part = {name: state[name] for name in names[number::files]}
        save_file(part, path / file, {"format": "pt"})
        where |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": where}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


def state_of(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint."""
    found: dict[str, Tensor] = {}
    for file in path.glob("model*.safetensors"):
        found |= load_file(file)
    return found


def edit(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the tensors of a checkpoint; what comes out is one file."""
    state = state_of(path)
    for file in path.glob("model*.safetensors*"):
        file.unlink()
    change(state)
    write_weights(path, state)


def configure(path: Path, **values: object) -> None:
    """Change values of a checkpoint's `config.json`."""
    config = json.loads((path / "config.json").read_text()) | values
    (path / "config.json").write_text(json.dumps(config))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two sets of tensors are equal, bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
