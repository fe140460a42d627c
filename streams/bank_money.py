"""How money moves: payroll, cards, transfers, bills, wealth products; and snapshots of balances that add up."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from models.windows import DAY_MS, HOUR_MS
from streams.bank import Bank, Column, Floats, Ints, choice, flag, ident, money, whole
from streams.bank_app import App

PAYDAYS = (5, 10, 15, 25)
BILLS = ("phone", "utility", "property", "tuition", "traffic", "credit_card")
CATEGORIES = ("grocery", "dining", "transport", "shopping", "health", "education", "travel", "other")
COUNTERPARTIES = ("self", "family", "friend", "merchant", "other")
REASONS = ("balance", "limit", "risk", "network")
LARGE_CENTS = 2_000_000  # a move after which the day's end has a snapshot
YEARLY_INTEREST = 0.028


def payroll(bank: Bank) -> None:
    """Salaries and pensions, every month on the employer's day; some start, some stop."""
    people, rng = bank.people, bank.rng
    paid = np.flatnonzero((people.salary[: people.existing] > 0) & (rng.random(people.existing) < 0.75))
    dates = [bank.first_day + timedelta(days=day) for day in range(bank.settings.days)]
    months = sorted({(date.year, date.month) for date in dates})
    paid = paid[: bank.share(0.07 / len(months))]
    payday = np.array(PAYDAYS)[rng.integers(0, len(PAYDAYS), len(paid))]
    starts = np.where(rng.random(len(paid)) < 0.06, rng.integers(0, len(months), len(paid)), -1)
    stops = np.where(rng.random(len(paid)) < 0.08, rng.integers(1, len(months) + 1, len(paid)), len(months))
    for number, month in enumerate(months):
        for day, date in enumerate(dates):
            if (date.year, date.month) != month or date.day not in PAYDAYS:
                continue
            who = np.flatnonzero((payday == date.day) & (starts <= number) & (number < stops))
            customer = paid[who]
            amount = (people.salary[customer] * rng.uniform(0.98, 1.02, len(who))).astype(np.int64)
            time = bank.start_ms + day * DAY_MS + 9 * HOUR_MS + rng.integers(0, 2 * HOUR_MS, len(who))
            properties = {
                "amount": money(amount),
                "is_first": flag(starts[who] == number),
                "employer_id": ident("E", customer % 97),
            }
            bank.emit("payroll_credit", customer, time, properties, deposit=amount)


def spend(bank: Bank) -> None:
    """Cards, and money that comes and goes at the counter and by other banks."""
    people, rng = bank.people, bank.rng
    customer = bank.pick(bank.share(0.065), people.spends)
    count = len(customer)
    amount = bank.cents(45 * people.scale[customer] ** 0.5, 1.0, count)
    debit = rng.random(count) < 0.7
    spent = {
        "amount": money(amount),
        "card_type": choice(1 - debit, ("debit", "credit")),
        "category": choice(bank.codes(count, (25, 22, 18, 15, 6, 4, 4, 6)), CATEGORIES),
    }
    bank.emit("card_spend", customer, bank.any_time(count), spent, deposit=np.where(debit, -amount, 0))
    for event, share, median in (("inflow", 0.025, 1_500), ("outflow", 0.015, 1_200)):
        customer = bank.pick(bank.share(share), people.spends)
        amount = bank.cents(median * people.scale[customer], 1.2, len(customer))
        large = rng.random(len(customer)) < 0.06
        part = (people.deposit + people.wealth)[customer] * rng.uniform(0.25, 0.9, len(customer))
        amount = np.where(large, np.maximum(amount, part.astype(np.int64)), amount)
        kinds = ("interbank", "cash", "third_party", "refund" if event == "inflow" else "securities")
        moved: dict[str, Column] = {
            "amount": money(amount),
            "source_type" if event == "inflow" else "target_type": choice(
                bank.codes(len(customer), (5, 2, 3, 1)), kinds
            ),
        }
        sign = 1 if event == "inflow" else -1
        bank.emit(event, customer, bank.any_time(len(customer)), moved, deposit=sign * amount)


