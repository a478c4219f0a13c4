"""Flags, environment and log lines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from modelrelease.runtime import logs
from modelrelease.runtime.config import parse


def test_flags_win_over_the_environment_and_that_over_defaults() -> None:
    environment = {"MODELRELEASE_PULLER_IMAGE": "env", "MODELRELEASE_WORKERS": "3", "MODELRELEASE_NAMESPACE": "a, b"}
    config = parse(["--puller-image", "flag", "--prometheus-url", "https://prom:9090/"], environment)
    assert (config.puller_image, config.workers, config.namespaces) == ("flag", 3, ("a", "b"))
    assert config.prometheus_url == "https://prom:9090"
    assert config.metrics_port == 8080
    assert not config.clusterwide


def test_namespaces_can_be_repeated_and_none_means_all() -> None:
    assert parse(["--puller-image", "i"], {}).clusterwide
    given = ["--puller-image", "i", "--namespace", "a", "--namespace", "b", "--namespace", "a"]
    assert parse(given, {"MODELRELEASE_NAMESPACE": "c"}).namespaces == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ([], {}, "MODELRELEASE_PULLER_IMAGE"),
        (["--prometheus-url", "prometheus:9090"], {}, "http://HOST:PORT"),
        (["--prometheus-url", "https://u:secret@prom"], {}, "has a password: put it into the folder"),
        (["--prometheus-url", "https://prom/api?tenant=a"], {}, "leave out what follows the ?"),
        (["--workers", "0"], {}, "'0' is not a whole number from 1 to 256"),
        ([], {"MODELRELEASE_WORKERS": "many"}, "'many' is not a whole number from 1 to 256"),
        (["--metrics-port", "70000"], {}, "from 0 to 65535"),
        (["--namespace", "Not A Name"], {}, "'Not A Name' is no namespace"),
        (["--lease-namespace", "_"], {}, "'_' is no namespace"),
        (["--log-format", "xml"], {}, "'xml' is not one of json, text"),
        ([], {"MODELRELEASE_LOG_LEVEL": "loud"}, "'loud' is not one of debug, info, warning"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], environment: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = [] if "PULLER" in said else ["--puller-image", "i"]
    with pytest.raises(SystemExit) as ended:
        parse([*image, *arguments], environment)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert "secret" not in err


def test_prometheus_may_have_a_path_and_want_credentials() -> None:
    flags = ["--puller-image", "i", "--prometheus-url", "https://mimir/prometheus/", "--prometheus-access", "/run/it"]
    config = parse(flags, {})
    assert (config.prometheus_url, str(config.prometheus_access)) == ("https://mimir/prometheus", "/run/it")
    assert parse(["--puller-image", "i"], {}).prometheus_access is None


@pytest.fixture
def root() -> Iterator[None]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def logged(form: str) -> str:
    stream = io.StringIO()
    logs.configure(form=form, level="info", stream=stream)
    logger = logging.getLogger("modelrelease.test")
    logger.debug("hidden")
    logger.info("step %d of %d", 2, 5, extra=logs.fields(namespace="vision", release="digits"))
    try:
        raise ValueError("a mistake")
    except ValueError:
        logger.exception("it failed")
    logging.getLogger("kopf.objects").warning("noise")
    return stream.getvalue()


def test_a_log_line_is_one_json_object(root: None) -> None:
    first, second = (json.loads(line) for line in logged("json").splitlines())
    assert first["message"] == "step 2 of 5"
    assert (first["level"], first["namespace"], first["release"]) == ("info", "vision", "digits")
    assert first["time"].endswith("+00:00")
    assert "ValueError: a mistake" in second["exception"]


def test_text_lines_show_the_fields(root: None) -> None:
    assert "step 2 of 5 [namespace=vision release=digits]" in logged("text")
