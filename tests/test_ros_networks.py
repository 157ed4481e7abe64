"""Real networks in the observer's lanes: what is refused, what goes on, what a replay through them answers."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from networks import need
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from ros_helpers import Graph, Peer, wait_until
from test_ros_images import HEIGHT, WIDTH
from test_ros_lanes import Rig, box_at, labels, stamps

from dsr_core.sources.bag_file import BagFile
from dsr_ros.msg import DetectionArray
from dsr_ros.observer import ObserverNode


@pytest.fixture
def peer(request):
    with Peer("networks_" + request.node.name.split("[")[0][-24:]) as peer:
        yield peer


def test_missing_weights_refuse_the_configuration_and_tell_the_command(tmp_path):
    pytest.importorskip("transformers", reason="network backends need transformers: run tools/setup.sh")
    weights = f"grounding_dino={tmp_path / 'nothing'}"
    with Graph(tmp_path, "refused") as graph:
        process = graph.start(
            "observer", camera__detector="grounding_dino", camera__names="person, forklift", camera__weights=weights
        )
        assert process.wait(60) == 1
        assert "cannot be configured" in graph.output() and "hf download" in graph.output(), graph.output()


def test_a_refused_node_can_be_configured_again(peer, tmp_path):
    node = ObserverNode(context=peer.context, namespace=f"/{peer.namespace}")
    peer.nodes.append(node)
    peer.executor.add_node(node)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS

    def set_(name, text):
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        assert peer.call(SetParameters, "observer/set_parameters", request).results[0].successful

    set_("camera.weights", f"depth_anything={tmp_path}")
    set_("camera.depth_source", "depth_anything")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    set_("camera.weights", "no_network=/tmp")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    set_("camera.depth_source", "sensor")
    set_("camera.weights", "")
    set_("camera.detector", "sam3")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE, "it has no names to look for"
    set_("camera.detector", "external")
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.lanes["camera"].fast is None and node.lanes["camera"].slow is None


def test_depth_of_a_network_places_boxes(peer, tmp_path):
    """Depth Anything's real code with random weights: what is far is random, but a box gets a place and its noise."""
    from test_depth_anything import tiny

    tiny().save_pretrained(tmp_path)
    settings = {"camera__depth_source": "depth_anything", "camera__device": "cpu", "reliability": "reliable"}
    settings["camera__weights"] = [f"depth_anything={tmp_path}"]
    observer = peer.add(ObserverNode, **settings, **Rig.topics(peer))
    seen = peer.listen(DetectionArray, "observations")
    rig = Rig(peer, detections=True).images(depth=False)
    wait_until(lambda: observer.cameras[0].assembler.paired == ("rgb",), 10)
    rgb = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    for _ in range(4):
        rig.send(rgb, box=np.array([60.0, 40, 110, 90]), label="poster")
    wait_until(lambda: len(seen) == 4, 20, lambda: f"4 frames; {len(seen)}, {dict(observer.counts)}")
    (poster,) = seen[0].detections
    covariance = np.reshape(poster.pose.covariance, (6, 6))[:3, :3]
    far = np.linalg.norm([getattr(poster.pose.pose.position, axis) for axis in "xy"])
    assert np.sqrt(np.linalg.eigvalsh(covariance)[-1]) > 0.1 * far, "the noise is that of the network"
    assert not peer.node.get_subscriptions_info_by_topic(f"{rig.prefix}/depth")


def test_a_replay_through_the_embedded_detector(tmp_path):
    """A kitchen's colour and depth images are played in lock-step, and questions about its furniture are answered."""
    need("pose-detection", "pose-landmark-full", "ssd-openimages")
    from data import shared

    from dsr_core.sources import open_source
    from dsr_core.sources.convert import convert as convert_recording

    source = open_source(shared("seven_scenes_redkitchen"))
    source.numbers = source.numbers[40:52]
    bag = convert_recording(source, "bag", tmp_path / "kitchen")
    color = next(t for t in BagFile(bag).topics if "color" in t and "image" in t)
    with Graph(tmp_path, "kitchen") as graph, Peer("kitchen") as peer:
        graph.nodes(observer={"camera.detector": "embedded"})
        seen = peer.listen(DetectionArray, "observations")
        graph.wait_for_output("places detections", 60)
        graph.play(bag, "--step-on", color)
        assert len(seen) == 12 and stamps(seen) == sorted(stamps(seen)), graph.output()
        found = {label for m in seen for label in labels(m)}
        assert {"table", "chair"} <= found, found
        answer = peer.ask("is the table moving?")
        assert answer.declined_code in ("", "AMBIGUOUS_OBJECT", "TOO_UNCERTAIN"), answer.json
        assert graph.alive() and "Traceback" not in graph.output()


def test_a_real_network_in_the_slow_lane(peer, tmp_path):
    """SAM 3's real code with random weights, loaded from a folder: what it sees is random, that it goes on is not."""
    pytest.importorskip("transformers", reason="network backends need transformers: run tools/setup.sh")
    from test_sam3_video import segmenter
    from tiny_networks import sam3_video

    segmenter(sam3_video()).save(tmp_path)
    settings = {"camera__slow__detector": "sam3", "camera__slow__names": "red mug, chair"}
    settings |= {"camera__slow__weights": f"sam3={tmp_path}", "camera__slow__device": "cpu"}
    observer = peer.add(ObserverNode, reliability="reliable", **settings, **Rig.topics(peer))
    assert observer.lanes["camera"]._slow.config.names == ("red mug", "chair")
    seen = peer.listen(DetectionArray, "observations")
    late = peer.listen(DetectionArray, "late_observations")
    rig = Rig(peer, detections=True).images()
    wait_until(lambda: len(observer.cameras[0].assembler.paired) == 2, 10)
    rgb = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    for _ in range(3):
        rig.send(rgb, box=box_at(0.0), label="plate")
    wait_until(lambda: len(seen) == 3 and len(late) == 3, 20, lambda: f"{len(seen)} {len(late)} {observer.counts}")
    assert {label for m in late for label in labels(m)} <= {"red mug", "chair"}
    assert all(labels(m) == ["plate"] for m in seen) and observer.lanes["camera"].slow.failed == 0