def transfer(bank: Bank, app: App) -> None:
    """Transfers by app, in and out, and bills."""
    people, rng = bank.people, bank.rng
    session, time = app.host(bank.share(0.02), people.scale**0.3)
    count = len(session)
    amount = bank.cents(700 * people.scale[app.sessions.customer[session]], 1.1, count)
    transfer_id = rng.integers(1, 10**9, count)
    sent = {"transfer_id": ident("F", transfer_id), "amount": money(amount)}
    app.emit("transfer_submit", session, time, sent)
    fails = rng.random(count) < 0.06
    bad, good = np.flatnonzero(fails), np.flatnonzero(~fails)
    reason = choice(bank.codes(len(bad), (4, 2, 1, 3)), REASONS)
    app.emit("transfer_fail", session[bad], time[bad] + 2_000, {**_rows(sent, bad), "reason": reason})
    done = {
        **_rows(sent, good),
        "direction": choice(np.zeros(len(good), np.int64), ("out",)),
        "counterparty": choice(bank.codes(len(good), (2, 3, 3, 2, 2)), COUNTERPARTIES),
    }
    app.emit("transfer_success", session[good], time[good] + 2_000, done, deposit=-amount[good])
    customer = bank.pick(bank.share(0.004), people.spends)
    amount = bank.cents(500 * people.scale[customer], 1.1, len(customer))
    got = {
        "transfer_id": ident("F", rng.integers(1, 10**9, len(customer))),
        "amount": money(amount),
        "direction": choice(np.zeros(len(customer), np.int64), ("in",)),
        "counterparty": choice(bank.codes(len(customer), (2, 3, 3, 1, 2)), COUNTERPARTIES),
    }
    bank.emit("transfer_success", customer, bank.any_time(len(customer)), got, deposit=amount)
    session, time = app.host(bank.share(0.02))
    amount = bank.cents(90, 0.8, len(session))
    bill = choice(bank.codes(len(session), (30, 30, 8, 4, 8, 20)), BILLS)
    app.emit("bill_pay", session, time, {"amount": money(amount), "bill": bill}, deposit=-amount)


def _rows(properties: dict[str, Column], rows: Ints) -> dict[str, Column]:
    return {name: (text, values[rows]) for name, (text, values) in properties.items()}


