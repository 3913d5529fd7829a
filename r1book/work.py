"""What does `stages.run` ask of a stage's work? What trainers and makers share, and its defaults.

Leaves out the work itself (`trainers.py`, `makers.py`, `rewarders.py`) and who runs it
(`stages.py`).
"""


class Work:
    """What is done step by step, and can be taken up again after each. Besides what stands here, a
    work has `step`, `state`, `restore`, `parameters` and `leave`."""

    forks_at: int | None = None
    """The step after which another run can take it over, of a base's trunk."""
    steps: int
    """How many it has at most."""
    seed: int

    def beside(self) -> int:
        """Return the size of what only grades, a reference or a teacher: each trained token passes
        through it once."""
        return 0

    def ended(self) -> bool:
        """Whether it ends here, be it before its last step."""
        return False

    def expected(self, done: int) -> int:
        """Return how many steps it will have, as it looks after so many."""
        return self.steps
