"""What all connections have together: promises are kept, what is not used comes back."""

from ninep.server.budgets import Allowance, Budget, Budgets
from ninep.server.limits import Limits


class Connection:
    """Uses ``used`` of what it may."""

    def __init__(self, budget: Budget, promised: int = 10, most: int = 100, chunk: int = 20) -> None:
        self.used = 0
        self.allowance = Allowance(budget, promised, most, chunk, lambda: self.used)

    def use(self, count: int) -> bool:
        """As a session does: compare, grow, commit."""
        needed = self.used + count
        if needed > self.allowance.granted and not self.allowance.grow(needed):
            return False
        self.used = needed
        return True


def test_a_connection_gets_chunks_up_to_its_own_limit() -> None:
    budget = Budget(1000)
    one = Connection(budget)
    assert all(one.use(1) for _ in range(100))
    assert not one.use(1)
    assert budget.left == 1000 - 90


def test_one_that_takes_everything_leaves_the_others_their_promise() -> None:
    budget = Budget(50)
    hog, other = Connection(budget, most=10_000), Connection(budget)
    while hog.use(1):
        pass
    assert all(other.use(1) for _ in range(10))
    assert not other.use(1)


def test_what_is_not_used_any_more_is_taken_back_when_it_is_needed() -> None:
    budget = Budget(50)
    hog, other = Connection(budget), Connection(budget)
    while hog.use(1):
        pass
    hog.used = 5
    assert all(other.use(1) for _ in range(30))
    assert hog.allowance.granted == 10


def test_the_end_of_a_connection_gives_everything_back() -> None:
    budget = Budget(50)
    one = Connection(budget)
    one.use(50)
    one.allowance.end()
    assert budget.left == 50
    assert Connection(budget).use(60)


def test_a_promise_is_never_more_than_the_limit() -> None:
    one = Connection(Budget(50), promised=10, most=3)
    assert [one.use(1) for _ in range(4)] == [True, True, True, False]


def test_units_are_counted_in_the_budget_as_what_they_take() -> None:
    budget = Budget(1000)
    allowance = Allowance(budget, 2, 100, 4, lambda: 6, unit=100)
    assert allowance.grow(6)
    assert budget.left == 600
    assert not allowance.grow(30)
    assert allowance.granted >= 6


def test_more_or_less_from_now_on_and_what_was_taken_stays() -> None:
    budgets = Budgets(Limits(all_fids=100, all_directories=10))
    budgets.change(Limits(all_fids=300, all_directories=10, all_open_files=4, connections=1))
    assert (budgets.fids.left, budgets.directories.left, budgets.promised_files) == (300, 10, 2)
    one = Connection(budgets.fids)
    while one.use(1):
        pass
    assert budgets.fids.left == 300 - 90
    budgets.change(Limits(all_fids=50))
    other = Connection(budgets.fids)
    assert budgets.fids.left == 50 - 90
    assert other.use(10)
    assert not other.use(1)
    assert one.used == 100
    one.allowance.end()
    assert budgets.fids.left == 50
    assert other.use(1)
