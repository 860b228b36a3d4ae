"""What README.md and docs/ros.md tell users to type works as printed, beside a running node."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import oryx_scene_msgs.action
import oryx_scene_msgs.msg
import oryx_scene_msgs.srv
import pytest
import yaml
from harness import wait_until
from oryx_scene_ros.error_codes import Code

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/ros.md", "docs/ros_interface.md", "docs/dump.md")
CLIENT = re.compile(r"<!-- not run: needs a running node.*?-->\n```python\n(.*?)```", re.DOTALL)
CALL = re.compile(r"ros2 service call (/\S+) (\w+)/srv/(\w+)(?: \"((?:[^\"\\]|\\.)*)\")?")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


CLIENTS = [(page, code) for page in PAGES for code in CLIENT.findall(text_of(page))]
CALLS = [(page, *found) for page in PAGES for found in CALL.findall(text_of(page))]


def test_there_is_something_to_try():
    assert {page for page, _ in CLIENTS} == {"README.md", "docs/ros.md"}
    assert {kind for *_, kind, _ in CALLS} == {"Ask", "DumpQuery"}
    assert len(text_of("README.md").split("```python\n")[1].split("```")[0].splitlines()) == 10


@pytest.mark.parametrize(("page", "code"), CLIENTS, ids=[page for page, _ in CLIENTS])
def test_the_python_client_as_printed(bench, page, code):
    robot = bench(name="oryx_scene")
    answers = robot.listen(oryx_scene_msgs.msg.Answer, "/oryx_scene/answer")
    robot.show()
    environment = {k: v for k, v in os.environ.items() if k != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wait_until(lambda: answers, "the answer beside")
    assert answers[-1].error.code == Code.NONE
    # Marks that are not there need no model: whatever the node said is what the client printed.
    assert answers[-1].text.strip() and answers[-1].text in done.stdout


@pytest.mark.parametrize(
    ("page", "service", "package", "kind", "given"),
    CALLS,
    ids=[f"{page}-{kind}-{index}" for index, (page, _, _, kind, _) in enumerate(CALLS)],
)
def test_the_service_call_as_printed(bench, page, service, package, kind, given):
    robot = bench(name="oryx_scene")
    robot.show()
    assert robot.ask().error.code == Code.NONE
    node, name = service[1:].split("/")
    assert (node, package) == ("oryx_scene", "oryx_scene_msgs")
    # As the shell hands it to ros2, and as ros2 reads it.
    fields = yaml.safe_load(given.replace('\\"', '"')) if given else {}
    reply = robot.call(getattr(oryx_scene_msgs.srv, kind), name, **fields)
    error = reply.answer.error if kind == "Ask" else reply.error
    # The fake model writes no JSON: that the request was understood is seen from the schema's use.
    if fields.get("format") == 4:
        assert robot.answerer.prompts[-1].json_schema
    else:
        assert error.code == Code.NONE, error


def test_every_field_says_what_it_is():
    folder = ROOT / "ros" / "oryx_scene_msgs"
    silent = [
        f"{path.name}: {line}"
        for path in sorted(folder.glob("*/*"))
        for line in path.read_text().splitlines()
        if line.strip() and line.strip() != "---" and "=" not in line.split("#")[0]
        # An enumeration's name is its meaning; a whole comment line goes on from the one above.
        if "#" not in line
    ]
    assert not silent


def test_every_float_has_its_unit():
    unit = re.compile(r"\b(s|m|px|rad|0\.\.1|0\.\.2)\b|\(0, 1\]|0 = greedy|\"unit\"")
    folder = ROOT / "ros" / "oryx_scene_msgs"
    for path in sorted(folder.glob("*/*")):
        for line in path.read_text().splitlines():
            if re.match(r"float(32|64)", line):
                assert unit.search(line.partition("#")[2]), f"{path.name}: {line}"


def test_the_recipes_for_docker_and_pixi_name_what_there_is():
    docker = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", "")
    runs = re.findall(r"^RUN (.*)$", docker, re.MULTILINE)
    assert len(runs) == 3
    for command in runs:
        subprocess.run(["bash", "-n", "-c", command], check=True)
    assert (ROOT / re.search(r"--base-paths src/oryx_scene/(\S+)", docker)[1]).is_dir()
    *_, command, _ = json.loads(re.search(r"^ENTRYPOINT (.*)$", docker, re.MULTILINE)[1])
    subprocess.run(["bash", "-n", "-c", command], check=True)
    pixi = (ROOT / "docker" / "pixi.toml").read_text()
    commands = [json.loads(item) for item in re.findall(r"^cmd = (.*)$", pixi, re.MULTILINE)]
    assert len(commands) == 3
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
    assert (ROOT / re.search(r"--base-paths (\S+)", pixi)[1]).is_dir()
    for text in (docker, pixi):
        assert "ros2 launch oryx_scene_ros scene.launch.py" in text
