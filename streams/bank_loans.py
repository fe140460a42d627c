"""E-loan applications: each goes as far as it goes, pauses where it pauses, and what is drawn is repaid, or not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.windows import DAY_MS, HOUR_MS, MINUTE_MS
from streams.bank import Bank, Column, Ints, choice, ident, money, whole
from streams.bank_app import App

# What the customer does in the app, in order: event, its share of those who did what is before it, seconds until then.
STEPS = (
    ("loan_view", 1.0, 0),
    ("loan_quota_check", 0.78, 40),
    ("loan_apply_start", 0.68, 60),
    ("loan_apply_step", 0.88, 150),
    ("face_verify_result", 0.92, 90),
    ("doc_upload", 0.92, 120),
    ("credit_auth", 0.95, 60),
    ("loan_submit", 0.93, 45),
)
FACE_RETRY_MS = 25_000
PAUSES = 0.10  # of steps: the customer leaves, and comes back in another session
DOCUMENTS = ("id_card", "income", "property", "licence")
TERMS = (3, 6, 12, 24)


class Applications:
    """n applications under way; `time` is int64[n, steps], `reached` the number of steps done."""

    def __init__(self, bank: Bank, app: App, count: int) -> None:
        rng = bank.rng
        self.bank, self.app = bank, app
        self.customer = bank.pick(count, bank.people.borrows)
        count = self.count = len(self.customer)
        self.number = np.arange(1, count + 1)
        self.amount = np.maximum(bank.cents(45_000, 0.8, count) // 100_000, 3) * 100_000
        self.term = np.array(TERMS)[rng.integers(0, len(TERMS), count)]
        goes_on = rng.random((count, len(STEPS))) < np.array([share for _, share, _ in STEPS])
        self.reached = np.cumprod(goes_on, axis=1).sum(axis=1)
        pauses = rng.random((count, len(STEPS))) < PAUSES
        pauses[:, 0] = False
        least = np.where([event == "doc_upload" for event, _, _ in STEPS], 3 * FACE_RETRY_MS, 4_000)
        gaps = rng.exponential(np.array([seconds for _, _, seconds in STEPS]) * 1000.0, pauses.shape) + least
        gaps = np.where(pauses, bank.spread(pauses.size, 35 * MINUTE_MS, 5 * DAY_MS).reshape(pauses.shape), gaps)
        start = bank.times(np.zeros(count, np.int64), np.full(count, bank.settings.days))
        self.time = start[:, None] + np.cumsum(gaps.astype(np.int64), axis=1)
        self.visit = np.cumsum(pauses, axis=1)
        self.session = self._announce()

    def _announce(self) -> Ints:
        """Sessions for the steps: one for each visit, from its first step to its last; -1 for steps not done."""
        done = np.arange(len(STEPS)) < self.reached[:, None]
        visits = self.number[:, None] * len(STEPS) + self.visit
        session = np.full(done.shape, -1, np.int64)
        which, first, inverse = np.unique(visits[done], return_index=True, return_inverse=True)
        times = self.time[done]
        last = np.zeros(len(which), np.int64)
        np.maximum.at(last, inverse, times)
        start = times[first] - 20_000
        customer = self.customer[which // len(STEPS) - 1]
        session[done] = self.app.visit(customer, start, last - start + MINUTE_MS)[inverse]
        return session

    def ids(self, rows: NDArray) -> dict[str, Column]:
        return {"application_id": ident("A", self.number[rows])}

    def rows(self, step: int) -> Ints:
        return np.flatnonzero(self.reached > step)

    def emit(self, event: str, rows: Ints, time: Ints, properties: dict[str, Column] | None = None) -> None:
        """Emit events of the bank's side about these applications."""
        self.bank.emit(event, self.customer[rows], time, {**self.ids(rows), **(properties or {})})

    def emit_step(
        self, event: str, rows: Ints, step: int, after_ms: int = 0, properties: dict[str, Column] | None = None
    ) -> None:
        """Emit what the customer does at a step, so long after it."""
        time = self.time[rows, step] + after_ms
        self.app.emit(event, self.session[rows, step], time, {**self.ids(rows), **(properties or {})})


def apply(bank: Bank, applications: Applications) -> None:
    """The steps in the app, then what the bank answers."""
    if not applications.count:
        return
    rng, amount = bank.rng, applications.amount
    for step, (event, _, _) in enumerate(STEPS):
        rows = applications.rows(step)
        count = len(rows)
        properties: dict[str, Column] = {}
        if event == "loan_quota_check":
            properties = {"limit_amount": money(amount[rows] * 2)}
        elif event == "loan_apply_start":
            properties = {"amount": money(amount[rows]), "term_months": whole(applications.term[rows])}
        elif event == "loan_apply_step":
            properties = {"step": choice(np.zeros(count, np.int64), ("form",))}
        elif event == "doc_upload":
            properties = {"document": choice(bank.codes(count, (6, 3, 1, 1)), DOCUMENTS)}
        elif event == "loan_submit":
            properties = {"amount": money(amount[rows])}
        if event == "face_verify_result":
            _verify_faces(bank, applications, rows, step)
        else:
            applications.emit_step(event, rows, step, properties=properties)
    contacts = applications.rows(4)
    applications.emit_step(
        "loan_apply_step", contacts, 3, 1_500, {"step": choice(np.zeros(len(contacts), np.int64), ("contacts",))}
    )
    submitted = applications.rows(len(STEPS) - 1)
    answer = applications.time[submitted, -1] + bank.spread(len(submitted), 2 * MINUTE_MS, 6 * HOUR_MS)
    taken = {"step": choice(np.zeros(len(submitted), np.int64), ("review",))}
    applications.emit("loan_apply_step", submitted, applications.time[submitted, -1] + 60_000, taken)
    approved = rng.random(len(submitted)) < 0.68
    refused = submitted[~approved]
    reason = choice(bank.codes(len(refused), (4, 3, 3, 1)), ("score", "income", "debt", "fraud"))
    applications.emit("loan_reject", refused, answer[~approved], {"reject_reason": reason})
    _grant(bank, applications, submitted[approved], answer[approved])


