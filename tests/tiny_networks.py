"""Networks of the real architectures, a thousandth of their size, with random weights; made without a hub."""

import string

import pytest

torch = pytest.importorskip("torch", reason="network backends need torch: run tools/setup.sh")
transformers = pytest.importorskip("transformers", reason="network backends need transformers: run tools/setup.sh")


def bert_tokenizer():
    """A BERT tokenizer of few words; GroundingDINO expects [CLS] [SEP] . ? at 101, 102, 1012 and 1029."""
    words = ["red", "mug", "chair", "person", "fork", "##lift", "table", "robot"]
    words += list(string.ascii_lowercase) + ["##" + c for c in string.ascii_lowercase]
    vocab = {f"[unused{i}]": i for i in range(1030)}
    fixed = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
    for token, i in fixed.items():
        del vocab[f"[unused{i}]"]
        vocab[token] = i
    for i, word in enumerate(words):
        vocab[word] = 1030 + i
    return transformers.BertTokenizer(vocab=vocab)


def grounding_dino(kind: str = "", max_text_len: int = 256, encoder_layers: int = 2):
    """GroundingDINO (kind "") or MM-GroundingDINO (kind "MM") with 0.3 M parameters."""
    swin = transformers.SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    bert = transformers.BertConfig(
        vocab_size=len(bert_tokenizer()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
    )
    config = getattr(transformers, f"{kind}GroundingDinoConfig")(
        backbone_config=swin,
        text_config=bert,
        d_model=32,
        encoder_layers=encoder_layers,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        num_queries=20,
        max_text_len=max_text_len,
        disable_custom_kernels=True,
    )
    torch.manual_seed(0)
    return getattr(transformers, f"{kind}GroundingDinoForObjectDetection")(config).eval()


def sam2_video(side: int = 64):
    """SAM 2 with 1.6 M parameters; 128 features are the fewest that its memory can split."""
    width = 128
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 12,
        "image_size": [side, side],
        "embed_dim_per_stage": [12, 24, 48, 96],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "blocks_per_stage": [1, 1, 2, 1],
        "window_size_per_stage": [8, 4, 8, 4],
        "global_attention_blocks": [3],
    }
    config = transformers.Sam2VideoConfig(
        vision_config={
            "backbone_config": backbone,
            "backbone_channel_list": [96, 48, 24, 12],
            "backbone_feature_sizes": [[side // 4] * 2, [side // 8] * 2, [side // 16] * 2],
            "fpn_hidden_size": width,
        },
        prompt_encoder_config={"hidden_size": width, "image_size": side, "mask_input_channels": 8},
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": 32,
        },
        image_size=side,
        memory_attention_hidden_size=width,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[side // 16, side // 16],
        memory_encoder_hidden_size=width,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=width,
        memory_fuser_num_layers=1,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=64,
        num_maskmem=3,
    )
    torch.manual_seed(0)
    return transformers.Sam2VideoModel(config).eval()


def dinov2():
    """DINOv2 with two layers."""
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=224, patch_size=14
    )
    return transformers.Dinov2Model(config).eval()


def sam3_video(threshold: float = 0.0):
    """SAM 3 video that takes everything it sees for a thing; without non-maximum suppression of its own."""
    width, side = 128, 112
    vision = {
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": side,
            "patch_size": 14,
            "window_size": 4,
            "global_attn_indexes": [1],
            "pretrain_image_size": 56,
        },
        "fpn_hidden_size": width,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    }
    layer = {"hidden_size": width, "num_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    detector = transformers.Sam3Config(
        vision_config=vision,
        text_config={
            "vocab_size": len(bert_tokenizer()),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "projection_dim": width,
            "bos_token_id": 101,
            "eos_token_id": 102,
            "pad_token_id": 0,
        },
        geometry_encoder_config=layer,
        detr_encoder_config=layer,
        detr_decoder_config=layer | {"num_queries": 3},
        mask_decoder_config={"hidden_size": width, "num_attention_heads": 4},
    )
    tracker = transformers.Sam3TrackerVideoConfig(
        vision_config=detector.vision_config,
        prompt_encoder_config={"hidden_size": width, "image_size": side, "patch_size": 14, "mask_input_channels": 8},
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": 64,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": 32,
        },
        image_size=side,
        num_maskmem=3,
        max_object_pointers_in_encoder=4,
        memory_attention_hidden_size=width,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=width,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=width,
        memory_fuser_num_layers=1,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=64,
    )
    config = transformers.Sam3VideoConfig(
        detector_config=detector,
        tracker_config=tracker,
        low_res_mask_size=32,
        score_threshold_detection=threshold,
        new_det_thresh=threshold,
        hotstart_delay=0,
        max_num_objects=4,
    )
    torch.manual_seed(0)
    return transformers.Sam3VideoModel(config).eval()


def depth_anything(kind: str = "metric"):
    """Depth Anything with four narrow layers; metric output goes up to 20 m."""
    backbone = transformers.Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=98,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
        head_hidden_size=8,
        depth_estimation_type=kind,
        max_depth=20,
        patch_size=14,
    )
    torch.manual_seed(0)
    return transformers.DepthAnythingForDepthEstimation(config).eval()
