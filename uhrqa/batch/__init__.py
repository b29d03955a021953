"""Many questions, one answer line each, whatever happens in between.

An answer is appended and synced before the next question is asked, and a run that finds its own
lines goes on behind them: stopped at any point and started again, it loses and repeats nothing.
"""

from uhrqa.batch.entries import Entry, read_entries
from uhrqa.batch.output import AnswerFile, AskedAgainWarning, fingerprint
from uhrqa.batch.run import Answerer, Opener, Question, Record, Sink, Summary, run_batch

__all__ = [
    "AnswerFile",
    "Answerer",
    "AskedAgainWarning",
    "Entry",
    "Opener",
    "Question",
    "Record",
    "Sink",
    "Summary",
    "fingerprint",
    "read_entries",
    "run_batch",
]
