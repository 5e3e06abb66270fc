"""taskmem for people without ROS 2: `pip install .` gives the library, `taskmem` and `taskmem-train`.

The ROS 2 package is built by colcon from package.xml and CMakeLists.txt; `make setup` does both. Exact
versions are in constraints.txt: `pip install -c constraints.txt .`
"""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def requirements(name: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in (HERE / name).read_text().splitlines())
    return [line for line in lines if line]


def data_files(*folders: str) -> list[tuple[str, list[str]]]:
    found = ((folder, [path for path in glob(f"{folder}/*") if Path(path).is_file()]) for folder in folders)
    return [(f"share/taskmem/{folder}", files) for folder, files in found if files]


# TRL of this version wants Python 3.11.
TRAIN = ['trl>=1.16 ; python_version >= "3.11"', "datasets>=4.7"]
# sftp://, s3:// and http:// exchanges (docs/exchange.md); a folder needs none. s3fs and fsspec are released
# together.
SYNC = ["sshfs>=2026.8", "s3fs>=2026.9", "aiohttp>=3.14"]

setup(
    name="taskmem",
    version="0.1.0",
    description="Long-term memory for robots that learns what is worth remembering",
    license="Apache-2.0",
    python_requires=">=3.10",
    package_dir={"taskmem_ros": "src/taskmem_ros", "taskmem_train": "train/taskmem_train"},
    packages=find_packages("src") + find_packages("train"),
    package_data={"taskmem_ros.report": ["page/*"], "taskmem_train.nightly": ["page/*"]},
    data_files=data_files("models/demo", "launch", "config", "systemd"),
    install_requires=[
        "torch>=2.6",
        "transformers>=5",
        "accelerate>=1.0",
        "peft>=0.21",
        "bitsandbytes>=0.48",
        "safetensors",
        "tokenizers",
        "sqlite-utils>=4",
        "numpy",
        "pillow",
        "pyyaml",
        "json_repair",
        "tqdm",
        "networkx",
        # The exchange: places by URL, signatures of adapters.
        "fsspec>=2026.9",
        "cryptography>=50",
        # OpenAI-compatible endpoints as readers; the hub's client brings both already.
        "anyio>=4",
        "httpx2>=2",
        "rich>=13",
        "jinja2>=3.1",
        # cv2 without a window system; opencv-python supplies the same cv2, and both at once overwrite each
        # other.
        "opencv-python-headless>=4.9",
        # Image messages of any encoding, and bags, to arrays. This replaces cv_bridge where there is none:
        # the cv-bridge on PyPI is ROS 1's and must not be installed; ROS 2's comes with ROS (package.xml).
        "rosbags>=0.11",
        "rosbags-image>=0.10",
    ],
    extras_require={
        # Search by meaning with an encoder that is an ONNX file; others need nothing more.
        "meaning": [
            "onnxruntime>=1.17",
        ],
        # Phase One and Phase Two: `taskmem-train phase-one`, `phase-two`.
        "train": TRAIN,
        # Exchanges over the network: `taskmem sync`, `taskmem-train nightly`.
        "sync": SYNC,
        # Parquet, for `taskmem export`.
        "export": [
            "pyarrow>=14",
        ],
        "test": [
            *SYNC,
            *TRAIN,
            "matplotlib",
            # A real S3 server; its extra named server brings much that this one does not need.
            "moto[s3]>=5.2",
            "flask",
            "flask-cors",
            "onnx>=1.16",
            "onnxruntime>=1.17",
            "pyarrow>=14",
            "pytest",
            "pytest-xdist",
            "ruff",
        ],
        # rclpy and messages, where no ROS 2 is installed. scripts/setup_env.py makes them able to build
        # interfaces.
        "ros-wheels": requirements("requirements-ros.txt"),
    },
    entry_points={
        "console_scripts": ["taskmem = taskmem_ros.cli:main", "taskmem-train = taskmem_train.cli:main"],
    },
)
