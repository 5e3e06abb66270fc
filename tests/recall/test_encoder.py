"""Sentence encoders by the real libraries, on weights drawn at random."""

import numpy as np
import pytest
from tiny_encoder import SIZE, WORDS, make_encoder, make_tokenizer

from taskmem_ros.recall import EncoderError, load_encoder

TEXTS = ["the red mug is on the table", "mug", "the blue book"]


def check(encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dimensions) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    alone = np.stack([encoder.encode([text])[0] for text in TEXTS])
    assert np.allclose(vectors, alone, atol=1e-4), "a text's vector depends on its neighbours"
    assert encoder.encode(TEXTS[:1]) @ encoder.encode(TEXTS[:1]).T == pytest.approx(1.0, abs=1e-5)


def test_an_onnx_file_with_its_tokenizer(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rows = np.random.default_rng(0).normal(size=(len(WORDS), SIZE)).astype(np.float32)
    node = onnx.helper.make_node("Gather", ["rows", "input_ids"], ["last_hidden_state"])
    whole, real = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "encoder",
        [onnx.helper.make_tensor_value_info("input_ids", whole, ["texts", "tokens"])],
        [onnx.helper.make_tensor_value_info("last_hidden_state", real, ["texts", "tokens", SIZE])],
        [onnx.numpy_helper.from_array(rows, "rows")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "onnx").mkdir()
    onnx.save(model, tmp_path / "onnx" / "model.onnx")
    with pytest.raises(EncoderError, match="tokenizer.json"):
        load_encoder(str(tmp_path))
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    encoder = load_encoder(str(tmp_path))
    check(encoder)
    mean = (rows[WORDS.index("blue")] + rows[WORDS.index("book")]) / 2
    assert np.allclose(encoder.encode(["blue book"])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_a_folder_that_transformers_saved(tmp_path):
    make_encoder(tmp_path)
    check(load_encoder(str(tmp_path)))


def test_what_is_no_encoder_is_refused_by_name(tmp_path):
    with pytest.raises(EncoderError, match=str(tmp_path)):
        load_encoder(str(tmp_path))
