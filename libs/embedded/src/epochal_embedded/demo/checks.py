"""What the demo claims, kept as a list: each claim is checked, and the exit code is their sum."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console


@dataclass
class Claims:
    """Claims made so far; `failed` decides the exit code."""

    console: Console
    failed: list[str] = field(default_factory=list)

    def check(self, claim: str, true: bool, found: str = "") -> None:
        """Print a claim with its verdict."""
        mark = "[green]✓[/green]" if true else "[red]✗[/red]"
        self.console.print(f"  {mark} {claim}" + (f" [dim]({found})[/dim]" if found else ""))
        if not true:
            self.failed.append(claim)

    def step(self, number: int, title: str) -> None:
        """Print the headline of a step."""
        self.console.print(f"\n[bold]{number}. {title}[/bold]")
