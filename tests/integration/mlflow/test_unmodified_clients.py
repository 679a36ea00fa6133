"""What MLflow's own client does through the door: every check of every module, in both versions."""

from __future__ import annotations

from environments import Run


def test_the_client_is_served(run_checks: Run, version: str, check: tuple[str, str]) -> None:
    module, name = check
    problem = run_checks(version, module)[name]
    assert not problem, problem
