"""A service in process, with a tiny model in onnxruntime."""

from __future__ import annotations

import asyncio

import pytest

from cvexp.serving.app import Service
from cvexp.serving.limits import Limits
from cvexp.serving.served import load
from tests.serving.made import write_model


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "tiny.onnx"
    return path, write_model(path)


@pytest.fixture(scope="session")
def served(model_file):
    return load(model_file[0], name="tiny", n_threads=1)


@pytest.fixture
def serving(served):
    """Runs a coroutine function on a service with these limits."""

    def run(use, *, limits=None, **arguments):
        async def inside():
            service = Service(served, limits=Limits(**(limits or {})), **arguments)
            try:
                return await use(service)
            finally:
                service.close()

        return asyncio.run(inside())

    return run
