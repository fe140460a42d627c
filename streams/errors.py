"""The errors that a user can mend: the command line shows their message, not a traceback."""

from __future__ import annotations

import duckdb

from models.catalogue import CatalogueErrors
from models.pages import PageError
from sinks.lake import NoLakeError
from sinks.writer import LakeError
from streams.answers import AnswersError
from streams.broker import BrokerError
from streams.catalogues import NoCatalogueError
from streams.demo import DemoError
from streams.producing import ReplayError
from streams.record_files import RecordFileError
from streams.recovery import RestoreError
from streams.security import SecurityError
from streams.settings import SettingsError
from streams.show import NoCustomerError
from streams.simulate import SimulationError
from streams.sources import SourceError
from streams.state_log import FencedError
from streams.topics import TopicError
from streams.watchdog import StuckError
from streams.web import WebError
from streams.worker import UnsavedError

USER_ERRORS = (
    FileNotFoundError,  # of a path that was given; other errors of the system are worth their traceback
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    AnswersError,
    BrokerError,
    CatalogueErrors,
    DemoError,
    FencedError,
    LakeError,
    NoCatalogueError,
    NoCustomerError,
    NoLakeError,
    PageError,
    RecordFileError,
    ReplayError,
    RestoreError,
    SecurityError,
    SettingsError,
    SimulationError,
    SourceError,
    StuckError,
    TopicError,
    UnsavedError,
    WebError,
    duckdb.Error,
)
