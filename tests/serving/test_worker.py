"""The child process with the weights: asked by lines of JSON, its errors raised here, started again where it ended."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from cvexp.errors import CvexpError, InputError
from cvexp.serving.worker import Worker

CHILD = """
import json, os, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    if asked["do"] == "end":
        sys.exit(1)
    if asked["do"] == "sleep":
        time.sleep(60)
    if asked["do"] == "garbage":
        print("no JSON", flush=True)
        continue
    if asked["do"] == "fail":
        print(json.dumps({"error": "no such run", "hints": ["try another"], "exit_code": asked["code"]}), flush=True)
        continue
    print(json.dumps({"pid": os.getpid(), **asked}), flush=True)
"""


def asking(use):
    async def inside():
        worker = Worker([sys.executable, "-S", "-c", CHILD], dict(os.environ), common={"store": "here"})
        try:
            return await use(worker)
        finally:
            await worker.close()
            assert not worker.is_running

    return asyncio.run(inside())


def test_one_process_answers_one_request_after_the_other():
    async def twice(worker):
        assert not worker.is_running
        return await asyncio.gather(*[worker.ask({"do": "x", "n": n}, seconds=20) for n in range(5)])

    answers = asking(twice)
    assert [answer["n"] for answer in answers] == list(range(5))
    assert len({answer["pid"] for answer in answers}) == 1
    assert answers[0]["store"] == "here"


@pytest.mark.parametrize(("code", "kind"), [(2, InputError), (1, CvexpError)])
def test_its_errors_are_raised_here(code, kind):
    async def fail(worker):
        with pytest.raises(kind, match="no such run") as raised:
            await worker.ask({"do": "fail", "code": code}, seconds=20)
        return raised.value

    assert asking(fail).lines() == ["no such run", "try another"]


@pytest.mark.parametrize("how", ["end", "garbage", "sleep"])
def test_after_it_ended_or_did_not_answer_another_one_is_started(how):
    async def lose(worker):
        first = (await worker.ask({"do": "x"}, seconds=20))["pid"]
        with pytest.raises(CvexpError, match="the process with the weights"):
            await worker.ask({"do": how}, seconds=0.3 if how == "sleep" else 20)
        return first, (await worker.ask({"do": "x"}, seconds=20))["pid"]

    first, second = asking(lose)
    assert first != second
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
