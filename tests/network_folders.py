"""Folders with the weights of tiny random networks that do say something, for what loads networks by folder."""

from pathlib import Path

from dsr_core.perception.detect.grounding_dino import GroundingDino
from dsr_core.perception.orientation.orient_anything import OrientAnything, make_network
from dsr_core.perception.segment.sam2_video import Sam2VideoSegmenter
from dsr_core.perception.segment.sam3_video import Sam3VideoSegmenter
from tests import tiny_networks as tiny
from tests.tiny_networks import torch


def save_networks(folder: Path) -> dict[str, str]:
    """Saves one network of each kind; name -> folder, as for `PerceptionConfig.weights`."""
    out = {name: str(folder / name) for name in ("grounding_dino", "sam2", "sam3", "depth_anything", "orient_anything")}
    dino = GroundingDino(tiny.grounding_dino(), tiny.bert_tokenizer(), ["mug"], device="cpu")
    dino.save(out["grounding_dino"])
    Sam2VideoSegmenter(_always_there(tiny.sam2_video()), dino, device="cpu").save(out["sam2"])
    Sam3VideoSegmenter(_sure(tiny.sam3_video()), tiny.bert_tokenizer(), ["mug"], device="cpu").save(out["sam3"])
    tiny.depth_anything().save_pretrained(out["depth_anything"])
    torch.manual_seed(1)
    network = make_network(tiny.dinov2())
    with torch.no_grad():
        network.down_sampler.net2[1].bias[-2] += 10.0  # everything has a front,
        network.down_sampler.net2[1].bias[40] += 10.0  # at an azimuth of 40 degrees
    OrientAnything(network, device="cpu").save(out["orient_anything"])
    return out


def _always_there(network):
    """SAM 2, or the follower in SAM 3, made never to lose a thing."""
    last = network.mask_decoder.pred_obj_score_head.proj_out
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(50.0)
    return network


def _sure(sam3):
    """SAM 3 that is sure of whatever it looks for."""
    scoring = sam3.detector_model.dot_product_scoring
    with torch.no_grad():
        sam3.detector_model.detr_decoder.presence_head.layer3.bias.fill_(50.0)
        for layer in (scoring.text_proj, scoring.query_proj):
            layer.weight.zero_()
            layer.bias.fill_(1.0)
    _always_there(sam3.tracker_model)
    return sam3
