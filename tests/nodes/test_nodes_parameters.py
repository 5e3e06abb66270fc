"""The agent's parameters, judged without ROS."""

from __future__ import annotations

import pytest

from taskmem_ros.nodes.agent_parameters import AGENT, check_agent, image_topic
from taskmem_ros.nodes.parameters import defaults


def values(**changes):
    return {**defaults(AGENT), **changes}


def test_the_defaults_are_allowed():
    check_agent(values())


def test_every_parameter_is_described():
    for spec in AGENT:
        assert len(spec.description) > 20 and spec.description.endswith("."), spec.name


@pytest.mark.parametrize(
    "change, words",
    [
        ({"sample_rate": 99.0}, ["sample_rate", "99", "30"]),
        ({"clip_seconds": 0.0}, ["clip_seconds", "0", "600"]),
        ({"window": 0}, ["window", "0", "64"]),
        ({"quantization": "int3"}, ["quantization", "int3", "nf4"]),
        ({"device": "gpu"}, ["device", "gpu", "cuda:N"]),
        ({"drop_policy": "random"}, ["drop_policy", "random", "drop_oldest"]),
        ({"cameras": []}, ["cameras"]),
        ({"cameras": ["a", "a"]}, ["cameras", "twice"]),
        ({"cameras": ["front left"]}, ["cameras", "front left"]),
        ({"cameras": ["a", "b"], "image_topic": "/x"}, ["image_topic", "/x", "cameras"]),
        ({"reader.base_url": "http://localhost/v1"}, ["reader.base_url", "reader.model", "both"]),
        ({"reader.rounds": 99}, ["reader.rounds", "99", "20"]),
        ({"sample_rate": 0.05, "clip_seconds": 10.0}, ["sample_rate", "0.05", "10 s", "0.1 Hz"]),
        ({"sample_rate": 30.0, "clip_seconds": 600.0}, ["sample_rate", "30 Hz", "600 s", "256"]),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(change, words):
    with pytest.raises(ValueError) as refusal:
        check_agent(values(**change))
    sentence = str(refusal.value)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    "change, topic",
    [
        ({}, "front/image_raw"),
        ({"image_transport": "compressed"}, "front/image_raw/compressed"),
        ({"image_topic": "/rgb/image"}, "/rgb/image"),
        ({"image_topic": "/rgb/image", "image_transport": "compressed"}, "/rgb/image/compressed"),
        ({"image_topic": "/rgb/compressed", "image_transport": "compressed"}, "/rgb/compressed"),
    ],
)
def test_image_topics(change, topic):
    assert image_topic(values(**change), "front") == topic