def wealth(bank: Bank, app: App) -> None:
    """Orders, holdings that mature after their notice, and early redemptions; also of older holdings."""
    people, rng = bank.people, bank.rng
    session, time = app.host(bank.share(0.005), 0.1 + people.wealth.astype(bool) * people.scale**0.3)
    customer = app.sessions.customer[session]
    count = len(session)
    amount = np.maximum(bank.cents(12_000 * people.scale[customer], 0.8, count) // 100_000, 1) * 100_000
    product = rng.integers(1, 60, count)
    submitted: dict[str, Column] = {
        "order_id": ident("W", rng.integers(1, 10**9, count)),
        "product_id": ident("P", product),
        "product_risk": whole(1 + product % 5),
        "amount": money(amount),
    }
    app.emit("wealth_order_submit", session, time, submitted)
    fails = rng.random(count) < 0.1
    bad, good = np.flatnonzero(fails), np.flatnonzero(~fails)
    failed = {name: column for name, column in _rows(submitted, bad).items() if name != "product_risk"}
    failed["reason"] = choice(bank.codes(len(bad), (4, 2, 2, 1)), ("balance", "quota", "risk_mismatch", "network"))
    app.emit("wealth_order_fail", session[bad], time[bad] + 3_000, failed)
    customer, amount, held_from = customer[good], amount[good], time[good] + 3_000
    days = np.array([7, 14, 30, 60, 90])[bank.codes(len(good), (3, 3, 4, 2, 1))]
    bought = {**_rows(submitted, good), "term_days": whole(days)}
    app.emit("wealth_order_success", session[good], held_from, bought, deposit=-amount, wealth=amount)
    ids = _rows({name: submitted[name] for name in ("order_id", "product_id")}, good)
    early = rng.random(len(good)) < 0.12
    _hold(bank, customer[~early], held_from[~early], days[~early], amount[~early], _rows(ids, np.flatnonzero(~early)))
    _redeem(bank, customer[early], held_from[early], days[early], amount[early], _rows(ids, np.flatnonzero(early)))
    _older_holdings(bank)


def _older_holdings(bank: Bank) -> None:
    people, rng = bank.people, bank.rng
    holders = np.flatnonzero(people.wealth[: people.existing] > 0)
    customer = rng.permutation(holders)[: bank.share(0.003)]
    ids: dict[str, Column] = {
        "order_id": ident("W", rng.integers(1, 10**9, len(customer))),
        "product_id": ident("P", rng.integers(1, 60, len(customer))),
    }
    days = np.full(len(customer), 90)
    bought = bank.any_time(len(customer)) - days * DAY_MS
    amount = (people.wealth[customer] * rng.uniform(0.2, 0.7, len(customer))).astype(np.int64)
    _hold(bank, customer, bought, days, amount, ids)


def _hold(bank: Bank, customer: Ints, since: Ints, days: Ints, principal: Ints, ids: dict[str, Column]) -> None:
    matures = since + days * DAY_MS
    amount = principal + _interest(principal, days)
    paid: dict[str, Column] = {**ids, "amount": money(amount), "principal": money(principal)}
    for left in (3, 0):
        properties = {**paid, "days_left": whole(np.full(len(days), left))}
        moved = (amount, -principal) if left == 0 else (None, None)
        bank.emit("product_mature", customer, matures - left * DAY_MS, properties, deposit=moved[0], wealth=moved[1])


def _redeem(bank: Bank, customer: Ints, since: Ints, days: Ints, principal: Ints, ids: dict[str, Column]) -> None:
    held = np.maximum((days * bank.rng.uniform(0.1, 0.9, len(days))).astype(np.int64), 1)
    amount = principal + _interest(principal, held)
    properties: dict[str, Column] = {**ids, "amount": money(amount), "principal": money(principal)}
    time = since + held * DAY_MS
    bank.emit("wealth_redeem", customer, time, properties, channel="app", deposit=amount, wealth=-principal)


def _interest(principal: Ints, days: Ints) -> Ints:
    return (principal * (YEARLY_INTEREST * days / 365)).astype(np.int64)


# --- what the core hands over first, and snapshots


def hand_over(bank: Bank) -> None:
    """What was known of the customers before the first day: consents, and risk assessments, some of which run out."""
    people, rng = bank.people, bank.rng
    time = bank.start_ms + rng.integers(0, 4 * HOUR_MS, people.existing)
    known = np.flatnonzero(rng.random(people.existing) < 0.85)
    consent = {
        "marketing": flag(rng.random(len(known)) < 0.8),
        "quiet": flag(rng.random(len(known)) < 0.06),
    }
    bank.emit("consent_change", known, time[known] + 1_000, consent)
    assessed = np.flatnonzero((people.wealth[: people.existing] > 0) & (rng.random(people.existing) < 0.5))
    until = bank.start_ms + (rng.uniform(-0.3, 3.0, len(assessed)) * 120 * DAY_MS).astype(np.int64)
    rated = {"rating": whole(1 + bank.codes(len(assessed), (2, 4, 5, 3, 1))), "valid_until": whole(until)}
    bank.emit("risk_assessment_done", assessed, time[assessed] + 2_000, rated)


def snapshots(bank: Bank, at_most: int) -> None:
    """A snapshot of each account when it is first seen, after large moves, and weekly where money moved.

    A deposit that its moves would overdraw was larger to begin with: so balances never fall below zero.
    """
    customer, time, deposit, wealth = _all_moves(bank)
    first_who, first_at = _first_snapshots(bank)
    who, at = _later_snapshots(bank, customer, time, deposit, max(0, at_most - len(first_who)))
    seen = np.concatenate([first_who, who])
    seen_at = np.concatenate([first_at, at]) | 1  # odd: never at the time of a move
    everyone = np.concatenate([customer, seen])
    when = np.concatenate([time, seen_at])
    order = np.lexsort((when, everyone))
    nothing = np.zeros(len(seen), np.int64)
    balances = [
        _running(everyone[order], np.concatenate([moved, nothing])[order], opening)
        for moved, opening in ((deposit, bank.people.deposit), (wealth, bank.people.wealth))
    ]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    balance, held = (column[place[len(customer) :]] for column in balances)
    properties: dict[str, Column] = {
        "balance": money(balance),
        "wealth": money(held),
        "assets": money(balance + held),
    }
    first, later = np.arange(len(first_who)), np.arange(len(first_who), len(seen))
    with_master_data = {**_rows(properties, first), **bank.people.master_data(first_who)}
    _emit_snapshots(bank, first_who, seen_at[first], with_master_data)
    _emit_snapshots(bank, who, seen_at[later], _rows(properties, later))


def _emit_snapshots(bank: Bank, customer: Ints, time: Ints, properties: dict[str, Column]) -> None:
    before = len(bank.blocks)
    bank.emit("balance_snapshot", customer, time, properties)
    for block in bank.blocks[before:]:
        block.time[:] |= 1


def _all_moves(bank: Bank) -> tuple[Ints, Ints, Ints, Ints]:
    nothing = np.zeros(0, np.int64)
    columns = list(zip(*bank.moves, strict=True)) or [[nothing]] * 4
    customer, time, deposit, wealth = (np.concatenate(column) for column in columns)
    return customer, time, deposit, wealth


def _first_snapshots(bank: Bank) -> tuple[Ints, Ints]:
    people = bank.people
    old = np.arange(people.existing)
    new = np.arange(people.existing, people.count)
    new = new[people.ready[new] < bank.end_ms - HOUR_MS]
    at = bank.start_ms + bank.rng.integers(0, 4 * HOUR_MS, len(old))
    return np.concatenate([old, new]), np.concatenate([at, people.ready[new] + 30_000])


def _later_snapshots(bank: Bank, customer: Ints, time: Ints, deposit: Ints, at_most: int) -> tuple[Ints, Ints]:
    """Ends of days: those with a large move, and Sundays (or the last day) of weeks with any."""
    days = bank.settings.days
    day = (time - bank.start_ms) // DAY_MS
    sunday = np.minimum(day + (6 - (bank.first_day.weekday() + day)) % 7, days - 1)
    large = np.abs(deposit) >= LARGE_CENTS
    wanted = np.unique(np.concatenate([customer * days + sunday, customer[large] * days + day[large]]))
    if len(wanted) > at_most:
        wanted = np.sort(bank.rng.permutation(wanted)[:at_most])
    within = bank.rng.integers(HOUR_MS // 20, HOUR_MS // 2, len(wanted))
    return wanted // days, bank.start_ms + (wanted % days + 1) * DAY_MS - within


def _running(customer: Ints, moved: Ints, opening: Floats | Ints) -> Ints:
    """The balance after each move; rows sorted by customer and time. The opening is raised where it would not do."""
    if not len(customer):
        return moved
    starts = np.flatnonzero(np.concatenate([[True], customer[1:] != customer[:-1]]))
    sums = np.cumsum(moved)
    before = np.repeat(sums[starts] - moved[starts], np.diff(np.append(starts, len(sums))))
    within = sums - before
    lowest = np.minimum.reduceat(within, starts)
    enough = np.maximum(opening[customer[starts]], -lowest)
    return within + np.repeat(enough, np.diff(np.append(starts, len(sums))))