def _verify_faces(bank: Bank, applications: Applications, rows: Ints, step: int) -> None:
    """Up to three attempts, one soon after the other; who fails three times goes no further."""
    trying = rows
    for attempt in range(3):
        goes_on = applications.reached[trying] > step + 1  # who does go on must pass at the last
        fails = bank.rng.random(len(trying)) < 0.22
        if attempt == 2:
            fails &= ~goes_on
        properties = {
            "result": choice(fails.astype(np.int64), ("pass", "fail")),
            "attempt": whole(np.full(len(trying), attempt + 1)),
        }
        applications.emit_step("face_verify_result", trying, step, FACE_RETRY_MS * attempt, properties)
        trying = trying[fails]


def _grant(bank: Bank, applications: Applications, rows: Ints, time: Ints) -> None:
    """Approval, contract, drawing: at once, late, or never."""
    rng, amount = bank.rng, applications.amount
    granted = {"limit_amount": money(amount[rows]), "rate": ("%.2f", rng.uniform(3.4, 9.8, len(rows)))}
    applications.emit("loan_approve", rows, time, granted)
    for event, share, soon, late in (
        ("contract_sign", 0.82, 3 * HOUR_MS, 5 * DAY_MS),
        ("loan_draw", 0.78, 10 * HOUR_MS, 12 * DAY_MS),
    ):
        some = rng.random(len(rows)) < share
        rows, time = rows[some], time[some]
        waits = rng.random(len(rows)) < 0.35
        time = time + bank.spread(len(rows), 10 * MINUTE_MS, soon)
        time = np.where(waits, time + bank.spread(len(rows), 12 * HOUR_MS, late), time)
        if event == "contract_sign":
            applications.emit(event, rows, time)
    bank.emit(
        "loan_draw",
        applications.customer[rows],
        time,
        {**applications.ids(rows), "amount": money(amount[rows])},
        deposit=amount[rows],
    )
    used = rng.random(len(rows)) < 0.8
    savings = bank.people.deposit[applications.customer[rows]] * rng.random(len(rows))
    spent = (amount[rows] * 0.95 + savings).astype(np.int64)
    bank.emit(
        "outflow",
        applications.customer[rows][used],
        time[used] + rng.integers(HOUR_MS, 2 * DAY_MS, int(used.sum())),
        {"amount": money(spent[used]), "target_type": choice(np.zeros(int(used.sum()), np.int64), ("third_party",))},
        deposit=-spent[used],
    )
    _repay(bank, applications, rows, time)


def _repay(bank: Bank, applications: Applications, rows: Ints, drawn: Ints) -> None:
    """An instalment each 30 days, announced 3 days before; some fail, are overdue, and are made good."""
    rng = bank.rng
    instalment = (applications.amount / applications.term * 1.03).astype(np.int64)
    for month in range(1, 1 + bank.settings.days // 30):
        due = drawn + month * 30 * DAY_MS
        amount = instalment[rows]
        announced = {"amount": money(amount), "days_left": whole(np.full(len(rows), 3))}
        applications.emit("repay_due", rows, due - 3 * DAY_MS, announced)
        tops_up = rng.random(len(rows)) < 0.45
        added = (amount * 1.1).astype(np.int64)[tops_up]
        source = choice(np.zeros(len(added), np.int64), ("interbank",))
        bank.emit(
            "inflow",
            applications.customer[rows][tops_up],
            due[tops_up] - 6 * HOUR_MS,
            {"amount": money(added), "source_type": source},
            deposit=added,
        )
        fails = rng.random(len(rows)) < 0.12
        _pay(bank, applications, rows[~fails], due[~fails], amount[~fails])
        failed, when, owed = rows[fails], due[fails], amount[fails]
        why = choice(np.zeros(len(failed), np.int64), ("balance",))
        applications.emit("repay_fail", failed, when, {"amount": money(owed), "reason": why})
        days = {"amount": money(owed), "overdue_days": whole(np.ones(len(failed), np.int64))}
        applications.emit("overdue", failed, when + DAY_MS, days)
        made_good = rng.random(len(failed)) < 0.7
        paid_at = when + rng.integers(2 * DAY_MS, 9 * DAY_MS, len(failed))
        _pay(bank, applications, failed[made_good], paid_at[made_good], owed[made_good])
        rows, drawn = _settle(bank, applications, rows[~fails], drawn[~fails], month)


def _pay(bank: Bank, applications: Applications, rows: Ints, time: Ints, amount: Ints) -> None:
    properties = {**applications.ids(rows), "amount": money(amount)}
    bank.emit("repay_success", applications.customer[rows], time, properties, deposit=-amount)


def _settle(bank: Bank, applications: Applications, rows: Ints, drawn: Ints, month: int) -> tuple[Ints, Ints]:
    """Some pay off what is left a few days after an instalment; returns the others."""
    last = applications.term[rows] <= month
    settles = last | (bank.rng.random(len(rows)) < 0.15)
    done = rows[settles]
    time = drawn[settles] + month * 30 * DAY_MS + np.where(last[settles], HOUR_MS, 4 * DAY_MS)
    early = ~last[settles]
    left = applications.amount[done] - applications.amount[done] * month // applications.term[done]
    _pay(bank, applications, done[early], time[early] - HOUR_MS, left[early])
    applications.emit("settle", done, time)
    return rows[~settles], drawn[~settles]
