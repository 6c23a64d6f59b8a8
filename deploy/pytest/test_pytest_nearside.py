"""The fixtures themselves: NEARSIDE_BINARY=target/debug/nearside pytest deploy/pytest"""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from pytest_nearside import Nearside

ORDERS = {
    "TableName": "Orders",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
}
KEY = {"TableName": "Orders", "Key": {"id": {"S": "a"}}}


@pytest.mark.parametrize("_round", [1, 2])
def test_every_test_begins_with_an_empty_database_and_an_empty_cache(nearside, _round):
    assert nearside.call("ListTables", {}) == {"TableNames": []}
    nearside.call("CreateTable", ORDERS)
    assert nearside.call("GetItem", KEY) == {}
    nearside.call("PutItem", {"TableName": "Orders", "Item": {"id": {"S": "a"}}})
    assert nearside.call("GetItem", KEY) == {"Item": {"id": {"S": "a"}}}


def test_all_tests_share_a_node(nearside, nearside_node):
    assert nearside is nearside_node


def test_sdks_find_it_by_the_environment(nearside):
    assert os.environ["AWS_ENDPOINT_URL_DYNAMODB"] == nearside.endpoint
    boto3 = pytest.importorskip("boto3")
    boto3.client("dynamodb").create_table(**ORDERS)
    tables = boto3.client("dynamodb", **nearside.client_arguments).list_tables()["TableNames"]
    assert tables == ["Orders"]


def test_more_tables_than_one_answer_lists_are_deleted(nearside):
    for number in range(103):
        nearside.call("CreateTable", {**ORDERS, "TableName": f"Orders{number}"})
    nearside.reset()
    assert nearside.call("ListTables", {}) == {"TableNames": []}


def test_a_table_that_is_protected_from_deletion_is_deleted(nearside):
    nearside.call("CreateTable", {**ORDERS, "DeletionProtectionEnabled": True})
    nearside.reset()
    assert nearside.call("ListTables", {}) == {"TableNames": []}


def test_tables_that_are_created_and_deleted_for_a_while_are_waited_for(nearside_binary, tmp_path):
    (tmp_path / "slow.toml").write_text('[local]\nstatus_delay = "500ms"\n')
    node = Nearside(nearside_binary, ["--config", str(tmp_path / "slow.toml")])
    try:
        node.call("CreateTable", {**ORDERS, "DeletionProtectionEnabled": True})
        assert node.call("DescribeTable", {"TableName": "Orders"})["Table"]["TableStatus"] == "CREATING"
        node.reset()
        assert node.call("ListTables", {}) == {"TableNames": []}
    finally:
        node.stop()


def test_the_switch_that_ignores_endpoints_is_off_in_a_test(nearside_binary, tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import os\ndef test_it(nearside): assert 'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS' not in os.environ\n"
    )
    output = run_pytest(tmp_path, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "NEARSIDE_BINARY": str(nearside_binary)})
    assert output.returncode == 0, output.stdout


def test_a_warning_may_come_before_the_greeting(tmp_path):
    program = tmp_path / "nearside"
    program.write_text(
        "#!/bin/sh\necho 'WARN something' >&2\n"
        "echo 'nearside listens on http://127.0.0.1:1; metrics on http://127.0.0.1:2/metrics' >&2\nexec sleep 60\n"
    )
    program.chmod(0o755)
    node = Nearside(str(program))
    assert (node.endpoint, node.admin) == ("http://127.0.0.1:1", "http://127.0.0.1:2")
    node.stop()


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(RuntimeError, match="/nonexistent cannot be run: No such file"):
        Nearside("/nonexistent")


def test_an_error_says_what_the_node_says(nearside):
    with pytest.raises(RuntimeError, match="DescribeTable: 400 .*ResourceNotFoundException"):
        nearside.call("DescribeTable", {"TableName": "Nothing"})


def test_a_node_that_is_stopped_is_gone(nearside_binary):
    node = Nearside(nearside_binary)
    assert urllib.request.urlopen(f"{node.admin}/livez").status == 200
    node.stop()
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{node.admin}/livez")


def test_a_program_that_does_not_start_says_why(nearside_binary):
    with pytest.raises(RuntimeError, match="max-bytes"):
        Nearside(nearside_binary, ["--max-bytes", "much"])


def test_without_a_program_the_reason_is_said(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it(nearside): pass\n")
    output = run_pytest(tmp_path, {})
    assert output.returncode == 1 and "set NEARSIDE_BINARY" in output.stdout


def run_pytest(directory, variables):
    """Runs the tests of a directory with these variables and no others."""
    environment = {"PATH": str(directory), "PYTHONPATH": str(Path(__file__).parent), **variables}
    command = [sys.executable, "-m", "pytest", "-p", "pytest_nearside", "-p", "no:cacheprovider", str(directory)]
    return subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True)
