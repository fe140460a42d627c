"""What customers do in the app: sessions, and what happens within them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.windows import DAY_MS, HOUR_MS, MINUTE_MS
from streams.bank import (
    NEVER_MS,
    Bank,
    Column,
    Floats,
    Ints,
    Sessions,
    choice,
    flag,
    ident,
    money,
    whole,
)

SCREENS = ("home", "account", "transfer", "wealth", "fund", "loan", "card", "life", "rights", "mine")
SCREEN_WEIGHTS = (30, 18, 10, 10, 6, 4, 6, 6, 4, 6)
PRODUCTS = ("deposit", "wealth", "fund", "insurance", "gold", "loan", "card")
METHODS = ("password", "fingerprint", "face", "sms_code")
KEYWORDS = ("理财", "基金", "转账记录", "大额存单", "黄金", "贷款利率", "信用卡还款", "流水证明", "养老金", "积分")
SMALL_TALK = (
    ("search", 0.01),
    ("campaign_join", 0.005),
    ("coupon_redeem", 0.003),
    ("service_chat", 0.003),
    ("complaint", 0.0008),
    ("nps", 0.003),
    ("risk_assessment_done", 0.003),
    ("consent_change", 0.002),
)
TOPICS = ("account", "transfer", "wealth", "loan", "card")


class App:
    """The app's sessions: visits are announced, then `open` makes them sessions, then things happen in them."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.visits: list[tuple[Ints, Ints, Ints]] = []  # customer, start, length in ms
        self.announced = 0

    def visit(self, customer: Ints, start: Ints, length: Ints) -> Ints:
        """Announce visits; returns their sessions."""
        self.visits.append((customer, start, length))
        self.announced += len(start)
        return np.arange(self.announced - len(start), self.announced)

    def visit_at_will(self, count: int) -> None:
        """Sessions of customers who come by themselves, as their persona and their weekday have it."""
        bank, people = self.bank, self.bank.people
        customer = bank.pick(count, people.app)
        start = bank.times(people.joins[customer], people.leaves[customer])
        length = bank.spread(len(customer), 30_000, 25 * MINUTE_MS)
        self.visit(customer, np.minimum(start, bank.end_ms - length - 10_000), length)

    def open(self) -> None:
        """Make sessions of all visits, with their starts, logins and ends."""
        bank, rng = self.bank, self.bank.rng
        customer, start, length = (np.concatenate(part) for part in zip(*self.visits, strict=True))
        count = len(start)
        channel = np.array(["app", "mini_program"], object)[(rng.random(count) < 0.15).astype(int)]
        self.sessions = Sessions(customer, start, length, channel)
        session = np.arange(count)
        opened: dict[str, Column] = {
            "version": choice(bank.codes(count, (1, 3, 6)), ("8.1.0", "8.2.3", "8.3.1")),
            "source": choice(bank.codes(count, (80, 9, 3, 5, 3)), ("icon", "push", "sms", "link", "widget")),
        }
        self.emit("app_start", session, start, opened)
        fails = np.flatnonzero(rng.random(count) < 0.03)
        for attempt in range(3):
            reason = choice(
                bank.codes(len(fails), (70, 5, 15, 10)), ("wrong_password", "locked", "network", "new_device")
            )
            method = choice(bank.codes(len(fails), (6, 1, 2, 1)), METHODS)
            self.emit("login_fail", fails, start[fails] + 3_000 * (attempt + 1), {"method": method, "reason": reason})
            fails = fails[rng.random(len(fails)) < 0.4]
        logged_in = np.flatnonzero(rng.random(count) < 0.85)
        method = choice(bank.codes(len(logged_in), (15, 45, 30, 10)), METHODS)
        self.emit("login_success", logged_in, start[logged_in] + 12_000, {"method": method})
        ended = {"duration_s": whole(length // 1000), "screens": whole(1 + length // 40_000)}
        self.emit("app_end", session, start + length, ended)

    def emit(
        self,
        event: str,
        session: Ints,
        time: Ints,
        properties: dict[str, Column],
        deposit: Ints | None = None,
        wealth: Ints | None = None,
    ) -> None:
        """Emit events within sessions."""
        self.bank.emit(
            event,
            self.sessions.customer[session],
            time,
            properties,
            session=session,
            channel=self.sessions.channel[session],
            deposit=deposit,
            wealth=wealth,
        )

    def host(self, count: int, weights: Floats | None = None) -> tuple[Ints, Ints]:
        """Sessions in which something happens, and when; by weights of their customers, who have an account."""
        sessions, people = self.sessions, self.bank.people
        able = sessions.start > people.ready[sessions.customer]
        if weights is not None:
            able = able * weights[sessions.customer]
        session = self.bank.pick(count, able.astype(float))
        room = (sessions.length[session] - 14_000).clip(2_000)
        return session, sessions.start[session] + 13_000 + (self.bank.rng.random(len(session)) * room).astype(np.int64)


def join(bank: Bank, app: App) -> None:
    """New customers: install, register, and bind a card soon, late, or never."""
    people, rng = bank.people, bank.rng
    new = np.arange(people.existing, people.count)
    if not len(new):
        return
    last = max(1, bank.settings.days - 1)
    start = bank.times(np.zeros(len(new), np.int64), np.full(len(new), last))
    people.joins[new] = ((start - bank.start_ms) // DAY_MS + 1).clip(max=bank.settings.days - 1)
    people.leaves[new] = bank.settings.days
    people.app[new] += 0.3
    fate = rng.random(len(new))
    delay = np.where(fate < 0.6, bank.spread(len(new), 5 * MINUTE_MS, 2 * DAY_MS), NEVER_MS)
    delay = np.where((fate >= 0.6) & (fate < 0.8), rng.integers(4 * DAY_MS, 9 * DAY_MS, len(new)), delay)
    binds = delay < NEVER_MS
    bound_at = np.where(binds, start + np.minimum(delay, 30 * DAY_MS), NEVER_MS)
    people.ready[new] = bound_at
    first = app.visit(new, start, np.full(len(new), 4 * MINUTE_MS))
    os = choice(bank.codes(len(new), (4, 4, 2)), ("ios", "android", "harmony"))
    bank.emit("app_install", new, start - 60_000, {"os": os}, channel="app")
    bank.emit("register", new, start + 90_000, people.master_data(new), session=first, channel="app")
    agreed = flag(rng.random(len(new)) < 0.8), flag(np.zeros(len(new), bool))
    consent = {"marketing": agreed[0], "quiet": agreed[1]}
    bank.emit("consent_change", new, start + 100_000, consent, session=first, channel="app")
    binding = np.flatnonzero(binds)
    again = app.visit(new[binding], bound_at[binding] - 60_000, np.full(len(binding), 3 * MINUTE_MS))
    kind = choice(bank.codes(len(binding), (8, 2)), ("debit", "credit"))
    bank.emit("bind_card", new[binding], bound_at[binding], {"card_type": kind}, session=again, channel="app")


def browse(bank: Bank, app: App) -> None:
    """Products, calculators, searches, campaigns, service: what leaves no money moved."""
    small_talk(bank, app)
    session, time = app.host(bank.share(0.03))
    kind = bank.codes(len(session), (15, 30, 20, 8, 7, 10, 10))
    product = bank.rng.integers(1, 60, len(session))
    viewed = {
        "product_id": ident("P", product),
        "product_type": choice(kind, PRODUCTS),
        "product_risk": whole(1 + product % 5),
    }
    app.emit("product_view", session, time, viewed)
    session, time = app.host(bank.share(0.004), 1.0 + bank.people.wealth.astype(bool))
    compared = choice(bank.codes(len(session), (2, 4, 3, 1, 1, 1, 1)), PRODUCTS)
    app.emit("product_compare", session, time, {"product_type": compared, "products": whole(2 + session % 3)})
    session, time = app.host(bank.share(0.003), 0.3 + bank.people.borrows)
    twice = bank.rng.random(len(session)) < 0.5
    kinds = bank.codes(len(session), (6, 1, 2, 1))
    for again, some in ((0, np.ones(len(session), bool)), (1, twice)):
        used = {
            "calculator": choice(kinds[some], ("loan", "deposit", "wealth", "mortgage")),
            "amount": money(bank.cents(80_000, 0.8, int(some.sum())) // 100_000 * 100_000),
        }
        app.emit("calculator_use", session[some], time[some] + again * 40_000, used)


def small_talk(bank: Bank, app: App) -> None:
    """Events of an app that stand alone: each with its share of all events."""
    for event, share in SMALL_TALK:
        session, time = app.host(bank.share(share))
        app.emit(event, session, time, _small_talk(bank, event, len(session)))


def _small_talk(bank: Bank, event: str, n: int) -> dict[str, Column]:
    rng, codes = bank.rng, bank.codes
    match event:
        case "search":
            keyword = choice(rng.integers(0, len(KEYWORDS), n), KEYWORDS)
            return {"keyword": keyword, "results": whole(codes(n, (1, 2, 4, 4, 3)))}
        case "campaign_join":
            entry = choice(codes(n, (5, 2, 2, 1)), ("banner", "invite", "push", "branch"))
            return {"campaign_id": ident("M", rng.integers(1, 30, n)), "entry": entry}
        case "coupon_redeem":
            benefit = choice(codes(n, (4, 1, 3, 2, 2)), ("cash", "travel", "dining", "video", "points"))
            coupon = ident("K", rng.integers(1, 10**8, n))
            return {"coupon_id": coupon, "benefit": benefit, "amount": money(bank.cents(15, 0.8, n))}
        case "service_chat":
            return {"topic": choice(codes(n, (3, 3, 2, 2, 2)), TOPICS), "turns": whole(rng.integers(2, 30, n))}
        case "complaint":
            return {"topic": choice(codes(n, (3, 3, 2, 3, 2)), TOPICS), "severity": whole(rng.integers(1, 4, n))}
        case "nps":
            return {"score": whole(codes(n, (1, 0, 1, 1, 1, 2, 3, 6, 12, 16, 14)))}
        case "risk_assessment_done":
            until = np.full(n, bank.end_ms + 365 * DAY_MS)
            return {"rating": whole(1 + codes(n, (2, 4, 5, 3, 1))), "valid_until": whole(until)}
        case _:
            return {"marketing": flag(rng.random(n) < 0.4), "quiet": flag(rng.random(n) < 0.2)}


def elsewhere(bank: Bank) -> None:
    """Branches, relationship managers, and what channels report of triggers."""
    rng, everyone = bank.rng, np.ones(bank.people.existing)
    customer = bank.pick(bank.share(0.004), everyone)
    time = bank.any_time(len(customer))
    purpose = choice(bank.codes(len(customer), (5, 3, 2, 1, 2)), ("cash", "card", "wealth", "loan", "other"))
    visited = {"branch_id": ident("B", rng.integers(1, 40, len(customer))), "purpose": purpose}
    bank.emit("branch_visit", customer, time, visited, channel="branch")
    customer = bank.pick(bank.share(0.002), bank.people.scale[: bank.people.existing])
    talked = {
        "direction": choice(bank.codes(len(customer), (3, 7)), ("in", "out")),
        "minutes": whole(rng.integers(1, 40, len(customer))),
    }
    bank.emit("rm_contact", customer, bank.any_time(len(customer)), talked, channel="relationship_manager")
    customer = bank.pick(bank.share(0.004), everyone)
    _old_answers(bank, customer, bank.any_time(len(customer)))


def _old_answers(bank: Bank, customer: Ints, time: Ints) -> None:
    """To triggers from before the log: their ids are in no lake."""
    number = bank.rng.integers(1, 10**9, len(customer))
    sent_by = np.array(["push", "sms", "in_app"], object)[bank.codes(len(customer), (5, 3, 2))]
    action = np.array(["come_back", "resume_application", "renew_product", "show_tier_benefit"], object)[
        bank.codes(len(customer), (4, 2, 2, 2))
    ]
    answers(bank, customer, time, ident("T", number), action, sent_by)


def answers(
    bank: Bank, customer: Ints, time: Ints, trigger: Column, action: NDArray[np.object_], channel: NDArray[np.object_]
) -> None:
    """What became of triggers, as their channels report it: how far customers went, and how long that took them."""
    text, ids = trigger
    chain = ((None, "delivered", 1.0), ("delivered", "exposed", 0.6), ("exposed", "clicked", 0.3))
    ends = (("clicked", "converted", 0.4), ("exposed", "dismissed", 0.25), ("exposed", "opted_out", 0.03))
    reached: dict[str | None, Ints] = {None: np.arange(len(customer))}
    at = {None: time}
    for before, event, share in (*chain, *ends):
        some = bank.rng.random(len(reached[before])) < share
        reached[event] = reached[before][some]
        at[event] = at[before][some] + bank.spread(int(some.sum()), 5_000, 8 * HOUR_MS)
        who = reached[event]
        properties: dict[str, Column] = {"trigger_id": (text, ids[who]), "action": ('"%s"', action[who])}
        if event == "converted":
            properties["amount"] = money(bank.cents(5_000, 1.0, len(who)))
        bank.emit(event, customer[who], at[event], properties, channel=channel[who])


def fill(bank: Bank, app: App, count: int) -> None:
    """Page views and clicks: as many as are still missing."""
    views = count - count // 4
    session = bank.rng.integers(0, len(app.sessions.start), count)
    room = app.sessions.length[session] - 1_000
    time = app.sessions.start[session] + 500 + (bank.rng.random(count) * room).astype(np.int64)
    screen = bank.codes(count, SCREEN_WEIGHTS)
    element = ident("btn", bank.rng.integers(1, 120, count - views))
    app.emit("screen_view", session[:views], time[:views], {"screen": choice(screen[:views], SCREENS)})
    clicked = {"element": element, "screen": choice(screen[views:], SCREENS)}
    app.emit("element_click", session[views:], time[views:], clicked)
