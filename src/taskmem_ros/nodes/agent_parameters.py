"""The agent's parameters: the table of them, and what their values must be together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskmem_ros.clips import ClipQueue, ClipSettings
from taskmem_ros.clips.settings import RANGES
from taskmem_ros.memory import default_database

from .parameters import Spec, check

AGENT: tuple[Spec, ...] = (
    Spec(
        "model",
        "demo",
        "The Qwen3-VL that writes memories: a hub id, a folder, or 'demo' (the one in models/demo).",
        when="unconfigured",
    ),
    Spec(
        "revision",
        "",
        "Revision of the model on the hub (a commit keeps memories comparable); empty: the newest.",
        when="unconfigured",
    ),
    Spec(
        "quantization",
        "none",
        "How the weights are kept: none, nf4 (4 bit) or int8, by bitsandbytes.",
        choices=("none", "nf4", "int8"),
        when="unconfigured",
    ),
    Spec("device", "auto", "Where the model runs: auto, cpu, cuda or cuda:N.", when="unconfigured"),
    Spec(
        "dtype",
        "auto",
        "Type of the weights that are not quantized: auto, float32, bfloat16 or float16.",
        choices=("auto", "float32", "bfloat16", "float16"),
        when="unconfigured",
    ),
    Spec(
        "adapter",
        "",
        "Folder of a PEFT adapter that steers what is remembered, set by hand; empty: adapters come by the "
        "exchange, signed, and prove themselves.",
        when="unconfigured",
    ),
    Spec(
        "adapters.keyring",
        "",
        "File of the keys whose adapters are taken (`taskmem keys trust`); empty: ~/.taskmem/trusted_keys.",
        when="unconfigured",
    ),
    Spec(
        "adapters.trial_clips",
        8,
        "Kept clips of which a new adapter writes memories beside the one in use before it is taken over; "
        "0: it is taken over without a trial.",
        0,
        256,
        when="unconfigured",
    ),
    Spec(
        "adapters.watch_clips",
        60,
        "Clips for which a new adapter is watched after it was taken over: where more fail, memories are cut "
        "short or questions find nothing, the one before comes back; 0: it is not watched.",
        0,
        10000,
        when="unconfigured",
    ),
    Spec(
        "database",
        "",
        "The SQLite file of memories; empty: ~/.taskmem/NAMESPACE/memory.db.",
        when="unconfigured",
    ),
    Spec(
        "cameras",
        ("camera",),
        "Names of the cameras; camera C is read from the topic C/image_raw.",
        when="unconfigured",
    ),
    Spec("image_topic", "", "Topic of the only camera, instead of CAMERA/image_raw.", when="unconfigured"),
    Spec(
        "image_transport",
        "raw",
        "raw (sensor_msgs/Image) or compressed (CompressedImage on TOPIC/compressed).",
        choices=("raw", "compressed"),
        when="unconfigured",
    ),
    Spec("sample_rate", 0.4, "Frames the policy sees per second of stream, Hz.", *RANGES["sample_rate"]),
    Spec(
        "clip_seconds",
        10.0,
        "Length of a clip, seconds: one memory is written for each.",
        *RANGES["clip_seconds"],
    ),
    Spec(
        "max_stall",
        ClipSettings().max_stall,
        "A camera silent for this long ends its clip early, seconds.",
        *RANGES["max_stall"],
    ),
    Spec(
        "window",
        5,
        "Clips the policy sees at once, the new one included, with the memories of the earlier ones.",
        1,
        64,
        when="unconfigured",
    ),
    Spec(
        "queue_clips",
        4,
        "Clips that may wait for the policy; beyond this the drop policy decides.",
        1,
        256,
        when="unconfigured",
    ),
    Spec(
        "drop_policy",
        ClipQueue.DROP_POLICIES[0],
        "Which clip is given up when the policy is slower than the stream.",
        choices=tuple(ClipQueue.DROP_POLICIES),
        when="unconfigured",
    ),
    Spec("map_frame", "map", "tf frame in which the observer's pose is stored.", when="unconfigured"),
    Spec(
        "map_id",
        "",
        "Name of the map that map_frame belongs to; stored with every pose.",
        when="unconfigured",
    ),
    Spec("max_new_tokens", 256, "Longest memory the policy may write, tokens.", 8, 4096, when="unconfigured"),
    Spec(
        "ask_timeout",
        30.0,
        "How long ask_memory may take when the request does not say, seconds.",
        0.5,
        3600.0,
    ),
    Spec(
        "reader.base_url",
        "",
        "OpenAI-compatible endpoint that reads memories and answers, as in http://localhost:8000/v1; its key "
        "is in the environment's TASKMEM_READER_KEY; empty: the model itself.",
        when="unconfigured",
    ),
    Spec("reader.model", "", "Name of the endpoint's model; goes with reader.base_url.", when="unconfigured"),
    Spec(
        "reader.rounds",
        0,
        "How often the reader may read for one question, searching again in between; 0: 3, or 1 where the "
        "model is too small to follow instructions.",
        0,
        20,
        when="unconfigured",
    ),
    Spec(
        "encoder",
        "",
        "Sentence encoder for search by meaning: a folder (with model.onnx, or as transformers saves it) or "
        "a hub id; empty: search by words, place and time.",
        when="unconfigured",
    ),
    Spec("thumbnail_width", 160, "Width of the JPEG stored with each memory, pixels; 0: none.", 0, 1920),
    Spec(
        "thumbnails.megabytes_per_day",
        0.0,
        "What is kept of one day's JPEGs, megabytes; more is thinned out evenly over the day; 0: all.",
        0.0,
        1e6,
    ),
    Spec(
        "frames.gigabytes",
        1.0,
        "Room for the clips that the policy saw last, kept to learn from and to try adapters on, in a file "
        "beside the database, gigabytes; 0: none is kept, and the file is removed.",
        0.0,
        1e5,
    ),
    Spec(
        "retention.max_age_days",
        0.0,
        "Memories older than this are forgotten, days by the agent's clock; 0: none is.",
        0.0,
        36500.0,
    ),
    Spec(
        "retention.max_megabytes",
        0.0,
        "Largest size of the database, megabytes: pictures and memories that no answer stood on go first; "
        "0: no limit.",
        0.0,
        1e9,
    ),
    Spec(
        "markers_shown",
        100,
        "Places of memories shown on memory_markers (RViz, Foxglove), those seen last; 0: none.",
        0,
        500,
    ),
    Spec(
        "autostart",
        False,
        "Configure and activate by itself after the start, for want of a lifecycle manager.",
        when="never",
    ),
)


def check_agent(values: Mapping[str, Any]) -> None:
    """Judge the agent's values one by one, then together. Raises ValueError with a sentence."""
    check(AGENT, values)
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", values["device"]):
        raise ValueError(
            f"device is {values['device']!r}; allowed are auto, cpu, cuda and cuda:N, as in cuda:1."
        )
    cameras = tuple(values["cameras"])
    if not cameras or len(set(cameras)) != len(cameras):
        raise ValueError(f"cameras is {list(cameras)}; it must name at least one camera, and none twice.")
    for camera in cameras:
        if not re.fullmatch(r"/?[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*", camera):
            raise ValueError(
                f"cameras has {camera!r}, which cannot begin a topic name; "
                "use letters, digits, _ and /, as in front/rgb."
            )
    if not re.fullmatch(r"[~/A-Za-z0-9_]*", values["image_topic"]):
        raise ValueError(
            f"image_topic is {values['image_topic']!r}, which is no topic name; "
            "use letters, digits, _ and /, as in /front/image_raw."
        )
    if values["image_topic"] and len(cameras) > 1:
        raise ValueError(
            f"image_topic is {values['image_topic']!r} but cameras names {len(cameras)}; "
            "leave image_topic empty (CAMERA/image_raw is read for each), or name one camera."
        )
    if bool(values["reader.base_url"]) != bool(values["reader.model"]):
        raise ValueError(
            f"reader.base_url is {values['reader.base_url']!r} and reader.model {values['reader.model']!r}; "
            "give both, or neither."
        )
    clip_settings(values).validate()


def clip_settings(values: Mapping[str, Any]) -> ClipSettings:
    return ClipSettings(
        sample_rate=values["sample_rate"], clip_seconds=values["clip_seconds"], max_stall=values["max_stall"]
    )


def image_topic(values: Mapping[str, Any], camera: str) -> str:
    """The topic that `camera` is read from, image_transport included."""
    topic = values["image_topic"] or f"{camera}/image_raw"
    if values["image_transport"] == "compressed" and not topic.endswith("/compressed"):
        topic += "/compressed"
    return topic


def database(values: Mapping[str, Any], namespace: str) -> Path:
    """The store's file; by default in a folder for each namespace: no two robots share one by accident."""
    if values["database"]:
        return Path(values["database"]).expanduser()
    path = default_database()
    parts = [part for part in namespace.split("/") if part]
    return path.parent.joinpath(*parts, path.name)
