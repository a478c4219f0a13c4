"""What is shown on a terminal and line by line, and what the follower keeps."""

from rich.console import Console

from localcluster.demo import plain, screen, view
from localcluster.demo.acts import acts
from localcluster.demo.checks import Check
from localcluster.demo.follower import Follower
from localcluster.demo.releases import V1, V2, release
from localcluster.demo.settings import Settings
from localcluster.demo.show import Show
from tests.demo.sample import START, request

ARTIFACT = {"uri": "file:///a", "digest": "sha256:0"}
SINCE = "2026-01-01T00:00:00Z"
STABLE = {"revision": "r1", "version": "v1", "artifact": ARTIFACT, "replicas": 1, "since": SINCE}


class Now:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> float:
        return self.at


def body(version, status) -> dict:
    found = release(version=version, settings=Settings())
    return {**found, "metadata": {**found["metadata"], "generation": 2}, "status": {"observedGeneration": 2, **status}}


def climbing(weight: int, *, accepted: int, step: int = 1) -> dict:
    candidate = {
        "revision": "r2",
        "version": "v2",
        "attempt": 1,
        "stage": "Step",
        "startedAt": SINCE,
        "progressAt": SINCE,
        "ladder": [10, 25, 50],
        "step": step - 1,
        "weight": {"desired": weight, "accepted": accepted},
        "verdicts": [{"metric": "error-ratio", "verdict": "Pass", "message": "fine", "samples": 90}],
    }
    awaited = {"reason": "Gateway", "what": f"the gateway to accept {weight} %", "since": SINCE, "who": "the gateway"}
    status = {"phase": "Progressing", "step": f"{step}/3", "stable": STABLE, "candidate": candidate}
    return body(V2, status if accepted == weight else {**status, "waitingFor": awaited})


class Replay:
    """Yields what a watch would."""

    def __init__(self, *bodies) -> None:
        self._bodies = bodies

    def follow(self, name):
        yield from self._bodies


def playing(*bodies) -> tuple[Show, Now]:
    now = Now()
    show = Show(acts=acts(Settings()), started=now.at, rate=60, clock=now)
    for index in range(3):
        show.begin(index)
        now.at += 10
        show.end([Check(text="fine", ok=True)])
    show.follower = Follower(source=Replay(), name="digits")
    show.begin(3)
    for one in bodies:
        show.follower.take(one)
    return show, now


def drawn(show: Show) -> str:
    console = Console(width=120, height=60, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(view.render(show))
    return capture.get()


def test_the_view_shows_acts_release_traffic_and_what_is_awaited():
    show, now = playing(climbing(25, accepted=10, step=2))
    for place in range(20):
        at = now.at - START - 0.1 * place
        show.recorder.add(request(at=at, revision="r2" if place % 4 == 0 else "r1", ok=place != 0))
    show.wait("v2 to end")
    now.at += 4
    text = drawn(show)
    assert "✔ v1 (FP32) is built and becomes stable" in text
    assert "▶ v2 (INT8) climbs step by step" in text
    assert "0:34 gone" in text
    assert "the gateway to accept 25 %" in text
    assert "error-ratio" in text
    assert "waiting for v2 to end  0:04" in text
    rows = {line.split()[1]: line.split()[2:4] for line in text.splitlines() if line.startswith("│ v")}
    assert rows == {"v1": ["15", "0"], "v2": ["5", "1"]}


def test_an_act_that_failed_is_marked_and_stays_the_current_one():
    show, _ = playing()
    show.end([Check(text="no", ok=False, found="yes")])
    assert show.current == 3
    assert "✘ v2 (INT8)" in drawn(show)


def test_lines_change_with_weights_and_verdicts_but_not_with_numbers():
    show, _ = playing(climbing(10, accepted=0))
    before = plain.line(show)
    assert "step 1/3, weight 10 % desired, 0 % accepted; error-ratio Pass; v1 stable; awaits Gateway" in before
    show.wait("v2 to end")
    assert plain.line(show) == before
    again = climbing(10, accepted=0)
    again["status"]["candidate"]["verdicts"][0]["samples"] = 91
    show.follower.take(again)
    assert plain.line(show) == before
    show.follower.take(climbing(10, accepted=10))
    assert "10 % accepted" in plain.line(show)


def test_the_plain_screen_prints_each_state_once(capsys):
    show, _ = playing(climbing(10, accepted=10))
    with screen.screen(live=False) as plainly:
        plainly.update(show)
        plainly.update(show)
        show.wait("something")
        plainly.update(show)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("waiting for something")


def test_the_follower_keeps_changes_names_and_moments():
    follower = Follower(source=Replay(), name="digits")
    follower.begin("v1")
    follower.take(body(V1, {"phase": "Ready", "stable": STABLE}))
    follower.take(body(V1, {"phase": "Ready", "stable": STABLE}))
    assert len(follower.moments) == 1
    follower.begin("v2")
    follower.take(climbing(10, accepted=0))
    follower.take(climbing(10, accepted=10))
    assert [(m.act, m.accepted) for m in follower.moments] == [("v1", 0), ("v2", 0), ("v2", 0), ("v2", 10)]
    assert [status.phase for status in follower.statuses()] == ["Ready", "Progressing", "Progressing"]
    assert follower.names == {"r1": "v1", "r2": "v2"}
    assert follower.moments[-1].shares() == {"v1": 90, "v2": 10}


def test_the_follower_takes_up_a_lost_connection_again():
    from modelrelease.cli.errors import CommandError

    class Flaky:
        calls = 0

        def follow(self, name):
            self.calls += 1
            if self.calls == 1:
                raise CommandError("the API server does not answer")
            yield climbing(10, accepted=10)
            follower.stop()
            yield climbing(25, accepted=25)

    source = Flaky()
    follower = Follower(source=source, name="digits", retry_s=0.01)
    follower.begin("v2")
    follower.start()
    follower.join(10)
    assert not follower.is_alive()
    assert source.calls == 2
    assert [moment.accepted for moment in follower.moments] == [10]
