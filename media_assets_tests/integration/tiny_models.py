"""Models of the hub's architectures with a few random weights, laid out as in the folder that ``models pull`` fills.

They compute nonsense, but through the very files, processors and classes that the real ones use.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from media_assets.models.hub.offline import Lock, sha256_of, snapshot_folder
from media_assets.models.registry import ModelSpec, model_named

_COCO_START = {0: "person", 1: "bicycle", 2: "car", 3: "motorbike", 4: "aeroplane"}
_BACKBONE = {
    "embedding_size": 8, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}  # fmt: skip


def place(model: Any, processors: list[Any], name: str, root: Path, *, locked: bool = True) -> ModelSpec:
    """Save a model as the registry's ``name`` below ``root`` and return the entry, without the real checksums."""
    spec = replace(model_named(name), files={})
    folder = snapshot_folder(spec, root)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)
    if locked:
        lock(spec, folder)
    return spec


def lock(spec: ModelSpec, folder: Path) -> None:
    """Write the lock file over what lies in the folder now."""
    Lock(str(spec.package), spec.revision, {one.name: sha256_of(one) for one in folder.iterdir()}).write(folder)


def d_fine(root: Path, **options: Any) -> ModelSpec:
    from transformers import DFineConfig, DFineForObjectDetection, HGNetV2Config, RTDetrImageProcessor

    backbone = HGNetV2Config(
        stem_channels=[3, 4, 8], stage_in_channels=[8, 8, 8, 8], stage_mid_channels=[4, 4, 4, 4],
        stage_out_channels=[8, 8, 8, 8], stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 8, 8], embedding_size=8, out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = DFineConfig(
        backbone_config=backbone, encoder_in_channels=[8, 8, 8], encoder_hidden_dim=16, encoder_ffn_dim=16,
        encoder_layers=1, encoder_attention_heads=2, hidden_expansion=0.5, d_model=16, num_queries=20,
        decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16, decoder_layers=2, decoder_attention_heads=2,
        decoder_n_points=[2, 2, 2], num_denoising=0, id2label=_COCO_START,
    )  # fmt: skip
    size = {"height": 64, "width": 64}
    return place(DFineForObjectDetection(config), [RTDetrImageProcessor(size=size)], "dfine-small", root, **options)


def rt_detr_v2(root: Path, **options: Any) -> ModelSpec:
    from transformers import RTDetrImageProcessor, RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    config = RTDetrV2Config(
        backbone_config=RTDetrResNetConfig(**_BACKBONE), encoder_in_channels=[8, 8, 8], encoder_hidden_dim=16,
        encoder_ffn_dim=16, encoder_layers=1, encoder_attention_heads=2, hidden_expansion=0.5, d_model=16,
        num_queries=20, decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16, decoder_layers=2,
        decoder_attention_heads=2, decoder_n_points=2, num_denoising=0, id2label=_COCO_START,
    )  # fmt: skip
    size = {"height": 64, "width": 64}
    return place(
        RTDetrV2ForObjectDetection(config), [RTDetrImageProcessor(size=size)], "rtdetr-v2-r18", root, **options
    )


def _word_tokenizer(special: dict[str, str], extra: list[str], **options: Any) -> Any:
    """A tokenizer of whole words that knows the ones of our prompts and labels."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = [*dict.fromkeys([*special.values(), *extra, "a", "photo", "picture", "dog", "cat", "beach", "sea"])]
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token=special["unk_token"]))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special, **options)


def clip(root: Path, **options: Any) -> ModelSpec:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz-"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    tokenizer = CLIPTokenizerFast(vocab={word: index for index, word in enumerate(words)}, merges=[])
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            **tower, "vocab_size": len(words), "max_position_embeddings": 77, "bos_token_id": 0, "eos_token_id": 1,
        },
        vision_config={**tower, "image_size": 32, "patch_size": 16}, projection_dim=12,
    )  # fmt: skip
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return place(CLIPModel(config), [CLIPProcessor(images, tokenizer)], "clip-vit-b32", root, **options)


def siglip(root: Path, **options: Any) -> ModelSpec:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    tokenizer = _word_tokenizer({"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "</s>"}, [])
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={**tower, "vocab_size": len(tokenizer), "max_position_embeddings": 64},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
    )
    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    return place(SiglipModel(config), [SiglipProcessor(images, tokenizer)], "siglip2-base", root, **options)


def blip(root: Path, **options: Any) -> ModelSpec:
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "picture", "of", "the", "dog", "cat", "beach"]
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(words)}, bos_token="[DEC]")
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(
        text_config={
            **tower, "vocab_size": len(words), "encoder_hidden_size": 16, "projection_dim": 8,
            "max_position_embeddings": 64, "bos_token_id": 5, "eos_token_id": 2, "sep_token_id": 3, "pad_token_id": 0,
        },
        vision_config={**tower, "image_size": 32, "patch_size": 16}, projection_dim=8,
    )  # fmt: skip
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    return place(
        BlipForConditionalGeneration(config), [BlipProcessor(images, tokenizer)], "blip-large", root, **options
    )


def florence2(root: Path, **options: Any) -> ModelSpec:
    from transformers import CLIPImageProcessor, Florence2Config, Florence2ForConditionalGeneration, Florence2Processor

    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    words = ["what", "does", "image", "describe", "?", "<image>"]
    tokenizer = _word_tokenizer(special, words, extra_special_tokens={"image_token": "<image>"})
    config = Florence2Config(
        text_config={
            "model_type": "bart", "vocab_size": len(tokenizer), "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
            "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
            "max_position_embeddings": 128, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
            "decoder_start_token_id": 2, "forced_bos_token_id": None, "forced_eos_token_id": 2,
        },
        vision_config={
            "model_type": "florence_vision", "embed_dim": [8, 8, 8, 8], "num_heads": [2, 2, 2, 2],
            "num_groups": [2, 2, 2, 2], "depths": [1, 1, 1, 1], "window_size": 2, "projection_dim": 16,
            "drop_path_rate": 0.0,
        },
        image_token_id=tokenizer.image_token_id,
    )  # fmt: skip
    size = {"height": 64, "width": 64}
    images = CLIPImageProcessor(size=size, crop_size=size, do_center_crop=False, resample=3)
    images.image_seq_length = 5  # 2 x 2 patches and one for the whole
    processor = Florence2Processor(images, tokenizer)
    return place(Florence2ForConditionalGeneration(config), [processor], "florence2-base", root, **options)


def vit_rater(root: Path, **options: Any) -> ModelSpec:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16,
        id2label={0: "normal", 1: "nsfw"},
    )  # fmt: skip
    images = ViTImageProcessor(size={"height": 32, "width": 32})
    return place(ViTForImageClassification(config), [images], "nsfw-vit", root, **options)
