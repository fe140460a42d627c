"""A catalogue that is right, and what is said of it when something is changed or added."""

from __future__ import annotations

import pytest

from models.catalogue import CatalogueErrors, load

BASE = """
[catalogue]
name = "bank"
channels = ["app", "branch"]
[[event]]
name = "pay"
properties = { amount = "number", side = ["in", "out"], ok = "boolean", loan_id = "string", memo = "string" }
[[event]]
name = "login"
properties = { device = "string" }
[[event]]
name = "visit"
properties = { visit_id = "string", desk = "number" }
[[feature]]
name = "paid"
on = ["pay"]
aggregate = "sum"
value = "amount"
[[feature]]
name = "loan_pays"
entity = "loan"
on = ["pay"]
aggregate = "count"
[[feature]]
name = "visits"
entity = "visit"
on = ["visit"]
aggregate = "count"
[[tag]]
name = "loan_is_paid"
expression = "loan_pays > 3"
[[journey]]
name = "life"
stages = ["new", "active"]
[[journey.transition]]
from = ["new"]
on = ["login"]
to = "active"
[[journey]]
name = "loan_flow"
entity = "loan"
key = "loan_id"
stages = ["open", "paid_off"]
[[journey.timeout]]
in = "open"
after = "30d"
to = "paid_off"
[[journey]]
name = "visit_flow"
entity = "visit"
key = "visit_id"
stages = ["there"]
[[rule]]
name = "thank"
listens = { event = ["pay"] }
action = "say_thanks"
channel = "push"
"""


def errors_of(*texts: str) -> list[str]:
    """The lines of all errors of these files, which are named a.toml, b.toml, ..."""
    files = {f"{chr(ord('a') + number)}.toml": text for number, text in enumerate(texts)}
    with pytest.raises(CatalogueErrors) as caught:
        load(files)
    assert str(caught.value).splitlines() == [str(error) for error in caught.value.errors]
    return str(caught.value).splitlines()


def changed(old: str, new: str) -> str:
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


def feature(text: str, name: str = "f") -> str:
    return f'[[feature]]\nname = "{name}"\n{text}'


def rule(text: str, listens: str = '{ event = ["pay"] }') -> str:
    rest = "" if "action" in text else 'action = "a"\n'
    rest += "" if "channel" in text else 'channel = "c"\n'
    return f'[[rule]]\nname = "r"\nlistens = {listens}\n{rest}{text}'
